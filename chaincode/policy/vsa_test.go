package policy_test

import (
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// TestSummariesAreOfOneRepository: a verification summary that failed, or that was
// made for another repository or none, passes no rule.
func TestSummariesAreOfOneRepository(t *testing.T) {
	p, err := policy.Parse([]byte(`{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":"team"},"spec":{"match":["reg.example/team/**"],
	 "stages":[{"name":"production","approvals":{"min":1},"evidence":[{"name":"verified","type":"vsa","signers":[{"org":"SecurityMSP"}]},
	 {"name":"level","type":"vsa","signers":[{"org":"SecurityMSP"}],"condition":"\"SLSA_BUILD_LEVEL_3\" in facts.levels"}]}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 20, 7, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		facts object
		want  policy.Outcome
	}{
		"this repository":    {object{"result": "PASSED", "repository": "reg.example/team/app"}, policy.Satisfied},
		"failed":             {object{"result": "FAILED", "repository": "reg.example/team/app"}, policy.Violated},
		"another repository": {object{"result": "PASSED", "repository": "reg.example/team/application"}, policy.Violated},
		"another host":       {object{"result": "PASSED", "repository": "mirror.example/team/app"}, policy.Violated},
		"no repository":      {object{"result": "PASSED", "repository": "", "resourceUri": "https://product.example"}, policy.Violated},
		"no such fact":       {object{"result": "PASSED"}, policy.Violated},
		"no result":          {object{"repository": "reg.example/team/app"}, policy.Violated},
	} {
		c.facts["levels"] = list("SLSA_BUILD_LEVEL_3")
		f := policy.Facts{
			Host: "reg.example", Repository: "team/app", Digest: provenance.SHA256Of(nil), Stage: "production", Recorded: true, Proven: true,
			PushedBy: "VendorMSP", Members: []string{"SecurityMSP", "VendorMSP"}, Clock: at.Add(time.Hour),
			Evidence: []policy.Evidence{{ID: "a", Type: "vsa", At: at, Facts: c.facts, Signer: policy.Signer{Kind: policy.SignedByKey, MSP: "SecurityMSP", Key: "verifier"}}},
		}
		judged := 0
		for _, r := range policy.Evaluate(&p, 1, f, at.Add(time.Hour)).Reasons {
			if r.Rule == "evidence/verified" || r.Rule == "evidence/level" {
				judged++
				if r.Outcome != c.want {
					t.Errorf("%s: %s is %s: %s", name, r.Rule, r.Outcome, r.Detail)
				}
			}
		}
		if judged != 2 {
			t.Errorf("%s: %d reasons", name, judged)
		}
	}
}
