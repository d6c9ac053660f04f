package api_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/index"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// TestVerdictIsTheLedgers compares the API's verdict with state.Ask over the
// same index: of an image, of an index and of its platforms, before and after
// a release, with a hold, and under another version of the policy.
func TestVerdictIsTheLedgers(t *testing.T) {
	g := start(t, nil)
	s := g.ruled()
	var platforms []provenance.Digest
	for i := range 70 {
		platforms = append(platforms, digest(fmt.Sprint("platform", i)))
	}
	many := s
	many.Digest = digest("index")
	g.pushed(many.Digest, "1.1", state.Place{MSP: "VendorMSP", Children: platforms})
	c := g.client(g.audit.issue("auditor", soon()))
	compare := func(when string, subjects ...state.Subject) {
		t.Helper()
		for _, s := range subjects {
			got, err := c.GetVerdict(t.Context(), inTeam+s.Digest.String(), s.Stage)
			if err != nil {
				t.Fatal(err)
			}
			var want policy.Verdict
			err = g.index.View(t.Context(), func(r *index.Snapshot) (err error) {
				want, err = state.Ask(r, s, time.Now())
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			// One form for both: the ledger's own JSON.
			back := policy.Verdict{Image: got.GetImage(), Digest: s.Digest, Stage: got.GetStage(), Verdict: policy.Answer(got.GetVerdict()), EvidenceSet: got.GetEvidenceSet(), Warning: got.GetWarning(), Reasons: []policy.Reason{}, Attempt: int(got.GetAttempt())}
			if who := got.GetRequester(); who != nil {
				back.Requester = &policy.Person{MSP: who.GetMsp(), Name: who.GetName()}
			}
			if p := got.GetPolicy(); p != nil {
				back.Policy = &policy.Version{Name: p.GetName(), Version: int(p.GetVersion()), Hash: p.GetHash()}
			}
			if got.GetUntil() != nil {
				until := got.GetUntil().AsTime()
				back.Until = &until
			}
			for _, r := range got.GetReasons() {
				back.Reasons = append(back.Reasons, policy.Reason{Rule: r.GetRule(), Outcome: policy.Outcome(r.GetOutcome()), Detail: r.GetDetail(), Fix: r.GetFix()})
			}
			for _, child := range got.GetChildren() {
				d, err := provenance.ParseDigest(child.GetDigest())
				if err != nil {
					t.Fatal(err)
				}
				back.Children = append(back.Children, policy.ChildVerdict{Digest: d, Verdict: policy.Answer(child.GetVerdict())})
			}
			if diff := cmp.Diff(string(encode(t, want)), string(encode(t, back))); diff != "" {
				t.Errorf("%s, %s: %s", when, s.Digest.Short(), diff)
			}
		}
	}
	platform := many
	platform.Digest = platforms[0]
	all := []state.Subject{s, many, platform}
	compare("pushed", all...)
	g.calm()
	g.attested(s.Digest)
	g.attested(many.Digest)
	compare("attested", all...)
	debt := &policy.Debt{By: policy.Person{MSP: "VendorMSP", Name: "rm"}, Reason: "the shop is down", Without: []string{"approvals"}, Due: soon().UTC().Truncate(time.Second)}
	g.block("rm@VendorMSP", g.put(many.ReleasedKey(), state.Release{Subject: many, Policy: policy.Version{Name: "ruled", Version: 1}, Debt: debt}), g.put(many.ReleaseKey(), state.Current{Digest: many.Digest}))
	compare("released with a debt", all...)
	if v, err := c.GetVerdict(t.Context(), inTeam+many.Digest.String(), "production"); err != nil || v.GetVerdict() != "allowed" || v.GetWarning() == "" || v.GetUntil() == nil || len(v.GetChildren()) != len(platforms) {
		t.Errorf("with a debt: %v, %v", v, err)
	}
	g.block("admin@VendorMSP", g.enact(ruledPolicyWithout, 2)...)
	compare("another version", all...)
	g.block("trivy@AuditMSP", g.put(state.HoldKey(platform.Digest, "AuditMSP"), state.Hold{Digest: platform.Digest, MSP: "AuditMSP", Reason: "CVE"}))
	compare("a platform is held", all...)
}

// ruledPolicyWithout is another version of ruledPolicy, of approvals alone.
const ruledPolicyWithout = `{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":"ruled"},"spec":{"match":["reg.example:5000/team/**"],"stages":[{"name":"production","approvals":{"min":1}}]}}`

// TestStaleIndexOfPlatforms: a stale gateway does not say that a platform is allowed either.
func TestStaleIndexOfPlatforms(t *testing.T) {
	g := start(t, nil)
	s := g.ruled()
	platform := s
	platform.Digest = digest("platform")
	g.pushed(platform.Digest, "", state.Place{MSP: "VendorMSP"})
	g.pushed(digest("index"), "1.1", state.Place{MSP: "VendorMSP", Children: []provenance.Digest{platform.Digest}})
	g.block("rm@VendorMSP", g.put(platform.ReleasedKey(), state.Release{Subject: platform, Policy: policy.Version{Name: "ruled", Version: 1}}))
	c := g.client(g.audit.issue("auditor", soon()))
	image := inTeam + digest("index").String()
	v, err := c.GetVerdict(t.Context(), image, "production")
	if err != nil || v.GetVerdict() == "allowed" || len(v.GetChildren()) != 1 || v.GetChildren()[0].GetVerdict() != "allowed" {
		t.Fatalf("fresh: %v, %v", v, err)
	}
	g.fresh.Store(&readmodel.Freshness{Stale: true})
	if v, err := c.GetVerdict(t.Context(), image, "production"); provenance.CodeOf(err) != provenance.Unavailable {
		t.Errorf("stale: %v, %v", v, err)
	}
}
