package policy_test

import (
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// TestStrangersAreNotCounted: below a public root everybody has a certificate. An
// expression that counts signers says neither whom nor by whom, so it counts of those
// with an issuer, or of no organisation, the ones that a rule of the stage names; and the
// others change nothing that an approver signs.
func TestStrangersAreNotCounted(t *testing.T) {
	const issuer = "https://token.ci.example"
	p, err := policy.Parse([]byte(`{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":"team"},"spec":{"match":["reg.example/team/**"],
	 "stages":[{"name":"production","approvals":{"min":1},"evidence":[{"name":"reviewed","type":"review","signers":[{"identity":"bob@corp.example","issuer":"` + issuer + `"}]}],
	 "conditions":[{"name":"counted","cel":"\"review\" in evidence && evidence[\"review\"] >= 1"}]}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 20, 7, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		typ    string
		signer policy.Signer
		counts bool
	}{
		"whom the rule names":           {"review", policy.Signer{Key: "public", Identity: "bob@corp.example", Issuer: issuer}, true},
		"a stranger":                    {"review", policy.Signer{Key: "public", Identity: "eve@mail.example", Issuer: issuer}, false},
		"by another issuer":             {"review", policy.Signer{Key: "public", Identity: "bob@corp.example", Issuer: issuer + "/"}, false},
		"a shared root and no issuer":   {"review", policy.Signer{Key: "public", Identity: "bob@corp.example"}, false},
		"a stranger below an own root":  {"review", policy.Signer{MSP: "VendorMSP", Key: "public", Identity: "eve@mail.example", Issuer: issuer}, false},
		"a member's own certificate":    {"review", policy.Signer{MSP: "VendorMSP", Key: "ci", Identity: "x509.subject:CN=build"}, true},
		"whom the rule names, for else": {"sbom", policy.Signer{Key: "public", Identity: "bob@corp.example", Issuer: issuer}, false},
	} {
		c.signer.Kind = policy.SignedByCertificate
		f := policy.Facts{
			Host: "reg.example", Repository: "team/app", Digest: provenance.SHA256Of(nil), Stage: "production", Recorded: true, Proven: true,
			PushedBy: "VendorMSP", Members: []string{"SecurityMSP", "VendorMSP"}, Clock: at.Add(time.Hour),
		}
		empty := policy.EvidenceSet(&p, f)
		f.Evidence = []policy.Evidence{{ID: "a", Type: c.typ, At: at, Signer: c.signer}}
		if got := policy.EvidenceSet(&p, f) != empty; got != c.counts {
			t.Errorf("%s: an approver signs it: %v", name, got)
		}
		found := false
		for _, r := range policy.Evaluate(&p, 1, f, at.Add(time.Hour)).Reasons {
			if r.Rule != "condition/counted" {
				continue
			}
			if found = true; (r.Outcome == policy.Satisfied) != c.counts {
				t.Errorf("%s: %s is %s: %s", name, r.Rule, r.Outcome, r.Detail)
			}
		}
		if !found {
			t.Errorf("%s: the condition is not judged", name)
		}
	}
}
