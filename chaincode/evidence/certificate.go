package evidence

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Fulcio's certificate extensions (sigstore/fulcio, docs/oid-info.md): the
// issuer of the identity token as raw text (the older one) and as a DER string.
var (
	oidIssuerRaw = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1} //nolint:gochecknoglobals // a constant
	oidIssuer    = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8} //nolint:gochecknoglobals // a constant
	oidSAN       = asn1.ObjectIdentifier{2, 5, 29, 17}                  //nolint:gochecknoglobals // a constant
)

const maxIdentity = 512 // bytes of an identity or issuer

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
		return certs, checkPublic(certs[0].PublicKey)
	}
	for _, c := range certs {
		if !c.IsCA || !c.BasicConstraintsValid || (c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0) {
			return nil, invalid("certificate %q is no authority's", clip(c.Subject.String()))
		}
		if err := checkPublic(c.PublicKey); err != nil {
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
	if leaf.IsCA {
		return signatory{}, invalid("signing certificate %q is an authority's", clip(leaf.Subject.String()))
	}
	if err := checkPublic(leaf.PublicKey); err != nil {
		return signatory{}, err
	}
	if leaf.KeyUsage != 0 && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return signatory{}, invalid("signing certificate %q is not for digital signatures", clip(leaf.Subject.String()))
	}
	if slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny) {
		return signatory{}, invalid("signing certificate %q is for any usage: want code signing", clip(leaf.Subject.String()))
	}
	if _, err := leaf.Verify(opts); err != nil {
		return signatory{}, invalid("certificate chain to %q: %v", k.Name, err)
	}
	s := signatory{public: leaf.PublicKey}
	var err error
	if s.issuer, err = issuer(leaf); err != nil {
		return signatory{}, err
	}
	if s.issuer != "" && len(leaf.ExtKeyUsage) == 0 {
		return signatory{}, invalid("signing certificate with an identity issuer lacks the code-signing usage")
	}
	if s.identity, err = identity(leaf); err != nil {
		return signatory{}, err
	}
	return s, nil
}

// issuer reads who vouched for the identity; the two forms must agree.
func issuer(c *x509.Certificate) (string, error) {
	found := ""
	for _, e := range c.Extensions {
		text := ""
		switch {
		case e.Id.Equal(oidIssuerRaw):
			text = string(e.Value)
		case e.Id.Equal(oidIssuer):
			rest, err := asn1.Unmarshal(e.Value, &text)
			if err != nil || len(rest) != 0 {
				return "", invalid("certificate: malformed issuer extension")
			}
		default:
			continue
		}
		if text == "" || len(text) > maxIdentity || !printable(text) {
			return "", invalid("certificate: malformed issuer extension")
		}
		if found != "" && found != text {
			return "", invalid("certificate: two issuers, %q and %q", clip(found), clip(text))
		}
		found = text
	}
	return found, nil
}

// identity reads the certificate's one alternative name, an e-mail address or
// a URI, as its bytes stand there: nothing is normalised, so that what a rule
// compares is what the authority signed. Without one it is the subject name as
// it stands there, each attribute of it (RFC 4514), prefixed "x509.subject:" as in
// Notary trust policies; no alternative name may pass for one.
func identity(c *x509.Certificate) (string, error) {
	i := slices.IndexFunc(c.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oidSAN) })
	if i < 0 {
		var subject pkix.RDNSequence
		if rest, err := asn1.Unmarshal(c.RawSubject, &subject); err != nil || len(rest) != 0 {
			return "", invalid("certificate: malformed subject")
		}
		name := subject.String()
		if name == "" || len(name) > maxIdentity || !utf8.ValidString(name) {
			return "", invalid("certificate names nobody")
		}
		return subjectPrefix + name, nil
	}
	var names []asn1.RawValue
	rest, err := asn1.Unmarshal(c.Extensions[i].Value, &names)
	if err != nil || len(rest) != 0 || len(names) != 1 {
		return "", invalid("certificate: want one alternative name, have %d", len(names))
	}
	const email, uri = 1, 6
	name := string(names[0].Bytes)
	if names[0].Class != asn1.ClassContextSpecific || (names[0].Tag != email && names[0].Tag != uri) ||
		name == "" || len(name) > maxIdentity || !printable(name) || strings.HasPrefix(strings.ToLower(name), subjectPrefix) {
		return "", invalid("certificate: the alternative name is no e-mail address or URI")
	}
	return name, nil
}

const subjectPrefix = "x509.subject:"

func printable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}
