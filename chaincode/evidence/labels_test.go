package evidence

import (
	"strings"
	"testing"
)

// A scanner repeats the image's labels, whose names may differ by case alone. What facts
// are made of may not: who judges reads those strictly.
func TestLabelsInTwoCases(t *testing.T) {
	const report = `{"SchemaVersion":2,"ArtifactName":"app","ArtifactType":"container_image","Metadata":{"ImageConfig":{"config":{"Labels":{"Version":"1","version":"2"}}}},
		"Results":[{"Target":"app","Class":"os-pkgs","Type":"debian","Vulnerabilities":[{"VulnerabilityID":"CVE-2026-1","PkgName":"a","InstalledVersion":"1","Severity":"HIGH"}]}]}`
	r := Request{Subject: digest(t, "sha256:"+strings.Repeat("a", 64)), Format: FormatPlain, Envelope: []byte(report), Now: now}
	result, err := Verify(r, nil)
	if err != nil || !strings.Contains(string(result.Facts), `"high":1`) {
		t.Errorf("%s, %v", result.Facts, err)
	}
	r.Envelope = []byte(strings.Replace(report, `"Class"`, `"class":"config","Class"`, 1))
	if _, err := Verify(r, nil); err == nil {
		t.Error("what is read stands there in two cases")
	}
	if _, err := encodeFacts(map[string]any{"a": map[string]any{"Labels": map[string]any{"Name": "1", "name": "2"}}}); err == nil {
		t.Error("facts that nobody who judges can read")
	}
}
