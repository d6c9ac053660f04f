package evidence

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/url"
	"testing"
	"time"
)

// This file makes every format of evidence with the standard library alone, so
// that tests can make each variant that no honest tool makes.

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func newECDSA(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func encodePEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func publicPEM(t testing.TB, k crypto.Signer) string {
	t.Helper()
	return publicPEMOf(t, k.Public())
}

func publicPEMOf(t testing.TB, k crypto.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return encodePEM("PUBLIC KEY", der)
}

func publicKey(t testing.TB, k crypto.Signer) Key {
	t.Helper()
	parsed, err := ParseKey("release", string(PublicKey), publicPEM(t, k))
	if err != nil {
		t.Fatal(err)
	}
	parsed.MSP = "VendorMSP"
	return parsed
}

// sign signs as Sigstore tools do.
func sign(t testing.TB, k crypto.Signer, message []byte) []byte {
	t.Helper()
	sum := sha256.Sum256(message)
	input, opts := sum[:], crypto.SignerOpts(crypto.SHA256)
	if _, ok := k.(ed25519.PrivateKey); ok {
		input, opts = message, crypto.Hash(0)
	}
	sig, err := k.Sign(rand.Reader, input, opts)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func toJSON(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

type m = map[string]any

func simplePayload(digest string) []byte {
	return []byte(`{"critical":{"identity":{"docker-reference":"reg.example/team/app"},"image":{"docker-manifest-digest":"` +
		digest + `"},"type":"cosign container image signature"},"optional":{"build":"42"}}`)
}

func cosignEnvelope(t testing.TB, k crypto.Signer, payload []byte) m {
	return m{"payload": b64(payload), "signature": b64(sign(t, k, payload))}
}

// inToto is a statement about subjects, each a digest set.
func inToto(t testing.TB, predicateType string, predicate any, subjects ...m) []byte {
	list := []any{}
	for _, s := range subjects {
		list = append(list, m{"name": "reg.example/team/app", "digest": s})
	}
	return toJSON(t, m{"_type": statementV1, "subject": list, "predicateType": predicateType, "predicate": predicate})
}

func dsseEnvelope(t testing.TB, payload []byte, keys ...crypto.Signer) m {
	sigs := []any{}
	for _, k := range keys {
		sigs = append(sigs, m{"keyid": "", "sig": b64(sign(t, k, pae(payload)))})
	}
	return m{"payloadType": inTotoPayload, "payload": b64(payload), "signatures": sigs}
}

func bundle(material, content m) m {
	out := m{"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "verificationMaterial": material}
	for name, v := range content {
		out[name] = v
	}
	return out
}

// template is the certificate of a signer with an identity, as Fulcio makes it.
type template struct {
	identity, issuer, oldIssuer string
	email                       bool
	notBefore, notAfter         time.Time
	usages                      []x509.ExtKeyUsage
	change                      func(*x509.Certificate)
}

type ca struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  string
}

func newCA(t testing.TB, name string, parent *ca) *ca {
	t.Helper()
	k := newECDSA(t)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	signer, issuer := k, c
	if parent != nil {
		signer, issuer = parent.key, parent.cert
	}
	out := &ca{key: k, cert: certificate(t, c, issuer, k.Public(), signer)}
	out.pem = encodePEM("CERTIFICATE", out.cert.Raw)
	return out
}

func (c *ca) root(t testing.TB) Key {
	t.Helper()
	k, err := ParseKey("fulcio", string(CertificateRoot), c.pem)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func certificate(t testing.TB, c, issuer *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, issuer, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func (c *ca) leaf(t testing.TB, pub crypto.PublicKey, w template) *x509.Certificate {
	t.Helper()
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: w.notBefore, NotAfter: w.notAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: w.usages,
	}
	if leaf.NotBefore.IsZero() {
		leaf.NotBefore = now.Add(-time.Minute)
	}
	if leaf.NotAfter.IsZero() {
		leaf.NotAfter = now.Add(9 * time.Minute)
	}
	if leaf.ExtKeyUsage == nil {
		leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
	}
	switch {
	case w.email:
		leaf.EmailAddresses = []string{w.identity}
	case w.identity != "":
		u, err := url.Parse(w.identity)
		if err != nil {
			t.Fatal(err)
		}
		leaf.URIs = []*url.URL{u}
	}
	if w.issuer != "" {
		der, err := asn1.MarshalWithParams(w.issuer, "utf8")
		if err != nil {
			t.Fatal(err)
		}
		leaf.ExtraExtensions = append(leaf.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}, Value: der})
	}
	if w.oldIssuer != "" {
		leaf.ExtraExtensions = append(leaf.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}, Value: []byte(w.oldIssuer)})
	}
	if w.change != nil {
		w.change(leaf)
	}
	return certificate(t, leaf, c.cert, pub, c.key)
}

// notation makes a Notary Project JWS envelope.
func notation(t testing.TB, k crypto.Signer, digest string, header m, chain ...*x509.Certificate) m {
	t.Helper()
	protected := m{
		"alg": "ES256", "cty": notationPayload, "crit": []any{notationScheme},
		notationScheme: "notary.x509", notationTime: "2026-11-24T11:00:00Z",
	}
	for name, v := range header {
		protected[name] = v
	}
	raw := base64.RawURLEncoding
	p := raw.EncodeToString(toJSON(t, m{"targetArtifact": m{
		"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 865,
		"annotations": m{"io.wabbit": "x"},
	}}))
	h := raw.EncodeToString(toJSON(t, protected))
	var sig []byte
	switch key := k.(type) {
	case *ecdsa.PrivateKey:
		sum := sha256.Sum256([]byte(h + "." + p))
		r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		sig = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	case *rsa.PrivateKey:
		sum := sha256.Sum256([]byte(h + "." + p))
		var err error
		if sig, err = rsa.SignPSS(rand.Reader, key, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}); err != nil {
			t.Fatal(err)
		}
	}
	x5c := []any{}
	for _, c := range chain {
		x5c = append(x5c, b64(c.Raw))
	}
	return m{"payload": p, "protected": h, "header": m{"x5c": x5c, "io.cncf.notary.signingAgent": "test"}, "signature": raw.EncodeToString(sig)}
}

func mustHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
