package proof

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// authority is an organisation's MSP: who may issue certificates for it, which are
// revoked, and what the units of a certificate mean.
type authority struct {
	msp           string
	roots         []*x509.Certificate
	intermediates []*x509.Certificate
	revoked       []*x509.RevocationList
	units         map[string]unit
	internal      [][]byte // authorities that others stand below: they issue no certificates of people and nodes
}

// unit is an organisational unit that names a role.
type unit struct {
	role      string
	certifier []byte // the authority (DER) that has to issue it; nil: any
}

// The roles, which NodeOUs name.
const (
	roleClient  = "client"
	rolePeer    = "peer"
	roleAdmin   = "admin"
	roleOrderer = "orderer"
)

// parseAuthority reads an msp.MSPConfig.
func parseAuthority(b []byte) (*authority, error) {
	outer, err := parse("msp.MSPConfig", b)
	if err != nil {
		return nil, err
	}
	if outer.numbers[1] != 0 {
		return nil, fmt.Errorf("an MSP of kind %d: %w", outer.numbers[1], errUnknown)
	}
	f, err := parse("msp.FabricMSPConfig", outer.one(2))
	if err != nil {
		return nil, err
	}
	if len(f.all(4)) > 0 || len(f.all(7)) > 0 {
		return nil, fmt.Errorf("an MSP with a list of admins or of units: %w", errUnknown)
	}
	a := &authority{msp: f.text(1)}
	if a.roots, err = certificates(f.all(2)); err != nil {
		return nil, fmt.Errorf("roots of %s: %w", a.msp, err)
	}
	if a.intermediates, err = certificates(f.all(3)); err != nil {
		return nil, fmt.Errorf("intermediates of %s: %w", a.msp, err)
	}
	for _, text := range f.all(5) {
		der, err := pemBlock("X509 CRL", text)
		if err != nil {
			return nil, fmt.Errorf("revocation list of %s: %w", a.msp, err)
		}
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			return nil, fmt.Errorf("revocation list of %s: %w", a.msp, err)
		}
		a.revoked = append(a.revoked, list)
	}
	if a.units, err = parseUnits(f.one(11)); err != nil {
		return nil, fmt.Errorf("units of %s: %w", a.msp, err)
	}
	return a, a.tree()
}

func parseUnits(b []byte) (map[string]unit, error) {
	f, err := parse("msp.FabricNodeOUs", b)
	if err != nil {
		return nil, err
	}
	if f.numbers[1] != 1 {
		return nil, fmt.Errorf("without units, peers cannot be told from clients: %w", errUnknown)
	}
	units := map[string]unit{}
	for i, role := range []string{roleClient, rolePeer, roleAdmin, roleOrderer} {
		if !f.has(i + 2) {
			continue
		}
		u, err := parse("msp.FabricOUIdentifier", f.one(i+2))
		if err != nil {
			return nil, err
		}
		name := u.text(2)
		if _, twice := units[name]; twice || name == "" {
			return nil, fmt.Errorf("unit %q stands for two roles, or none", name)
		}
		made := unit{role: role}
		if u.has(1) {
			c, err := certificate(u.one(1))
			if err != nil {
				return nil, err
			}
			made.certifier = c.Raw
		}
		units[name] = made
	}
	return units, nil
}

// tree notes which authorities have others below them.
func (a *authority) tree() error {
	for _, c := range a.intermediates {
		chain, err := a.chain(c, c.NotBefore.Add(time.Second))
		if err != nil {
			return fmt.Errorf("intermediate %q of %s: %w", c.Subject.CommonName, a.msp, err)
		}
		for _, above := range chain[1:] {
			a.internal = append(a.internal, above.Raw)
		}
	}
	return nil
}

// chain is the one way from a certificate to a root at a moment, all of it unrevoked.
func (a *authority) chain(c *x509.Certificate, at time.Time) ([]*x509.Certificate, error) {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, r := range a.roots {
		roots.AddCert(r)
	}
	for _, i := range a.intermediates {
		between.AddCert(i)
	}
	chains, err := c.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return nil, err
	}
	chain := chains[0]
	if len(chains) > 1 || len(chain) < 2 {
		return nil, errors.New("it is a root itself, or there are several ways to a root")
	}
	for i, c := range chain[:len(chain)-1] {
		if a.isRevoked(c, chain[i+1]) {
			return nil, fmt.Errorf("the certificate of %q is revoked", c.Subject.CommonName)
		}
	}
	return chain, nil
}

func (a *authority) isRevoked(c, issuer *x509.Certificate) bool {
	for _, list := range a.revoked {
		if !bytes.Equal(list.AuthorityKeyId, issuer.SubjectKeyId) || list.CheckSignatureFrom(issuer) != nil {
			continue
		}
		if slices.ContainsFunc(list.RevokedCertificateEntries, func(e x509.RevocationListEntry) bool { return e.SerialNumber.Cmp(c.SerialNumber) == 0 }) {
			return true
		}
	}
	return false
}

// check tells whether a certificate is one of the organisation's at a moment, and which role it has.
func (a *authority) check(c *x509.Certificate, at time.Time) (role string, err error) {
	chain, err := a.chain(c, at)
	if err != nil {
		return "", err
	}
	issuer := chain[1].Raw
	if slices.ContainsFunc(a.internal, func(above []byte) bool { return bytes.Equal(above, issuer) }) {
		return "", errors.New("its issuer has authorities below it, and issues none itself")
	}
	for _, name := range c.Subject.OrganizationalUnit {
		u, known := a.units[name]
		if !known {
			continue
		}
		if u.certifier != nil && !bytes.Equal(u.certifier, issuer) {
			return "", fmt.Errorf("unit %q from another issuer than the one that may give it", name)
		}
		if role != "" {
			return "", errors.New("it has two roles")
		}
		role = u.role
	}
	if role == "" {
		return "", errors.New("it has no role")
	}
	return role, nil
}

// identity is who signed, as an msp.SerializedIdentity names them.
type identity struct {
	msp  string
	cert *x509.Certificate
}

func parseIdentity(b []byte) (identity, error) {
	f, err := parse("msp.SerializedIdentity", b)
	if err != nil {
		return identity{}, err
	}
	c, err := certificate(f.one(2))
	return identity{f.text(1), c}, err
}

// certificates reads PEM texts of one certificate each.
func certificates(texts [][]byte) ([]*x509.Certificate, error) {
	list := make([]*x509.Certificate, len(texts))
	for i, text := range texts {
		var err error
		if list[i], err = certificate(text); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// certificate reads a certificate whose key is one that signs here.
func certificate(text []byte) (*x509.Certificate, error) {
	der, err := pemBlock("CERTIFICATE", text)
	if err != nil {
		return nil, err
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	key, ok := c.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() && key.Curve != elliptic.P384() {
		return nil, fmt.Errorf("a key of a kind that is not ECDSA on P-256 or P-384: %w", errUnknown)
	}
	return c, nil
}

// pemBlock reads the one PEM block of a text. Texts in configurations come from people's
// files, and are covered by what signs them: what stands around it is let be.
func pemBlock(kind string, text []byte) ([]byte, error) {
	b, _ := pem.Decode(text)
	if b == nil || b.Type != kind {
		return nil, fmt.Errorf("no PEM block %s", kind)
	}
	return b.Bytes, nil
}

// verify checks a signature of Fabric: ECDSA over SHA-256, and of the two that say the
// same the one with the lower s.
func verify(c *x509.Certificate, signature []byte, signed ...[]byte) error {
	key, _ := c.PublicKey.(*ecdsa.PublicKey) // of certificate
	var rs struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(signature, &rs); err != nil || rs.S.Cmp(new(big.Int).Rsh(key.Params().N, 1)) > 0 {
		return errors.New("the signature is not in its one form")
	}
	hash := sha256.New()
	for _, b := range signed {
		hash.Write(b)
	}
	if !ecdsa.VerifyASN1(key, hash.Sum(nil), signature) {
		return errors.New("the signature is wrong")
	}
	return nil
}
