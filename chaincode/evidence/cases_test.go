package evidence

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// casesDir is where real inputs are that were once taken wrongly; "" where they are
// not beside the repository, which is said aloud.
func casesDir(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		cases := filepath.Join(dir, "shared", "cases", "evidence")
		if _, err := os.Stat(cases); err == nil {
			return cases
		}
	}
	t.Log("NOT RUN: what was taken wrongly: no shared/cases beside the repository")
	return ""
}

// TestDocumentCases reads each of them as what its maker said it is.
func TestDocumentCases(t *testing.T) {
	dir := casesDir(t)
	if dir == "" {
		return
	}
	for file, c := range map[string]struct {
		typ     string
		subject string // "" where the document is bare
		want    map[string]any
		refused string
	}{
		"14-tekton-chains-v1-source": {TypeProvenance, "fe4fe40ac7250263c5dbe1cf3138912f3f416140aa248637a60d65fe22c47da4", map[string]any{
			"sourceUri": "git+https://github.com/octocat/hello-world.git", "sourceCommit": "7fd1a60b01f91b314f59955a4e4d4e80d8edf11d",
		}, ""},
		"16-buildkit-provenance-v1": {TypeProvenance, "e8275b2b76280af67e26f068e5d585eb905f8dfd2f1918b3229db98133cb4862", map[string]any{
			"builder": "", "sourceUri": "", "sourceCommit": "",
		}, ""},
		"18-trivy-configuration-only": {TypeScan, "", nil, "no scan for vulnerabilities"},
		"20-grype-sarif-vs-json":      {TypeScan, "", map[string]any{"critical": int64(1), "high": int64(0), "low": int64(1), "total": int64(2)}, ""},
		"21-snyk-sarif-critical":      {TypeScan, "", map[string]any{"critical": int64(1), "high": int64(0)}, ""},
		"23-openvex-subcomponents":    {TypeVEX, "124c7d2707904eea7431fffe91522a01e5a861a624ee31d03372cc1d138a3126", map[string]any{"total": int64(5)}, ""},
		"23-openvex-subcomponents.scan": {TypeScan, "", map[string]any{"medium": int64(1), "findings": []any{map[string]any{
			"id": "CVE-2023-3446", "severity": "medium", "fixable": false, "packages": []any{"pkg:apk/alpine/nodejs@18.16.0-r0"},
		}}}, ""},
		"24-openvex-vexhub":                   {TypeVEX, "", map[string]any{"notAffected": int64(1), "affected": int64(0), "total": int64(1)}, ""},
		"26-cyclonedx-vex-without-components": {TypeSBOM, "", nil, "lists no component"},
		"29-in-toto-vulns-severity":           {TypeScan, "", map[string]any{"critical": int64(1), "unknown": int64(0)}, ""},
	} {
		t.Run(file, func(t *testing.T) {
			document, err := os.ReadFile(filepath.Join(dir, file+".json"))
			if err != nil {
				t.Fatal(err)
			}
			var subject provenance.Digest
			if c.subject != "" {
				subject = digest(t, "sha256:"+c.subject)
			}
			found, err := extract(document, c.typ, 0, subject)
			if c.refused != "" {
				if provenance.CodeOf(err) != provenance.Invalid || !strings.Contains(err.Error(), c.refused) {
					t.Errorf("got %v, want %q", err, c.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]any{}
			for name := range c.want {
				got[name] = found.facts[name]
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			stated(t, c.typ, found.facts)
		})
	}
	t.Run("30-scorecard-and-runtime-trace", func(t *testing.T) {
		document, err := os.ReadFile(filepath.Join(dir, "30-scorecard-and-runtime-trace.json"))
		if err != nil {
			t.Fatal(err)
		}
		r := request(FormatPlain, document)
		r.Type = "custom/scorecard"
		r.Schema = func(string) (json.RawMessage, error) {
			return json.RawMessage(`{"type":"object","properties":{"scorecard":{"type":"object","properties":{"version":{"type":"string"}}},
				"checks":{"type":"array","items":{"type":"object","properties":{"name":{"type":"string"},"score":{"type":"integer"}}}},"metadata":{"type":"object"}}}`), nil
		}
		got := accepted(t, r, nil)
		var facts map[string]any
		if err := json.Unmarshal(got.Facts, &facts); err != nil {
			t.Fatal(err)
		}
		if len(facts) != 2 || str(facts, "scorecard", "version") != "v4.7.0" || len(list(facts, "checks")) != 9 {
			t.Errorf("%s", got.Facts)
		}
	})
}
