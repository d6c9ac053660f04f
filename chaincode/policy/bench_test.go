package policy_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// twentyRules is a stage of 20 rules: 8 of evidence, 6 conditions, and all others.
func twentyRules(tb testing.TB) []byte {
	tb.Helper()
	var evidence, conditions []string
	for i, e := range [...][2]string{
		{"vuln-scan", `facts.critical == 0 && facts.high <= 3`}, {"vuln-scan", `counts["critical"] == 0 && counts["high"] <= 3`},
		{"slsa-provenance", `facts.builder in ["https://ci.example/a", "https://ci.example/b"] && facts.source.startsWith("https://git.example/team/")`},
		{"sbom", `facts.components > 0 && facts.licences.all(l, l in ["MIT", "Apache-2.0", "BSD-3-Clause"])`}, {"signature", ``},
		{"vex", ``}, {"test-result", `facts.failed == 0 && facts.passed >= 100`}, {"review", `facts.verdict == "approved"`},
	} {
		evidence = append(evidence, fmt.Sprintf(`{"name":"e%d","type":%q,"min":2,"maxAge":"30d","signers":[{"org":"SecurityMSP","key":"key-1"},
			{"org":"AuditMSP","role":"scanner"},{"org":"PlatformMSP","identity":"https://git.example/team/**","issuer":"https://token.example"}],"condition":%q}`, i, e[0], e[1]))
	}
	for i, c := range []string{
		`context.incident == false`, `tags.exists(t, t.matches("^v[0-9]+[.][0-9]+$"))`, `labels.tier == "gold"`,
		`evidence["vuln-scan"] >= 2`, `now - image.pushedAt < duration("720h")`, `image.size < 1000000000 && repository.startsWith("reg.example/team/")`,
	} {
		conditions = append(conditions, fmt.Sprintf(`{"name":"c%d","cel":%q}`, i, c))
	}
	return fmt.Appendf(nil, `{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":"team"},"spec":{"match":["reg.example/team/**"],
		"context":{"incident":"AuditMSP"},"waivers":{"min":1,"maxDuration":"30d"},"stages":[{"name":"staging","approvals":{"min":1}},
		{"name":"production","from":"staging","soak":"24h","freeze":[{"days":["Fri","Sat","Sun"],"from":"16:00","to":"08:00"}],"maxAge":"90d",
		"approvals":{"min":2,"orgs":["SecurityMSP"],"expires":"7d"},"evidence":[%s],"conditions":[%s],"witnesses":{"min":2}}]}}`,
		strings.Join(evidence, ","), strings.Join(conditions, ","))
}

// fiftyPieces is an image with 50 pieces of evidence that meets the 20 rules.
func fiftyPieces() (policy.Facts, time.Time) {
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	hour := func(n int) time.Time { return now.Add(-time.Duration(n) * time.Hour) }
	person := func(org string) policy.Person { return policy.Person{MSP: org, Name: "rm"} }
	f := policy.Facts{
		Host: "reg.example", Repository: "team/app", Digest: provenance.SHA256Of(nil), Stage: "production", Recorded: true, Proven: true,
		PushedBy: "VendorMSP", PushedAt: hour(72), Clock: now, Size: 12345678, Tags: []string{"latest", "v1.4"}, Labels: map[string]string{"tier": "gold"},
		Members:  []string{"AuditMSP", "PlatformMSP", "SecurityMSP", "VendorMSP"},
		Context:  map[string]map[string]policy.Value{"AuditMSP": {"incident": {Value: false, At: hour(500)}}},
		Promoted: true, Requester: person("VendorMSP"), Witnesses: []policy.Witness{{MSP: "AuditMSP", At: hour(70)}},
		ReleasedTo: []policy.ReleaseFact{{Stage: "staging", At: hour(48)}},
	}
	for _, org := range []string{"SecurityMSP", "PlatformMSP"} {
		f.Approvals = append(f.Approvals, policy.Approval{By: person(org), At: hour(1), Roles: []string{"release-manager"}})
	}
	facts := map[string]map[string]any{
		"vuln-scan":       {"critical": int64(0), "high": int64(2), "medium": int64(7), "total": int64(9), "findings": findings(40)},
		"slsa-provenance": {"builder": "https://ci.example/a", "source": "https://git.example/team/app"},
		"sbom":            {"components": int64(120), "licences": []any{"MIT", "Apache-2.0", "BSD-3-Clause"}},
		"signature":       {},
		"vex":             {"statements": []any{map[string]any{"id": "CVE-2026-1", "status": "not_affected"}}},
		"test-result":     {"failed": int64(0), "passed": int64(812)},
		"review":          {"verdict": "approved"},
	}
	signers := []policy.Signer{
		{Kind: policy.SignedByKey, MSP: "SecurityMSP", Key: "key-1"},
		{Kind: policy.SignedByPerson, MSP: "AuditMSP", Name: "bob", Roles: []string{"scanner"}},
		{Kind: policy.SignedByCertificate, MSP: "PlatformMSP", Key: "root", Identity: "https://git.example/team/app/.ci/build.yml@refs/heads/main", Issuer: "https://token.example"},
	}
	types := []string{"vuln-scan", "slsa-provenance", "sbom", "signature", "vex", "test-result", "review"}
	for i := range 50 {
		typ := types[i%len(types)]
		f.Evidence = append(f.Evidence, policy.Evidence{
			ID: fmt.Sprintf("%064x", i), Type: typ, Signer: signers[i/len(types)%len(signers)], At: hour(60 - i), Facts: facts[typ], On: f.Digest,
		})
	}
	return f, now
}

func findings(n int) []any {
	list := make([]any, n)
	for i := range list {
		list[i] = map[string]any{"id": fmt.Sprintf("CVE-2026-%d", i), "severity": "medium", "fixable": false}
	}
	return list
}

func BenchmarkEvaluate(b *testing.B) {
	p, err := policy.Parse(twentyRules(b))
	if err != nil {
		b.Fatal(err)
	}
	f, now := fiftyPieces()
	v := policy.Evaluate(&p, 3, f, now)
	if !v.Releasable || len(v.Reasons) != 22 { // recorded, 20 rules, promotion
		b.Fatalf("%d reasons, releasable %v: %+v", len(v.Reasons), v.Releasable, v.Reasons)
	}
	b.ReportAllocs()
	start := cpu(b)
	for b.Loop() {
		v = policy.Evaluate(&p, 3, f, now)
	}
	b.ReportMetric(float64(cpu(b)-start)/float64(b.N), "cpu-ns/op")
	if !v.Releasable {
		b.Fatal("not releasable any more")
	}
}

// cpu is the processor time this process has used: on a busy machine ns/op is
// mostly waiting.
func cpu(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func BenchmarkParse(b *testing.B) {
	doc := twentyRules(b)
	b.ReportAllocs()
	start := cpu(b)
	for b.Loop() {
		if _, err := policy.Parse(doc); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cpu(b)-start)/float64(b.N), "cpu-ns/op")
}
