package evidence

import (
	"bytes"
	"crypto/x509"
	"slices"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/sigstore"
)

const maxIdentity = 512 // bytes of a name that a document gives

func (k Key) readCertificates() ([]*x509.Certificate, error) {
	ders, err := pemBlocks(k.PEM, "CERTIFICATE", maxChain)
	if err != nil {
		return nil, err
	}
	certs, err := parseCertificates(ders)
	if err != nil {
		return nil, err
	}
	if len(certs) == 1 && pinned(certs[0]) {
		return certs, sigstore.CheckPublicKey(certs[0].PublicKey)
	}
	for _, c := range certs {
		if !c.IsCA || !c.BasicConstraintsValid || (c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0) {
			return nil, invalid("certificate %q is no authority's", clip(c.Subject.String()))
		}
		if err := sigstore.CheckPublicKey(c.PublicKey); err != nil {
			return nil, err
		}
	}
	return certs, nil
}

// pinned tells whether a certificate is a self-signed one for signing code
// alone, as `notation cert generate-test` makes them: as a root it stands for
// itself, and nothing can be issued below it.
func pinned(c *x509.Certificate) bool {
	return !c.IsCA && bytes.Equal(c.RawSubject, c.RawIssuer) && c.KeyUsage == x509.KeyUsageDigitalSignature &&
		len(c.ExtKeyUsage) == 1 && c.ExtKeyUsage[0] == x509.ExtKeyUsageCodeSigning
}

func parseCertificates(ders [][]byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for _, der := range ders {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, invalid("certificate: %v", err)
		}
		out = append(out, c)
	}
	return out, nil
}

// chain verifies a signing certificate, leaf first, against the registered
// root at now, and says whom it names.
func (k *ParsedKey) chain(certs []*x509.Certificate, now time.Time) (signatory, error) {
	if len(certs) == 0 || len(certs) > 2*maxChain {
		return signatory{}, invalid("%d certificates: want 1 to %d", len(certs), 2*maxChain)
	}
	opts := x509.VerifyOptions{
		Roots:         x509.NewCertPool(), // never nil: that would ask the machine's own roots
		Intermediates: x509.NewCertPool(),
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	selfSigned := func(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, c.RawIssuer) }
	anySelf := slices.ContainsFunc(k.trusted, selfSigned)
	for _, c := range k.trusted {
		if selfSigned(c) || !anySelf {
			opts.Roots.AddCert(c)
		} else {
			opts.Intermediates.AddCert(c)
		}
	}
	for _, c := range certs[1:] {
		opts.Intermediates.AddCert(c)
	}
	leaf := certs[0]
	if err := sigstore.SigningCertificate(leaf); err != nil {
		return signatory{}, err
	}
	if _, err := leaf.Verify(opts); err != nil {
		return signatory{}, invalid("certificate chain to %q: %v", k.Name, err)
	}
	s := signatory{public: leaf.PublicKey}
	var err error
	if s.issuer, err = sigstore.Issuer(leaf); err != nil {
		return signatory{}, err
	}
	if s.identity, err = sigstore.Identity(leaf); err != nil {
		return signatory{}, err
	}
	return s, nil
}

func printable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}
