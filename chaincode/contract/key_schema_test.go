package contract

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

func publicKey(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func TestKeys(t *testing.T) {
	l := network(t)
	text := publicKey(t)
	stamp := func(d time.Duration) string { return l.now.Add(d).Format(time.RFC3339) }
	soon, late := stamp(time.Hour), stamp(48*time.Hour)
	add := func(name string, more ...string) []string { return append([]string{"key:Add", name}, more...) }
	var k state.TrustKey
	if err := json.Unmarshal([]byte(l.do("admin@VendorMSP", add("build", "public-key", text, soon, late)...)), &k); err != nil {
		t.Fatal(err)
	}
	if k.MSP != "VendorMSP" || len(k.Fingerprint) != 64 || k.NotBefore.Format(time.RFC3339) != soon || k.NotAfter.Format(time.RFC3339) != late {
		t.Errorf("%+v", k)
	}
	l.quiet("admin@VendorMSP", add("build", "public-key", text, soon, late)...)
	l.do("admin@AuditMSP", add("build", "public-key", text, "", "")...) // names are an organisation's own
	for _, args := range [][]string{
		add("build", "public-key", text, "", late), add("build", "public-key", publicKey(t), soon, late),
	} {
		l.refused(provenance.Conflict, "admin@VendorMSP", args...)
	}
	for _, args := range [][]string{
		add("Build", "public-key", text, "", ""), add("", "public-key", text, "", ""), add("k", "password", text, "", ""), add("k", "certificate-root", text, "", ""),
		add("k", "public-key", "", "", ""), add("k", "public-key", text+text, "", ""), add("k", "public-key", text, "tomorrow", ""),
		add("k", "public-key", text, "", "2026-03-02"), add("k", "public-key", text, late, soon), add("k", "public-key", text, late, late),
		add("k", "public-key", text, "", stamp(-time.Hour)),
	} {
		l.refused(provenance.Invalid, "admin@VendorMSP", args...)
	}

	l.refused(provenance.Invalid, "admin@VendorMSP", "key:Withdraw", "build", " ", "")
	l.refused(provenance.Invalid, "admin@VendorMSP", "key:Withdraw", "build", "lost", "yesterday")
	l.refused(provenance.Invalid, "admin@VendorMSP", "key:Withdraw", "build", "lost", stamp(time.Hour))
	l.refused(provenance.NotFound, "admin@SecurityMSP", "key:Withdraw", "build", "not ours", "")
	l.do("admin@VendorMSP", "key:Withdraw", "build", "rotated", "")
	l.quiet("admin@VendorMSP", "key:Withdraw", "build", "again", "")
	l.do("admin@VendorMSP", "key:Withdraw", "build", "found in a log", stamp(-time.Minute))
	l.quiet("admin@VendorMSP", "key:Withdraw", "build", "later is no news", stamp(-time.Second))
	l.do("admin@VendorMSP", "key:Withdraw", "build", "and earlier", stamp(-time.Hour))
	l.refused(provenance.Conflict, "admin@VendorMSP", add("build", "public-key", text, soon, late)...)
	var list []state.TrustKey
	if err := json.Unmarshal([]byte(l.do("stranger@AuditMSP", "key:List")), &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 || list[0].Withdrawn != nil || list[1].Withdrawn == nil || list[1].Withdrawn.Reason != "and earlier" {
		t.Errorf("%+v", list)
	}
}

func TestSchemas(t *testing.T) {
	l := network(t)
	text := `{"type":"object","properties":{"passed":{"type":"integer"}}}`
	l.do("admin@SecurityMSP", "schema:Add", "load-test", text)
	l.quiet("admin@SecurityMSP", "schema:Add", "load-test", strings.ReplaceAll(text, ":", ": "))
	l.refused(provenance.Conflict, "admin@SecurityMSP", "schema:Add", "load-test", `{"type":"object"}`)
	for _, name := range []string{"", "Load", "a/b"} {
		l.refused(provenance.Invalid, "admin@SecurityMSP", "schema:Add", name, text)
	}
	for _, bad := range []string{"", "true", `{"type":"array"}`, `{"type":"object","format":"date"}`, `{"type":"object","type":"object"}`} {
		l.refused(provenance.Invalid, "admin@SecurityMSP", "schema:Add", "other", bad)
	}
	var list []state.Schema
	if err := json.Unmarshal([]byte(l.do("stranger@AuditMSP", "schema:List")), &list); err != nil || len(list) != 1 || list[0].MSP != "SecurityMSP" {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestNamesAreOnesOwn: nobody takes the name of a schema away from another.
func TestNamesAreOnesOwn(t *testing.T) {
	l := network(t)
	l.do("admin@AuditMSP", "schema:Add", "load-test", `{"type":"object"}`)
	l.do("admin@SecurityMSP", "schema:Add", "load-test", `{"type":"object","properties":{"passed":{"type":"integer"}}}`)
}
