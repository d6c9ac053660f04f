package sigstore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"math/big"
	"net/url"
	"time"

	"github.com/digitorus/timestamp"
)

// authority is a root, an intermediate below it, and for a timestamp authority the
// certificate that signs.
type authority struct {
	window
	uri          string
	root         *x509.Certificate
	intermediate *x509.Certificate
	key          *ecdsa.PrivateKey // of the intermediate
	signing      *x509.Certificate // of a timestamp authority
	signingKey   *ecdsa.PrivateKey
}

//nolint:gochecknoglobals // constants
var (
	fulcio       = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1}
	oidSCTs      = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}
	oidEKU       = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidStamping  = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}
	oidSAN       = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidOtherName = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 7}
	oidPolicy    = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2}
)

func newAuthority(name string, kind Kind, from time.Time) (*authority, error) {
	a := &authority{window: window{From: from}, uri: "https://" + string(kind) + "." + name + ".example"}
	usage := x509.ExtKeyUsageCodeSigning
	if kind == TSA {
		usage = x509.ExtKeyUsageTimeStamping
	}
	template := func(cn string, ca bool) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: serial(), Subject: pkix.Name{Organization: []string{name + ".example"}, CommonName: cn},
			NotBefore: from.Add(-time.Hour), NotAfter: from.AddDate(10, 0, 0), IsCA: ca, BasicConstraintsValid: true,
			KeyUsage: map[bool]x509.KeyUsage{true: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, false: x509.KeyUsageDigitalSignature}[ca],
		}
	}
	rootKey, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		return nil, err
	}
	root := template(name+" "+string(kind), true)
	if a.root, err = certify(root, root, rootKey.Public(), rootKey); err != nil {
		return nil, err
	}
	if a.key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader); err != nil {
		return nil, err
	}
	intermediate := template(name+" "+string(kind)+" intermediate", true)
	intermediate.ExtKeyUsage, intermediate.MaxPathLenZero = []x509.ExtKeyUsage{usage}, true
	if a.intermediate, err = certify(intermediate, a.root, a.key.Public(), rootKey); err != nil {
		return nil, err
	}
	if kind != TSA {
		return a, nil
	}
	if a.signingKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	signing := template(name+" timestamps", false)
	critical, err := asn1.Marshal([]asn1.ObjectIdentifier{oidStamping})
	if err != nil {
		return nil, err
	}
	signing.ExtraExtensions = []pkix.Extension{{Id: oidEKU, Critical: true, Value: critical}}
	a.signing, err = certify(signing, a.intermediate, a.signingKey.Public(), a.key)
	return a, err
}

func certify(template, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(err)
	}
	return n
}

// Identity is whom a certificate is for: one of URI, Email and Other (a user name, as
// a SAN of Fulcio's own kind), whoever said so, and more claims by the last number of
// their Fulcio extension: 9 is the build signer's URI, 11 the runner's environment.
type Identity struct {
	URI, Email, Other string
	Issuer            string
	Claims            map[int]string
}

// issue certifies a key for Life from now on. The certificate has the word of the
// CT log, unless there is none.
func (a *authority) issue(id Identity, pub crypto.PublicKey, ct *log, now time.Time) (*x509.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: serial(), NotBefore: now, NotAfter: now.Add(Life),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	if err := id.name(template); err != nil {
		return nil, err
	}
	if ct == nil {
		return certify(template, a.intermediate, pub, a.key)
	}
	// Without the list, the certificate's body is what the log signs.
	before, err := certify(template, a.intermediate, pub, a.key)
	if err != nil {
		return nil, err
	}
	list, err := ct.promise(before.RawTBSCertificate, a.intermediate.RawSubjectPublicKeyInfo, now)
	if err != nil {
		return nil, err
	}
	template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{Id: oidSCTs, Value: list})
	return certify(template, a.intermediate, pub, a.key)
}

func (id Identity) name(template *x509.Certificate) error {
	switch {
	case id.URI != "":
		u, err := url.Parse(id.URI)
		if err != nil {
			return err
		}
		template.URIs = []*url.URL{u}
	case id.Email != "":
		template.EmailAddresses = []string{id.Email}
	default:
		value, err := asn1.MarshalWithParams(id.Other, "utf8,explicit,tag:0")
		if err != nil {
			return err
		}
		oid, err := asn1.Marshal(oidOtherName)
		if err != nil {
			return err
		}
		san, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: append(oid, value...)}})
		if err != nil {
			return err
		}
		template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{Id: oidSAN, Critical: true, Value: san})
	}
	add := func(number int, value []byte) {
		oid := append(append(asn1.ObjectIdentifier{}, fulcio...), number)
		template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{Id: oid, Value: value})
	}
	text := func(number int, s string) error {
		value, err := asn1.MarshalWithParams(s, "utf8")
		add(number, value)
		return err
	}
	if id.Issuer != "" {
		add(1, []byte(id.Issuer))
		if err := text(8, id.Issuer); err != nil {
			return err
		}
	}
	for number := range 32 { // in the order of their numbers
		s, ok := id.Claims[number]
		switch {
		case !ok:
		case number < 8: // the older ones are bare
			add(number, []byte(s))
		default:
			if err := text(number, s); err != nil {
				return err
			}
		}
	}
	return nil
}

// promise returns the SCT list of a certificate's body (RFC 6962, section 3.2).
func (l *log) promise(tbs, issuer []byte, now time.Time) ([]byte, error) {
	at := binary.BigEndian.AppendUint64(nil, uint64(now.UnixMilli()))
	signed := append([]byte{0, 0}, at...) // v1, certificate_timestamp
	signed = append(signed, 0, 1)         // precert_entry
	signed = append(signed, sum(issuer)...)
	signed = append(signed, byte(len(tbs)>>16), byte(len(tbs)>>8), byte(len(tbs)))
	signed = append(append(signed, tbs...), 0, 0)
	sig, err := l.sign(signed)
	if err != nil {
		return nil, err
	}
	sct := append([]byte{0}, l.id...)
	sct = append(append(sct, at...), 0, 0, 4, 3) // no extensions; SHA-256, ECDSA
	sct = append(binary.BigEndian.AppendUint16(sct, uint16(len(sig))), sig...)
	list := binary.BigEndian.AppendUint16(nil, uint16(len(sct)+2))
	list = append(binary.BigEndian.AppendUint16(list, uint16(len(sct))), sct...)
	return asn1.Marshal(list)
}

// stamp returns a TimeStampResp over a message. The library that makes it says beside
// the time that is asked for when it really signed: an authority of the future is
// refused for that.
func (a *authority) stamp(digest []byte, now time.Time, withCertificate bool) ([]byte, error) {
	t := timestamp.Timestamp{
		HashAlgorithm: crypto.SHA256, HashedMessage: digest, Time: now, Policy: oidPolicy, AddTSACertificate: withCertificate,
	}
	return t.CreateResponseWithOpts(a.signing, a.signingKey, crypto.SHA256)
}
