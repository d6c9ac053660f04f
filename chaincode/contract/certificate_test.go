package contract

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/url"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// authority is a root that signs certificates for workflows.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	now  time.Time
}

func newAuthority(t *testing.T, now time.Time) authority {
	t.Helper()
	a := authority{t: t, now: now}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	a.cert = a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, a.key)
	return a
}

func (a authority) sign(template *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	a.t.Helper()
	parent := a.cert
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert
}

func encodeCert(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

// envelope signs a payload with a new key certified for an identity.
func (a authority) envelope(payload []byte, identity, issuer string, notAfter time.Time) []byte {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	uri, err := url.Parse(identity)
	if err != nil {
		a.t.Fatal(err)
	}
	value, err := asn1.MarshalWithParams(issuer, "utf8")
	if err != nil {
		a.t.Fatal(err)
	}
	leaf := a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: a.now.Add(-time.Hour), NotAfter: notAfter, URIs: []*url.URL{uri},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}, Value: value}},
	}, key)
	var dsse map[string]any
	if err := json.Unmarshal(signed(a.t, payload, key), &dsse); err != nil {
		a.t.Fatal(err)
	}
	dsse["signatures"].([]any)[0].(map[string]any)["cert"] = encodeCert(leaf)
	b, err := json.Marshal(dsse)
	if err != nil {
		a.t.Fatal(err)
	}
	return b
}

func TestEvidenceByCertificate(t *testing.T) {
	const workflow, issuer = "https://ci.example/team/app/release", "https://ci.example"
	l := network(t)
	l.govern(`"stages":[{"name":"staging","approvals":{"min":1},"evidence":[{"name":"scan","type":"vuln-scan","signers":[{"org":"SecurityMSP","identity":"https://ci.example/team/*/release","issuer":"https://ci.example"}]}]}]`)
	l.pushed("v1")
	root, stranger := newAuthority(t, l.now), newAuthority(t, l.now)
	l.do("admin@SecurityMSP", "key:Add", "ci", string(evidence.CertificateRoot), encodeCert(root.cert), "", "")
	scan := stated("v1", "vuln-scan", scanned(0), "")
	later := l.now.AddDate(0, 1, 0)
	bring := func(envelope []byte) (Submitted, error) {
		s, _, err := l.bring(brought{"gateway@VendorMSP", "v1", "", "dsse", "SecurityMSP", "ci", envelope})
		return s, err
	}
	for name, envelope := range map[string][]byte{
		"of another root": stranger.envelope(scan, workflow, issuer, later),
		"expired":         root.envelope(scan, workflow, issuer, l.now.Add(-time.Minute)),
	} {
		if _, err := bring(envelope); provenance.CodeOf(err) != provenance.BadEvidence {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Below the right root, but not who the rule asks for.
	for _, other := range []string{"https://ci.example/team/app/release/x", "https://ci.example.evil/team/app/release"} {
		if s, err := bring(root.envelope(scan, other, issuer, later)); err != nil || !s.Counts {
			t.Errorf("%s: %+v, %v", other, s, err)
		}
	}
	if s, err := bring(root.envelope(scan, workflow, "https://other.example", later)); err != nil || !s.Counts {
		t.Errorf("another issuer: %+v, %v", s, err)
	}
	expect(t, "strangers", l.ask("v1", "staging"), policy.Pending, "evidence/scan", policy.Unmet)
	if _, err := bring(root.envelope(scan, workflow, issuer, later)); err != nil {
		t.Fatal(err)
	}
	expect(t, "the workflow", l.ask("v1", "staging"), policy.Pending, "evidence/scan", policy.Satisfied)
	// A root is withdrawn like a key.
	l.do("admin@SecurityMSP", "key:Withdraw", "ci", "leaked", l.now.Add(-time.Hour).Format(time.RFC3339))
	expect(t, "withdrawn", l.ask("v1", "staging"), policy.Pending, "evidence/scan", policy.Unmet)
}

// TestAnotherRootMakesNoNewWord: a certificate may chain up to two keys that its
// organisation registered; handed in under the second, an old word stays old.
func TestAnotherRootMakesNoNewWord(t *testing.T) {
	const workflow, issuer = "https://ci.example/team/app/release", "https://ci.example"
	l := network(t)
	l.govern(`"stages":[{"name":"staging","approvals":{"min":1},"evidence":[{"name":"scan","type":"vuln-scan","signers":[{"org":"SecurityMSP","identity":"https://ci.example/team/*/release","issuer":"https://ci.example"}],"condition":"facts.critical == 0"}]}]`)
	l.pushed("v1")
	root := newAuthority(t, l.now)
	for _, name := range []string{"ci", "ci-again"} {
		l.do("admin@SecurityMSP", "key:Add", name, string(evidence.CertificateRoot), encodeCert(root.cert), "", "")
	}
	later := l.now.AddDate(0, 1, 0)
	clean := root.envelope(stated("v1", "vuln-scan", scanned(0), ""), workflow, issuer, later)
	bring := func(key string, envelope []byte) Submitted {
		t.Helper()
		l.now = l.now.Add(time.Minute)
		return l.brings(brought{"gateway@VendorMSP", "v1", "", "dsse", "SecurityMSP", key, envelope})
	}
	bring("ci", clean)
	bring("ci", root.envelope(stated("v1", "vuln-scan", scanned(3), ""), workflow, issuer, later))
	if s := bring("ci-again", append(clean, ' ')); !s.Known || s.Counts {
		t.Errorf("under the other root: %+v", s)
	}
	expect(t, "after that", l.ask("v1", "staging"), policy.Denied, "evidence/scan", policy.Violated)
}
