package sigstoretest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math/big"
	"net/url"
	"testing"
	"time"
)

// Sigstore plays all its roles: certificate authority with an intermediate, CT log, a
// Rekor log of each generation, timestamp authority. All are trusted from Start on.
type Sigstore struct {
	Start        time.Time
	Root         Authority // of Intermediate, which signs certificates
	Intermediate Authority
	Stamper      Authority // signs timestamps, below StamperRoot
	StamperRoot  Authority
	CT           *ecdsa.PrivateKey
	V1           *Log
	V2           *Log
	t            testing.TB
}

// Authority is a certificate and its key.
type Authority struct {
	Key  *ecdsa.PrivateKey
	Cert *x509.Certificate
}

// Who is the person or workflow that a certificate names.
type Who struct {
	URI, Email, Issuer string
	Claims             map[int]string // by the last number of Fulcio's extensions
	Change             func(*x509.Certificate)
	NoSCT              bool
}

// New starts a Sigstore.
func New(t testing.TB, start time.Time) *Sigstore {
	t.Helper()
	s := &Sigstore{t: t, Start: start, CT: Key(t)}
	s.Root = s.authority("root", nil, nil)
	s.Intermediate = s.authority("intermediate", &s.Root, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} })
	s.StamperRoot = s.authority("stamper root", nil, nil)
	s.Stamper = s.NewStamper()
	s.V1 = newLog(t, "rekor.example - 1234", Key(t))
	_, key, err := ed25519.GenerateKey(rand.Reader)
	s.check(err)
	s.V2 = newLog(t, "log1.example", key)
	return s
}

// NewStamper makes another certificate for timestamps below StamperRoot.
func (s *Sigstore) NewStamper() Authority {
	s.t.Helper()
	return s.authority("stamper", &s.StamperRoot, func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = false, false, x509.KeyUsageDigitalSignature
		value, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
		s.check(err)
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: value}}
	})
}

func (s *Sigstore) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// Key makes an ECDSA key over P-256.
func Key(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (s *Sigstore) authority(name string, parent *Authority, change func(*x509.Certificate)) Authority {
	s.t.Helper()
	a := Authority{Key: Key(s.t)}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(int64(len(name))), Subject: pkix.Name{CommonName: name},
		NotBefore: s.Start, NotAfter: s.Start.AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	if change != nil {
		change(c)
	}
	issuer, key := c, a.Key
	if parent != nil {
		issuer, key = parent.Cert, parent.Key
	}
	a.Cert = s.certificate(c, issuer, a.Key.Public(), key)
	return a
}

func (s *Sigstore) certificate(c, issuer *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	s.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, issuer, pub, key)
	s.check(err)
	out, err := x509.ParseCertificate(der)
	s.check(err)
	return out
}

// Certificate issues a certificate that lives ten minutes from at on.
func (s *Sigstore) Certificate(pub crypto.PublicKey, at time.Time, who Who) *x509.Certificate {
	s.t.Helper()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(77), NotBefore: at, NotAfter: at.Add(10 * time.Minute),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	if who.URI != "" {
		u, err := url.Parse(who.URI)
		s.check(err)
		c.URIs = []*url.URL{u}
	}
	if who.Email != "" {
		c.EmailAddresses = []string{who.Email}
	}
	claims := map[int]string{8: who.Issuer}
	for number, text := range who.Claims {
		claims[number] = text
	}
	for number := range 30 {
		if text := claims[number]; text != "" {
			c.ExtraExtensions = append(c.ExtraExtensions, s.extension(number, text))
		}
	}
	if who.Change != nil {
		who.Change(c)
	}
	if !who.NoSCT {
		before := s.certificate(c, s.Intermediate.Cert, pub, s.Intermediate.Key)
		c.ExtraExtensions = append(c.ExtraExtensions, s.sct(before.RawTBSCertificate, at))
	}
	return s.certificate(c, s.Intermediate.Cert, pub, s.Intermediate.Key)
}

func (s *Sigstore) extension(number int, text string) pkix.Extension {
	id := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, number}
	if number < 7 {
		return pkix.Extension{Id: id, Value: []byte(text)}
	}
	value, err := asn1.MarshalWithParams(text, "utf8")
	s.check(err)
	return pkix.Extension{Id: id, Value: value}
}

// sct signs for a certificate before it has the extension.
func (s *Sigstore) sct(tbs []byte, at time.Time) pkix.Extension {
	s.t.Helper()
	keyHash := sha256.Sum256(s.Intermediate.Cert.RawSubjectPublicKeyInfo)
	millis := binary.BigEndian.AppendUint64(nil, uint64(at.UnixMilli())) //nolint:gosec // a test's own time
	signed := append([]byte{0, 0}, millis...)
	signed = append(append(signed, 0, 1), keyHash[:]...)
	signed = append(append(signed, byte(len(tbs)>>16), byte(len(tbs)>>8), byte(len(tbs))), tbs...) //nolint:gosec // small
	signed = append(signed, 0, 0)
	signature := Sign(s.t, s.CT, signed)
	logID := sha256.Sum256(s.spki(s.CT.Public()))
	one := append(append([]byte{0}, logID[:]...), millis...)
	one = append(append(one, 0, 0, 4, 3, 0, byte(len(signature))), signature...) //nolint:gosec // 72 bytes
	list := binary.BigEndian.AppendUint16(nil, uint16(len(one)+2))               //nolint:gosec // small
	list = append(binary.BigEndian.AppendUint16(list, uint16(len(one))), one...) //nolint:gosec // small
	value, err := asn1.Marshal(list)
	s.check(err)
	return pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}, Value: value}
}

// Sign signs with SHA-256.
func Sign(t testing.TB, key *ecdsa.PrivateKey, message []byte) []byte {
	t.Helper()
	sum := sha256.Sum256(message)
	signature, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

func (s *Sigstore) spki(pub crypto.PublicKey) []byte {
	s.t.Helper()
	der, err := x509.MarshalPKIXPublicKey(pub)
	s.check(err)
	return der
}

// Document is its trusted_root.json, as a value that can be changed before it is written.
func (s *Sigstore) Document() map[string]any {
	window := func() map[string]any { return map[string]any{"start": s.Start.Format(time.RFC3339)} }
	log := func(host, details string, pub crypto.PublicKey, id []byte) map[string]any {
		return map[string]any{
			"baseUrl": "https://" + host, "hashAlgorithm": "SHA2_256", "logId": map[string]any{"keyId": b64(id)},
			"publicKey": map[string]any{"rawBytes": b64(s.spki(pub)), "keyDetails": details, "validFor": window()},
		}
	}
	chain := func(uri string, certs ...*x509.Certificate) map[string]any {
		var list []any
		for _, c := range certs {
			list = append(list, map[string]any{"rawBytes": b64(c.Raw)})
		}
		return map[string]any{"uri": uri, "certChain": map[string]any{"certificates": list}, "validFor": window()}
	}
	const ecdsaKey, edKey = "PKIX_ECDSA_P256_SHA_256", "PKIX_ED25519"
	ct := sha256.Sum256(s.spki(s.CT.Public()))
	return map[string]any{
		"mediaType":              "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
		"tlogs":                  []any{log("rekor.example", ecdsaKey, s.V1.Key.Public(), s.V1.ID), log("log1.example", edKey, s.V2.Key.Public(), s.V2.ID)},
		"ctlogs":                 []any{log("ct.example", ecdsaKey, s.CT.Public(), ct[:])},
		"certificateAuthorities": []any{chain("https://fulcio.example", s.Intermediate.Cert, s.Root.Cert)},
		"timestampAuthorities":   []any{chain("https://tsa.example", s.Stamper.Cert, s.StamperRoot.Cert)},
	}
}

// JSON writes a document.
func JSON(t testing.TB, document any) []byte {
	t.Helper()
	b, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
