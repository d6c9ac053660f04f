package contract

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// A scan of the index, or of a platform, is one of the image that goes with it; one
// of a stranger is of nothing else.
func TestScanNamesItsImage(t *testing.T) {
	l := network(t)
	amd, arm, list := push("", "amd64"), push("", "arm64"), index("index", digestOf("amd64"), digestOf("arm64"))
	if _, _, err := l.segment("gateway@VendorMSP", host, 1, amd, arm, list); err != nil {
		t.Fatal(err)
	}
	n := 0
	scan := func(about, named, id string) error {
		n++
		report := fmt.Sprintf(`{"SchemaVersion":2,"CreatedAt":"2026-01-01T00:00:%02dZ","ArtifactName":"app","Metadata":{"RepoDigests":["reg.example/app@%s"],"ImageID":"%s"},"Results":[{"Class":"lang-pkgs","Type":"gobinary"}]}`,
			n, digestOf(named), provenance.SHA256Of([]byte(id))) // the config of an image here is named so
		_, _, err := l.bring(brought{"scanner@SecurityMSP", about, "vuln-scan", "plain", "", "", []byte(report)})
		return err
	}
	for _, c := range []struct {
		about, named, id string
		ok               bool
	}{
		{"amd64", "amd64", "x", true}, {"amd64", "index", "x", true}, {"index", "arm64", "x", true}, {"amd64", "elsewhere", "amd64", true},
		{"amd64", "arm64", "x", false}, {"index", "elsewhere", "x", false}, {"amd64", "elsewhere", "arm64", false},
	} {
		switch err := scan(c.about, c.named, c.id); {
		case c.ok && err != nil:
			t.Errorf("a scan of %s about %s: %v", c.named, c.about, err)
		case !c.ok && (provenance.CodeOf(err) != provenance.BadEvidence || !strings.Contains(err.Error(), "the document is about")):
			t.Errorf("a scan of %s about %s: %v", c.named, c.about, err)
		}
	}
}

// Of a custom document what its schema names are facts, and nothing else.
func TestCustomDocument(t *testing.T) {
	l := network(t)
	l.pushed("v1")
	l.do("admin@VendorMSP", "schema:Add", "example-com-trace-v1", `{"type":"object","additionalProperties":false,"required":["tool"],"properties":{
		"tool":{"type":"string"},"runs":{"type":"array","items":{"type":"object","properties":{"name":{"type":"string"}}}}}}`)
	key := l.key("VendorMSP", "ci", "")
	trace := func(predicate string) []byte {
		_, hex, _ := strings.Cut(digestOf("v1").String(), ":")
		return signed(t, fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"%s"}},{"digest":{"gitCommit":"%s"}}],"predicateType":"https://example.com/trace/v1","predicate":%s}`, hex, hex[:40], predicate), key)
	}
	large := strings.Repeat(`"x",`, 6000)
	b := brought{"gateway@VendorMSP", "v1", "", "dsse", "VendorMSP", "ci", trace(`{"score":8.9,"tool":"x","metadata":null,"runs":[{"name":"a","took":1.5},{"name":"b","details":null}],"log":[` + large + `"x"]}`)}
	l.brings(b)
	var views []EvidenceView
	if err := json.Unmarshal([]byte(l.do("auditor@AuditMSP", "evidence:List", digestOf("v1").String())), &views); err != nil {
		t.Fatal(err)
	}
	if len(views) != 1 || string(views[0].Evidence.Facts) != `{"runs":[{"name":"a"},{"name":"b"}],"tool":"x"}` {
		t.Errorf("%+v", views)
	}
	for predicate, want := range map[string]string{
		`{"score":8.9}`: `"tool" is required`, `{"tool":1.5}`: "tool", `{"tool":null}`: `"tool" is required`, `{"tool":"x","runs":{}}`: "facts.runs: want array",
	} {
		b.envelope = trace(predicate)
		if _, _, err := l.bring(b); provenance.CodeOf(err) != provenance.BadEvidence || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", predicate, err)
		}
	}
	b.envelope = []byte(`{"tool":"x"}`)
	b.who, b.typ, b.format, b.org, b.key = "scanner@SecurityMSP", "custom/VendorMSP/example-com-trace-v1", "plain", "", ""
	l.brings(b)
	b.typ = "custom/nothing"
	if _, _, err := l.bring(b); provenance.CodeOf(err) != provenance.NotFound {
		t.Errorf("without a schema: %v", err)
	}
}

// A VEX document about two packages sets a finding in them aside, and leaves one in
// another, from the signed documents to the verdict.
func TestVEXOfPackagesDecides(t *testing.T) {
	for name, c := range map[string]struct {
		pkg  string
		want policy.Outcome
	}{
		"in a package it names": {"libssl3", policy.Satisfied},
		"in another":            {"nodejs", policy.Violated},
	} {
		t.Run(name, func(t *testing.T) {
			l := network(t)
			l.pushed("v1")
			l.govern(`"stages":[{"name":"staging","approvals":{"min":1},"evidence":[
				{"name":"scan","type":"vuln-scan","signers":[{"org":"SecurityMSP"}],"condition":"counts['critical'] == 0"},
				{"name":"vex","type":"vex","signers":[{"org":"VendorMSP"}]}]}]`)
			l.brings(brought{"scanner@SecurityMSP", "v1", "vuln-scan", "plain", "", "", fmt.Appendf(nil, `{"SchemaVersion":2,"ArtifactName":"app","Metadata":{"OS":{"Family":"alpine"}},"Results":[{"Class":"os-pkgs","Type":"alpine","Vulnerabilities":[
				{"VulnerabilityID":"CVE-2026-1","PkgName":%q,"InstalledVersion":"3.0.8-r3","Severity":"CRITICAL"}]}]}`, c.pkg)})
			l.brings(brought{"publisher@VendorMSP", "v1", "vex", "plain", "", "", fmt.Appendf(nil, `{"@context":"https://openvex.dev/ns/v0.2.0","timestamp":"2026-01-01T00:00:00Z","statements":[{"vulnerability":{"name":"CVE-2026-1"},"status":"not_affected","justification":"vulnerable_code_not_present",
				"products":[{"@id":"pkg:oci/app@%s","subcomponents":[{"@id":"pkg:apk/alpine/libssl3@3.0.8-r3"},{"@id":"pkg:apk/alpine/libcrypto3@3.0.8-r3"}]}]}]}`, digestOf("v1"))})
			expect(t, name, l.ask("v1", "staging"), map[policy.Outcome]policy.Answer{policy.Satisfied: policy.Pending, policy.Violated: policy.Denied}[c.want], "evidence/scan", c.want)
		})
	}
}
