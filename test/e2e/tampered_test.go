package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// tampered submits what cosign made for one image, changed in every way that
// matters, and what no honest tool makes. The undamaged envelope counts.
func (c *consortium) tampered(t *testing.T) {
	c.t = t
	testdata := filepath.Join("..", "..", "chaincode", "evidence", "testdata", "cosign")
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(testdata, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	signed, err := provenance.ParseDigest(strings.TrimSpace(read("subject")))
	if err != nil {
		t.Fatal(err)
	}
	other := imageOf("other")
	c.pushed(2, nil, signed)
	c.act("vendor/admin", "key:Add", "release", "public-key", read("key.pub"), "", "")
	c.act("vendor/admin", "key:Add", "second", "public-key", read("p384.pub"), "", "")
	c.settle()
	bundle, legacy := read("sign.bundle.json"), read("sign.cosign.json")
	bad := provenance.BadEvidence
	c.refused("cosign bundle of another digest", bad, c.submit("vendor/publisher", other, "signature", "bundle", "VendorMSP", "release", bundle))
	c.refused("cosign signature of another digest", bad, c.submit("vendor/publisher", other, "signature", "cosign", "VendorMSP", "release", legacy))
	c.refused("cosign bundle: a byte of the payload flipped", bad, c.submit("vendor/publisher", signed, "signature", "bundle", "VendorMSP", "release", flip(t, bundle, "dsseEnvelope", "payload")))
	c.refused("cosign signature: a byte of the payload flipped", bad, c.submit("vendor/publisher", signed, "signature", "cosign", "VendorMSP", "release", flip(t, legacy, "payload")))
	c.refused("cosign signature: a byte of the signature flipped", bad, c.submit("vendor/publisher", signed, "signature", "cosign", "VendorMSP", "release", flip(t, legacy, "signature")))
	c.refused("another registered key named", bad, c.submit("vendor/publisher", signed, "signature", "cosign", "VendorMSP", "second", legacy))
	c.refused("a scan that calls itself a signature", bad, c.submit("security/scanner", signed, "signature", "plain", "", "", fmt.Sprintf(cleanScan, 3)))

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.act("vendor/admin", "key:Add", "own", "public-key", publicPEM(t, key), "", "")
	c.settle()
	right := fmt.Sprintf(`{"sha256":%q}`, hexOf(signed))
	statement := func(subjects string) string {
		return `{"_type":"https://in-toto.io/Statement/v1","subject":[` + subjects + `],"predicateType":"https://in-toto.io/attestation/test-result/v0.1","predicate":{"result":"PASSED","configuration":[]}}`
	}
	c.refused("mixed subjects: one digest, two contents", bad, c.submit("vendor/publisher", signed, "test-result", "dsse", "VendorMSP", "own",
		seal(t, key, statement(`{"digest":`+right+`},{"digest":{"sha256":"`+hexOf(signed)+`","sha512":"`+strings.Repeat("ab", 64)+`"}}`), "")))
	c.refused("conflicting algorithms", bad, c.submit("vendor/publisher", signed, "test-result", "dsse", "VendorMSP", "own",
		seal(t, key, statement(`{"digest":{"sha256":"`+hexOf(other)+`","sha512":"`+strings.Repeat("ab", 64)+`"}}`), "")))
	c.refused("named by md5 only", bad, c.submit("vendor/publisher", signed, "test-result", "dsse", "VendorMSP", "own", seal(t, key, statement(`{"digest":{"md5":"d41d8cd98f00b204e9800998ecf8427e"}}`), "")))
	root, leaf := certificates(t, key)
	c.act("vendor/admin", "key:Add", "root", "certificate-root", root, "", "")
	c.settle()
	c.refused("expired certificate", bad, c.submit("vendor/publisher", signed, "test-result", "dsse", "VendorMSP", "root", seal(t, key, statement(`{"digest":`+right+`}`), leaf)))

	if err := c.submit("vendor/publisher", signed, "signature", "cosign", "VendorMSP", "release", legacy); err != nil {
		t.Errorf("what cosign made is refused: %v", err)
	}
	c.act("vendor/admin", "key:Withdraw", "release", "lost", "")
	c.settle()
	c.refused("a withdrawn key", bad, c.submit("vendor/publisher", signed, "signature", "bundle", "VendorMSP", "release", bundle))
}

// flip changes one bit in the middle of the base64 text at a path of a JSON object.
func flip(t *testing.T, doc string, path ...string) string {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(doc), &m); err != nil {
		t.Fatal(err)
	}
	at := m
	for _, name := range path[:len(path)-1] {
		at, _ = at[name].(map[string]any)
	}
	last := path[len(path)-1]
	text, _ := at[last].(string)
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) == 0 {
		t.Fatalf("%v at %v: %v", text, path, err)
	}
	raw[len(raw)/2] ^= 1
	at[last] = base64.StdEncoding.EncodeToString(raw)
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// seal signs a statement as a DSSE envelope, with a certificate beside it where there is one.
func seal(t *testing.T, key *ecdsa.PrivateKey, statement, cert string) string {
	t.Helper()
	const kind = "application/vnd.in-toto+json"
	sum := sha256.Sum256(fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(kind), kind, len(statement), statement))
	sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := map[string]string{"sig": base64.StdEncoding.EncodeToString(sig)}
	if cert != "" {
		signature["cert"] = cert
	}
	b, err := json.Marshal(map[string]any{"payloadType": kind, "payload": base64.StdEncoding.EncodeToString([]byte(statement)), "signatures": []any{signature}})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func publicPEM(t *testing.T, key *ecdsa.PrivateKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// certificates makes a root and, for key, a code-signing certificate below it that ended yesterday.
func certificates(t *testing.T, key *ecdsa.PrivateKey) (root, leaf string) {
	t.Helper()
	authority, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	above := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, NotBefore: now.Add(-1000 * time.Hour), NotAfter: now.Add(1000 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	below := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "ci"}, NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(-24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}, EmailAddresses: []string{"ci@vendor.example"},
	}
	encode := func(template *x509.Certificate, pub *ecdsa.PublicKey) string {
		der, err := x509.CreateCertificate(rand.Reader, template, above, pub, authority)
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	return encode(above, &authority.PublicKey), encode(below, &key.PublicKey)
}
