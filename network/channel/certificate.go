package channel

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// isRole says whether an organisational unit is one of those of which Fabric wants exactly one in a certificate.
func isRole(unit string) bool {
	return unit == "admin" || unit == "client" || unit == "orderer" || unit == "peer"
}

// authorities are a descriptor's, read and checked.
type authorities struct {
	enrolment, tls pool
}

// pool is what one kind of certificate must be below.
type pool struct {
	usage                []x509.ExtKeyUsage // of what is below; Fabric wants the server's of everybody it enrols, where any is named
	roots, intermediates []*x509.Certificate
	revoked              []*x509.RevocationList
}

func encodePEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// decodePEM wants one block and nothing around it. Certificates are compared byte by byte on a channel, so
// there is one way to write each.
func decodePEM(kind, text string) ([]byte, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("want the PEM of one %s", kind)
	}
	if encodePEM(kind, block.Bytes) != text {
		return nil, fmt.Errorf("PEM of a %s with something else in it, or wrapped in another way", kind)
	}
	return block.Bytes, nil
}

func parseCertificate(text string) (*x509.Certificate, error) {
	der, err := decodePEM("CERTIFICATE", text)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse certificate: %w", err)
	}
	return cert, nil
}

// newPool reads authorities: roots that vouch for themselves, and what is below them.
func newPool(usage x509.ExtKeyUsage, roots, intermediates []string, at time.Time) (pool, error) {
	p := pool{usage: []x509.ExtKeyUsage{usage}}
	if len(roots) == 0 {
		return p, errors.New("no root certificate")
	}
	seen := map[string]bool{}
	for i, text := range slices.Concat(roots, intermediates) {
		cert, err := parseCertificate(text)
		if err != nil {
			return p, fmt.Errorf("certificate %d: %w", i+1, err)
		}
		if seen[string(cert.RawSubjectPublicKeyInfo)] {
			return p, fmt.Errorf("certificate %d (%s): its key is there already", i+1, cert.Subject)
		}
		seen[string(cert.RawSubjectPublicKeyInfo)] = true
		if err := authority(cert, at); err != nil {
			return p, fmt.Errorf("certificate %d (%s): %w", i+1, cert.Subject, err)
		}
		if i >= len(roots) {
			p.intermediates = append(p.intermediates, cert)
			continue
		}
		if !bytes.Equal(cert.RawIssuer, cert.RawSubject) || cert.CheckSignatureFrom(cert) != nil {
			return p, fmt.Errorf("certificate %d (%s): a root vouches for itself, this one does not", i+1, cert.Subject)
		}
		p.roots = append(p.roots, cert)
	}
	for _, cert := range p.intermediates {
		if _, err := p.issuer(cert, p.usage, at); err != nil {
			return p, fmt.Errorf("intermediate %s: %w", cert.Subject, err)
		}
	}
	return p, nil
}

// authority checks what Fabric asks of one.
func authority(cert *x509.Certificate, at time.Time) error {
	switch {
	case !cert.BasicConstraintsValid || !cert.IsCA:
		return errors.New("not an authority (CA flag)")
	case cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return errors.New("may not sign certificates (key usage)")
	case len(cert.SubjectKeyId) == 0:
		return errors.New("no subject key identifier, which Fabric tells authorities apart by")
	}
	if err := inForce(cert, at); err != nil {
		return err
	}
	return strong(cert.PublicKey)
}

func inForce(cert *x509.Certificate, at time.Time) error {
	if at.Before(cert.NotBefore) {
		return fmt.Errorf("not in force before %s", cert.NotBefore.UTC().Format(time.RFC3339))
	}
	if at.After(cert.NotAfter) {
		return fmt.Errorf("expired at %s", cert.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}

func strong(key any) error {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() || k.Curve == elliptic.P384() {
			return nil
		}
	case *rsa.PublicKey:
		if k.N.BitLen() >= 2048 {
			return nil
		}
	case ed25519.PublicKey:
		return nil
	}
	return errors.New("key is none of ECDSA P-256 or P-384, RSA of 2048 bits or more, Ed25519")
}

// issuer returns who vouches for the certificate, which must be in force and not revoked.
func (p pool) issuer(cert *x509.Certificate, usage []x509.ExtKeyUsage, at time.Time) (*x509.Certificate, error) {
	if err := inForce(cert, at); err != nil {
		return nil, err
	}
	opts := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: at, KeyUsages: usage}
	for _, c := range p.roots {
		opts.Roots.AddCert(c)
	}
	for _, c := range p.intermediates {
		opts.Intermediates.AddCert(c)
	}
	chains, err := cert.Verify(opts)
	if err != nil {
		return nil, fmt.Errorf("not below the organisation's roots: %w", err)
	}
	// Fabric refuses whom several chains vouch for.
	if len(chains) != 1 || len(chains[0]) < 2 {
		return nil, fmt.Errorf("%d ways to the organisation's roots, want one", len(chains))
	}
	for _, list := range p.revoked {
		if !bytes.Equal(list.RawIssuer, cert.RawIssuer) {
			continue
		}
		for _, entry := range list.RevokedCertificateEntries {
			if entry.SerialNumber.Cmp(cert.SerialNumber) == 0 {
				return nil, errors.New("revoked by its authority")
			}
		}
	}
	return chains[0][1], nil
}

// revocation adds a list, which one of the authorities must have signed.
func (p *pool) revocation(text string) error {
	der, err := decodePEM("X509 CRL", text)
	if err != nil {
		return err
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return fmt.Errorf("parse revocation list: %w", err)
	}
	for _, cert := range slices.Concat(p.roots, p.intermediates) {
		if list.CheckSignatureFrom(cert) == nil {
			p.revoked = append(p.revoked, list)
			return nil
		}
	}
	return errors.New("not signed by an authority of the organisation")
}

// member checks that it is the certificate of somebody who has a role and no other.
func (p pool) member(cert *x509.Certificate, role string, at time.Time) error {
	has := slices.DeleteFunc(slices.Clone(cert.Subject.OrganizationalUnit), func(unit string) bool { return !isRole(unit) })
	switch {
	case cert.IsCA:
		return errors.New("certificate of an authority, not of a person or a node (CA flag)")
	case len(has) != 1 || has[0] != role:
		return fmt.Errorf("roles %q (organisational units), want exactly %q", has, role)
	}
	if _, ok := cert.PublicKey.(*rsa.PublicKey); ok {
		return errors.New("an RSA key, with which nobody signs on a channel")
	}
	if err := strong(cert.PublicKey); err != nil {
		return err
	}
	_, err := p.issuer(cert, p.usage, at)
	return err
}

// pinned checks a certificate that Fabric compares byte by byte.
func (p pool) pinned(cert *x509.Certificate, role string, at time.Time) error {
	if err := p.member(cert, role, at); err != nil {
		return err
	}
	issuer, err := p.issuer(cert, p.usage, at)
	if err != nil {
		return err
	}
	if !lowS(cert, issuer) {
		return errors.New("its ECDSA signature is in the form (high S) that Fabric rewrites, after which the certificate no longer equals its own file: issue it again")
	}
	return nil
}

// node checks a TLS certificate: of a server at host, or of a client where host is empty.
func (p pool) node(cert *x509.Certificate, host string, at time.Time) error {
	usage := x509.ExtKeyUsageClientAuth
	if host != "" {
		usage = x509.ExtKeyUsageServerAuth
		if err := cert.VerifyHostname(host); err != nil {
			return err
		}
	}
	switch {
	case cert.IsCA:
		return errors.New("certificate of an authority (CA flag)")
	}
	if err := strong(cert.PublicKey); err != nil {
		return err
	}
	_, err := p.issuer(cert, []x509.ExtKeyUsage{usage}, at)
	return err
}

// lowS says whether the signature on a certificate is in the form that Fabric leaves alone. An S above half of
// the group's order it replaces by its complement, which is as valid.
func lowS(cert, issuer *x509.Certificate) bool {
	key, ok := issuer.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return true
	}
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(cert.Signature, &sig); err != nil {
		return false
	}
	return sig.S.Cmp(new(big.Int).Rsh(key.Params().N, 1)) <= 0
}
