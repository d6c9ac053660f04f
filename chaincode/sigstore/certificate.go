package sigstore

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"strings"
	"unicode/utf8"
)

// Fulcio's certificate extensions (sigstore/fulcio, docs/oid-info.md): the issuer of the
// identity token as raw text (the older one) and as a DER string, and the alternative
// name of whoever has neither an e-mail address nor a URI.
var (
	oidIssuerRaw = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1} //nolint:gochecknoglobals // a constant
	oidIssuer    = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8} //nolint:gochecknoglobals // a constant
	oidOtherName = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 7} //nolint:gochecknoglobals // a constant
	oidSAN       = asn1.ObjectIdentifier{2, 5, 29, 17}                  //nolint:gochecknoglobals // a constant
)

const (
	maxIdentity = 512     // bytes of an identity or issuer
	maxClaim    = 2 << 10 // bytes of another claim
)

// SigningCertificate refuses certificates that are not for signing code.
func SigningCertificate(leaf *x509.Certificate) error {
	if leaf.IsCA {
		return invalid("signing certificate %q is an authority's", clip(leaf.Subject.String()))
	}
	if err := CheckPublicKey(leaf.PublicKey); err != nil {
		return err
	}
	if leaf.KeyUsage != 0 && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return invalid("signing certificate %q is not for digital signatures", clip(leaf.Subject.String()))
	}
	if slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny) {
		return invalid("signing certificate %q is for any usage: want code signing", clip(leaf.Subject.String()))
	}
	return nil
}

// Issuer reads who vouched for the identity, "" where nobody did; the two forms must
// agree. A certificate with an issuer is for signing code and says so.
func Issuer(c *x509.Certificate) (string, error) {
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
	if found != "" && len(c.ExtKeyUsage) == 0 {
		return "", invalid("signing certificate with an identity issuer lacks the code-signing usage")
	}
	return found, nil
}

// Identity reads the certificate's one alternative name, an e-mail address or
// a URI, as its bytes stand there: nothing is normalised, so that what a rule
// compares is what the authority signed. Without one it is the subject name as
// it stands there, each attribute of it (RFC 4514), prefixed "x509.subject:" as in
// Notary trust policies; no alternative name may pass for one.
func Identity(c *x509.Certificate) (string, error) {
	der := alternativeNames(c)
	if der == nil {
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
	rest, err := asn1.Unmarshal(der, &names)
	if err != nil || len(rest) != 0 || len(names) != 1 {
		return "", invalid("certificate: want one alternative name, have %d", len(names))
	}
	name := string(names[0].Bytes)
	if names[0].Class != asn1.ClassContextSpecific || (names[0].Tag != tagEmail && names[0].Tag != tagURI) ||
		name == "" || len(name) > maxIdentity || !printable(name) || strings.HasPrefix(strings.ToLower(name), subjectPrefix) {
		return "", invalid("certificate: the alternative name is no e-mail address or URI")
	}
	if (names[0].Tag == tagURI) != strings.Contains(name, ":") {
		return "", invalid("certificate: its alternative name %q is not what its kind says", clip(name))
	}
	return name, nil
}

// Kinds of alternative names: RFC 5280, section 4.2.1.6.
const (
	tagOther = 0
	tagEmail = 1
	tagURI   = 6
)

const subjectPrefix = "x509.subject:"

func alternativeNames(c *x509.Certificate) []byte {
	i := slices.IndexFunc(c.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oidSAN) })
	if i < 0 {
		return nil
	}
	return c.Extensions[i].Value
}

// keylessIdentity is Identity for a certificate below a trusted root. It may be Fulcio's
// own kind of alternative name as well, "user!domain". A URI has a scheme, an e-mail
// address an '@' and neither ':' nor '!', the third kind a '!' and no ':': a name of one
// kind is none of another, whoever chose it.
func keylessIdentity(c *x509.Certificate) (string, error) {
	if other := otherName(c); other != "" {
		user, domain, both := strings.Cut(other, "!")
		if !both || user == "" || domain == "" || len(other) > maxIdentity || !printable(other) || strings.Contains(other, ":") {
			return "", invalid("certificate: its alternative name is no user of a domain")
		}
		return other, nil
	}
	name, err := Identity(c)
	if err != nil || alternativeNames(c) == nil {
		return name, err
	}
	scheme, _, isURI := strings.Cut(name, ":")
	isURI = isURI && scheme != "" && !strings.ContainsAny(scheme, "/@!?#")
	isEmail := strings.Contains(name, "@") && !strings.ContainsAny(name, ":!")
	if uri := len(c.URIs) == 1; uri && !isURI || !uri && !isEmail {
		return "", invalid("certificate: its alternative name %q is not what its kind says", clip(name))
	}
	return name, nil
}

// otherName is the text of the one alternative name where that is of Fulcio's own kind.
func otherName(c *x509.Certificate) string {
	var names []asn1.RawValue
	der := alternativeNames(c)
	if rest, err := asn1.Unmarshal(der, &names); der == nil || err != nil || len(rest) != 0 || len(names) != 1 ||
		names[0].Class != asn1.ClassContextSpecific || names[0].Tag != tagOther {
		return ""
	}
	var id asn1.ObjectIdentifier
	value, err := asn1.Unmarshal(names[0].Bytes, &id)
	if err != nil || !id.Equal(oidOtherName) {
		return ""
	}
	var text string
	if rest, err := asn1.UnmarshalWithParams(value, &text, "explicit,tag:0,utf8"); err != nil || len(rest) != 0 {
		return ""
	}
	return text
}

// claimNames are Fulcio's other extensions below 1.3.6.1.4.1.57264.1 by their last
// number. Up to 6 the value is the text itself, later it is a DER string.
func claimNames() map[int]string {
	return map[int]string{
		2: "githubWorkflowTrigger", 3: "githubWorkflowSHA", 4: "githubWorkflowName",
		5: "githubWorkflowRepository", 6: "githubWorkflowRef",
		9: "buildSignerURI", 10: "buildSignerDigest", 11: "runnerEnvironment",
		12: "sourceRepositoryURI", 13: "sourceRepositoryDigest", 14: "sourceRepositoryRef",
		15: "sourceRepositoryIdentifier", 16: "sourceRepositoryOwnerURI", 17: "sourceRepositoryOwnerIdentifier",
		18: "buildConfigURI", 19: "buildConfigDigest", 20: "buildTrigger",
		21: "runInvocationURI", 22: "sourceRepositoryVisibilityAtSigning",
	}
}

// claims reads what Fulcio took from the identity token besides.
func claims(c *x509.Certificate) (map[string]string, error) {
	const lastOfRaw = 6
	names := claimNames()
	out := map[string]string{}
	arc := oidIssuer[:len(oidIssuer)-1]
	for _, e := range c.Extensions {
		if len(e.Id) != len(arc)+1 || !e.Id[:len(arc)].Equal(arc) {
			continue
		}
		number := e.Id[len(arc)]
		name := names[number]
		if name == "" {
			continue
		}
		text := string(e.Value)
		if number > lastOfRaw {
			if rest, err := asn1.Unmarshal(e.Value, &text); err != nil || len(rest) != 0 {
				return nil, invalid("certificate: its claim %s is no DER string", name)
			}
		}
		if len(text) > maxClaim || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return nil, invalid("certificate: its claim %s is no text of at most %d bytes", name, maxClaim)
		}
		out[name] = text
	}
	return out, nil
}

func printable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}
