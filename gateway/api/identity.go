package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/block"
)

// caller is who makes a call: a member's person, nobody (zero), or somebody
// whose certificate does not hold (err).
type caller struct {
	policy.Person
	// admin and robot are what the certificate's Node OUs say, as the contract reads them.
	admin, robot bool
	err          error
}

func (c caller) anonymous() bool { return c.Person == policy.Person{} }

type callerKey struct{}

func withCaller(ctx context.Context, c caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// callerOf returns the caller of a call; a context that went past the TLS port
// names nobody.
func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// trust knows the channel's organisations, parsed. TLS itself only proves that
// the caller holds the key of its certificate; which certificates are
// members' is the channel's configuration, which changes while we run.
type trust struct {
	organisations func() []block.Organisation
	now           func() time.Time

	mu     sync.Mutex
	seen   []block.Organisation // what members was parsed from
	parsed []member
}

// member is an organisation's certificates, parsed.
type member struct {
	msp                  string
	roots, intermediates *x509.CertPool
	issuers              []*x509.Certificate
	revoked              []*x509.RevocationList
}

// identify says who is at the other end of a connection. A certificate that no
// member's authority signed, is out of its dates or was revoked gives a caller
// with an error, never an anonymous one.
func (t *trust) identify(connection *tls.ConnectionState) caller {
	if connection == nil || len(connection.PeerCertificates) == 0 {
		return caller{}
	}
	leaf := connection.PeerCertificates[0]
	var expired error
	for _, m := range t.members() {
		chain, err := m.verify(leaf, t.now())
		if err == nil {
			if m.isRevoked(chain) {
				return caller{err: provenance.Errorf(provenance.Forbidden, "client certificate of %q was revoked by %s", leaf.Subject.CommonName, m.msp)}
			}
			units := leaf.Subject.OrganizationalUnit
			return caller{
				Person: policy.Person{MSP: m.msp, Name: leaf.Subject.CommonName}, admin: slices.Contains(units, "admin"), robot: slices.Contains(units, "robot"),
			}
		}
		var invalid x509.CertificateInvalidError
		if asInvalid(err, &invalid) && invalid.Reason == x509.Expired {
			expired = provenance.Errorf(provenance.Forbidden, "client certificate of %q is valid from %s to %s only",
				leaf.Subject.CommonName, leaf.NotBefore.UTC().Format(time.RFC3339), leaf.NotAfter.UTC().Format(time.RFC3339))
		}
	}
	if expired != nil {
		return caller{err: expired}
	}
	return caller{err: provenance.Errorf(provenance.Forbidden, "client certificate of %q is not signed by a member of the channel", leaf.Subject.CommonName)}
}

func asInvalid(err error, into *x509.CertificateInvalidError) bool {
	invalid, ok := err.(x509.CertificateInvalidError) //nolint:errorlint // x509 returns it bare
	*into = invalid
	return ok
}

// verify takes, as peers do, those authorities alone that the channel knows: below a company's root others may sign
// whom they like.
func (m member) verify(leaf *x509.Certificate, now time.Time) ([]*x509.Certificate, error) {
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: m.roots, Intermediates: m.intermediates, CurrentTime: now,
		// Fabric's enrolment certificates name no extended use.
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, err
	}
	return chains[0], nil
}

func (m member) isRevoked(chain []*x509.Certificate) bool {
	for _, list := range m.revoked {
		for _, c := range chain {
			for _, entry := range list.RevokedCertificateEntries {
				if bytes.Equal(c.RawIssuer, list.RawIssuer) && entry.SerialNumber.Cmp(c.SerialNumber) == 0 {
					return true
				}
			}
		}
	}
	return false
}

// members returns the organisations as they are now; parsing is done once per
// change of the channel's configuration.
func (t *trust) members() []member {
	organisations := t.organisations()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.parsed != nil && reflect.DeepEqual(organisations, t.seen) {
		return t.parsed
	}
	parsed := make([]member, 0, len(organisations))
	for _, o := range organisations {
		parsed = append(parsed, parseMember(o))
	}
	t.seen, t.parsed = organisations, parsed
	return parsed
}

// parseMember skips what it cannot read: the peers accepted the configuration,
// and a certificate we cannot read only vouches for nobody here. A revocation
// list counts only when one of the organisation's authorities signed it.
func parseMember(o block.Organisation) member {
	m := member{msp: o.MSPID, roots: x509.NewCertPool(), intermediates: x509.NewCertPool()}
	read := func(from [][]byte, into *x509.CertPool) {
		for _, b := range from {
			for block := range blocks(b) {
				if c, err := x509.ParseCertificate(block.Bytes); err == nil {
					into.AddCert(c)
					m.issuers = append(m.issuers, c)
				}
			}
		}
	}
	read(o.RootCerts, m.roots)
	read(o.IntermediateCerts, m.intermediates)
	for _, b := range o.RevocationLists {
		for block := range blocks(b) {
			list, err := x509.ParseRevocationList(block.Bytes)
			if err != nil {
				continue
			}
			for _, issuer := range m.issuers {
				if list.CheckSignatureFrom(issuer) == nil {
					m.revoked = append(m.revoked, list)
					break
				}
			}
		}
	}
	return m
}

// blocks walks the PEM blocks of b.
func blocks(b []byte) func(yield func(*pem.Block) bool) {
	return func(yield func(*pem.Block) bool) {
		for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
			if !yield(block) {
				return
			}
		}
	}
}
