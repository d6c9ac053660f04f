package policy_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

type object = map[string]any

func list(of ...any) []any { return of }

func finding(id string, packages ...any) object {
	f := object{"id": id, "severity": "critical", "fixable": true}
	if packages != nil {
		f["packages"] = packages
	}
	return f
}

func word(id, status string, subcomponents ...any) object {
	s := object{"id": id, "status": status, "justification": ""}
	if subcomponents != nil {
		s["subcomponents"] = subcomponents
	}
	return s
}

func alias(of object, names ...any) object {
	of["aliases"] = names
	return of
}

// TestVEXGoesForItsPackages: what is said of a subcomponent sets aside a finding in
// that package and in no other, and what is disputed stays.
func TestVEXGoesForItsPackages(t *testing.T) {
	const (
		ssl    = "pkg:apk/alpine/libssl3@3.0.8-r3"
		crypto = "pkg:apk/alpine/libcrypto3@3.0.8-r3"
		node   = "pkg:apk/alpine/nodejs@18.16.0-r0?arch=x86_64&distro=3.18.2"
		out    = "not_affected"
		in     = "affected"
	)
	full := ssl + "?arch=x86_64&distro=3.18.2"
	for _, test := range []struct {
		name     string
		findings []any
		vex      [][]any // documents, each of another signer
		want     bool
	}{
		{"the product", list(finding("C-1", node)), [][]any{list(word("C-1", out))}, true},
		{"the package", list(finding("C-1", full)), [][]any{list(word("C-1", out, ssl))}, true},
		{"another package", list(finding("C-1", node)), [][]any{list(word("C-1", out, ssl, crypto))}, false},
		{"one of two packages", list(finding("C-1", full, node)), [][]any{list(word("C-1", "fixed", ssl))}, false},
		{"two of two packages", list(finding("C-1", full, crypto)), [][]any{list(word("C-1", out, ssl, crypto))}, true},
		{"two documents for two packages", list(finding("C-1", full, crypto)), [][]any{list(word("C-1", out, ssl)), list(word("C-1", out, crypto))}, true},
		{"packages not known", list(finding("C-1")), [][]any{list(word("C-1", out, ssl))}, false},
		{"recorded before packages were", list(finding("C-1")), [][]any{list(word("C-1", out))}, true},
		{"any version", list(finding("C-1", full)), [][]any{list(word("C-1", out, "pkg:apk/alpine/libssl3"))}, true},
		{"another version", list(finding("C-1", full)), [][]any{list(word("C-1", out, "pkg:apk/alpine/libssl3@3.0.8-r4"))}, false},
		{"a version that begins so", list(finding("C-1", full)), [][]any{list(word("C-1", out, "pkg:apk/alpine/libssl3@3.0.8"))}, false},
		{"another namespace", list(finding("C-1", full)), [][]any{list(word("C-1", out, "pkg:apk/wolfi/libssl3@3.0.8-r3"))}, false},
		{"another qualifier", list(finding("C-1", full)), [][]any{list(word("C-1", out, ssl+"?arch=aarch64"))}, false},
		{"one qualifier of two", list(finding("C-1", full)), [][]any{list(word("C-1", out, ssl+"?arch=x86_64"))}, true},
		{"a module's v", list(finding("C-1", "pkg:golang/example.com/lib@1.2.3")), [][]any{list(word("C-1", out, "pkg:golang/example.com/lib@v1.2.3"))}, true},
		{"a subpath", list(finding("C-1", "pkg:golang/example.com/lib@v1.2.3")), [][]any{list(word("C-1", out, "pkg:golang/example.com/lib@v1.2.3#x"))}, false},
		{"no package URL", list(finding("C-1", full)), [][]any{list(word("C-1", out, "libssl3"))}, false},
		{"an empty list is the product", list(finding("C-1", full)), [][]any{list(object{"id": "C-1", "status": out, "subcomponents": []any{}})}, true},
		{"another id", list(finding("C-1", full)), [][]any{list(word("C-2", out, ssl))}, false},

		{"disputed", list(finding("C-1", full)), [][]any{list(word("C-1", out)), list(word("C-1", in))}, false},
		{"disputed in the package", list(finding("C-1", full)), [][]any{list(word("C-1", out, ssl)), list(word("C-1", in, "pkg:apk/alpine/libssl3"))}, false},
		{"disputed in another version of it", list(finding("C-1", full)), [][]any{list(word("C-1", out, ssl)), list(word("C-1", in, "pkg:apk/libssl3@1"))}, false},
		{"disputed in another package", list(finding("C-1", full)), [][]any{list(word("C-1", out, ssl), word("C-1", in, node))}, true},
		{"the product, but a part", list(finding("C-1", full)), [][]any{list(word("C-1", out)), list(word("C-1", in, node))}, false},
		{"disputed in something without a name we know", list(finding("C-1", full)), [][]any{list(word("C-1", out, ssl)), list(word("C-1", in, "openssl"))}, false},
		{"disputed in an empty list", list(finding("C-1", full)), [][]any{list(word("C-1", out, ssl)), list(object{"id": "C-1", "status": in, "subcomponents": []any{}})}, false},
		{"under investigation", list(finding("C-1", full)), [][]any{list(word("C-1", out, ssl)), list(word("C-1", "under_investigation", ssl))}, false},
		{"a status nobody knows", list(finding("C-1", full)), [][]any{list(word("C-1", out, ssl)), list(word("C-1", "fine", ssl))}, false},

		{"by the finding's other name", list(alias(finding("C-1", full), "G-1")), [][]any{list(word("G-1", out, ssl))}, true},
		{"by the statement's other name", list(finding("C-1", full)), [][]any{list(alias(word("G-1", out, ssl), "C-1"))}, true},
		{"both by a third", list(alias(finding("C-1", full), "S-1")), [][]any{list(alias(word("G-1", out, ssl), "S-1"))}, true},
		{"disputed by another name", list(alias(finding("C-1", full), "G-1")), [][]any{list(word("C-1", out)), list(word("G-1", in))}, false},
		{"disputed by the statement's other name", list(finding("G-1", full)), [][]any{list(alias(word("G-1", out, ssl), "C-1")), list(word("C-1", in, ssl))}, false},
		{"one of two findings", list(finding("C-1", full), finding("C-2", full)), [][]any{list(word("C-1", out))}, false},
		{"one id twice, in two packages", list(finding("C-1", full), finding("C-1", node)), [][]any{list(word("C-1", out, ssl))}, false},
	} {
		for form, condition := range map[string]string{
			"counts":     `counts["critical"] == 0`,
			"suppressed": `facts.findings.all(f, f.id in suppressed)`,
		} {
			t.Run(test.name+"/"+form, func(t *testing.T) {
				if got := judgeVEX(t, condition, test.findings, test.vex); got != test.want {
					t.Errorf("satisfied: %v, want %v", got, test.want)
				}
			})
		}
	}
}

func judgeVEX(t *testing.T, condition string, findings []any, vex [][]any) bool {
	t.Helper()
	p, err := policy.Parse([]byte(`{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":"team"},"spec":{"match":["reg.example/team/**"],
	 "stages":[{"name":"production","approvals":{"min":1},"evidence":[
	 {"name":"scan","type":"vuln-scan","signers":[{"org":"SecurityMSP"}],"condition":` + strconv.Quote(condition) + `},
	 {"name":"vex","type":"vex","signers":[{"org":"VendorMSP"}]}]}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 20, 7, 0, 0, 0, time.UTC)
	f := policy.Facts{
		Host: "reg.example", Repository: "team/app", Digest: provenance.SHA256Of(nil), Stage: "production", Recorded: true, Proven: true,
		PushedBy: "VendorMSP", Members: []string{"SecurityMSP", "VendorMSP"}, Clock: at.Add(time.Hour),
	}
	f.Evidence = append(f.Evidence, policy.Evidence{
		ID: "scan", Type: "vuln-scan", At: at, Signer: policy.Signer{Kind: policy.SignedByKey, MSP: "SecurityMSP", Key: "scanner"},
		Facts: object{"findings": findings, "critical": int64(len(findings)), "total": int64(len(findings))},
	})
	for i, statements := range vex {
		f.Evidence = append(f.Evidence, policy.Evidence{
			ID: string(rune('a' + i)), Type: "vex", At: at, Signer: policy.Signer{Kind: policy.SignedByKey, MSP: "VendorMSP", Key: string(rune('a' + i))},
			Facts: object{"statements": statements},
		})
	}
	for _, r := range policy.Evaluate(&p, 1, f, at.Add(time.Hour)).Reasons {
		if r.Rule == "evidence/scan" {
			return r.Outcome == policy.Satisfied
		}
	}
	t.Fatal("no reason about the scan")
	return false
}
