package policy_test

import (
	"fmt"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// A verdict follows from a policy, facts and a moment, and from nothing else. Here
// one organisation has approved, and the stage wants two.
func ExampleEvaluate() {
	rules, err := policy.Parse([]byte(`{
		"apiVersion": "waybill.dev/v1", "kind": "ReleasePolicy", "metadata": {"name": "team"},
		"spec": {
			"match": ["reg.example/team/**"],
			"stages": [{"name": "production", "approvals": {"min": 2, "exclude": ["pusher"]}}]
		}
	}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	now := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	facts := policy.Facts{
		Stage: "production", Host: "reg.example", Repository: "team/app", Digest: provenance.SHA256Of([]byte("a manifest")),
		Recorded: true, Proven: true, PushedBy: "VendorMSP", Members: []string{"AuditMSP", "SecurityMSP", "VendorMSP"},
		Promoted: true, Attempt: 1, Requester: policy.Person{MSP: "VendorMSP", Name: "release-manager"},
		Approvals: []policy.Approval{{
			By: policy.Person{MSP: "AuditMSP", Name: "release-manager"}, Roles: []string{"release-manager"}, At: now.Add(-time.Hour),
		}},
	}
	say := func(v policy.Verdict) {
		fmt.Println(v.Verdict)
		for _, r := range v.Reasons {
			fmt.Printf("  %s %s: %s\n", r.Rule, r.Outcome, r.Detail)
			if r.Fix != "" {
				fmt.Println("    " + r.Fix)
			}
		}
	}
	say(policy.Evaluate(&rules, 3, facts, now))

	facts.Holds = []policy.Hold{{MSP: "SecurityMSP", By: policy.Person{MSP: "SecurityMSP", Name: "scanner"}, Reason: "suspicious layer"}}
	say(policy.Evaluate(&rules, 3, facts, now))
	// Output:
	// pending
	//   recorded satisfied: pushed; recorded by VendorMSP
	//   approvals unmet: 1 of 2 approvals (AuditMSP)
	//     a release-manager of SecurityMSP can: waybill approve IMAGE --to production
	//   promotion satisfied: requested by release-manager@VendorMSP
	// quarantined
	//   quarantine violated: quarantined by scanner@SecurityMSP: suspicious layer
	//     an admin of SecurityMSP can lift it with: waybill unquarantine
}
