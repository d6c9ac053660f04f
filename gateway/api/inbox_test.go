package api_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// calm makes AuditMSP's context say that there is no incident.
func (g *gatewayUnderTest) calm() {
	g.t.Helper()
	g.block("rm@AuditMSP", g.put(state.ContextKey("AuditMSP"), state.Context{Values: map[string]policy.Value{"incident": {Value: false, At: moment(2)}}}))
}

// attested gives an image everything the policy asks for but approvals.
func (g *gatewayUnderTest) attested(d provenance.Digest) {
	g.t.Helper()
	g.give(d, scan(d, "trivy", 0, moment(4)), signed("sbom", "good", "build", moment(5)), signed("slsa-provenance", "built", "build", moment(5)))
}

// approve writes an approval of AuditMSP or another member, given in sight of what is there.
func (g *gatewayUnderTest) approve(s state.Subject, msp string, outcomes map[string]policy.Outcome) {
	g.t.Helper()
	g.block("rm@"+msp, g.put(s.ApprovalKey(1, msp), state.Approval{Subject: s, Attempt: 1, Approval: policy.Approval{
		By: policy.Person{MSP: msp, Name: "rm"}, At: time.Now(), Roles: []string{"release-manager"}, Policy: policy.Version{Name: "ruled", Version: 1}, Outcomes: outcomes,
	}}))
}

func allMet() map[string]policy.Outcome {
	return map[string]policy.Outcome{"evidence/scan": policy.Satisfied, "evidence/sbom": policy.Satisfied, "evidence/built": policy.Satisfied,
		"condition/quiet": policy.Satisfied, "condition/tagged": policy.Satisfied, "witnesses": policy.Satisfied}
}

func inboxOf(t *testing.T, c *api.Client) *waybillv1.GetInboxResponse {
	t.Helper()
	answer, err := c.GetInbox(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func lines(answer *waybillv1.GetInboxResponse) (all []string) {
	for _, i := range answer.GetItems() {
		line := fmt.Sprintf("%s mine=%v %s", i.GetKind(), i.GetMine(), i.GetDetail())
		if i.GetCommand() == "" || len(i.GetRoles()) == 0 {
			line += " WITHOUT A COMMAND OR A ROLE"
		}
		all = append(all, line)
	}
	return all
}

// TestInboxOfAPromotion follows one promotion from its request to its release,
// as three organisations see it.
func TestInboxOfAPromotion(t *testing.T) {
	g := start(t, nil)
	s := g.ruled()
	g.calm()
	auditor, robot, stranger := g.client(g.audit.issue("rm", soon())), g.client(g.audit.issue("bot", soon())), g.client(g.audit.issue("nobody", soon()))
	vendor := g.client(g.vendor.issue("rm", soon()))
	expect := func(when string, c *api.Client, want ...string) *waybillv1.GetInboxResponse {
		t.Helper()
		answer := inboxOf(t, c)
		if diff := cmp.Diff(want, lines(answer)); diff != "" {
			t.Errorf("%s; -want +got:\n%s", when, diff)
		}
		return answer
	}
	wanted := func(c *api.Client) (kinds string) {
		for _, i := range inboxOf(t, c).GetItems() {
			kinds += fmt.Sprintf("%s/%v ", i.GetKind(), i.GetMine())
		}
		return strings.TrimSpace(kinds)
	}
	for name, tc := range map[string]struct {
		c    *api.Client
		want string
	}{
		"release-manager of audit": {auditor, "approve/true attest/false"},
		"scanner of audit":         {g.client(g.audit.issue("trivy", soon())), "attest/true approve/false"},
		"robot of audit":           {robot, "approve/false attest/false"},
		"nobody of audit":          {stranger, "approve/false attest/false"},
		"requester":                {vendor, "attest/true attest/true approve/false"},
	} {
		if got := wanted(tc.c); got != tc.want {
			t.Errorf("requested: %s sees %q, want %q: %q", name, got, tc.want, lines(inboxOf(t, tc.c)))
		}
	}
	g.attested(s.Digest)
	answer := expect("attested", auditor, "approve mine=true rm@VendorMSP asks to release to production; 0 of 2 approvals")
	verdict, err := auditor.GetVerdict(t.Context(), inTeam+s.Digest.String(), "production")
	if err != nil {
		t.Fatal(err)
	}
	item := answer.GetItems()[0]
	if item.GetPolicy() != "ruled@1" || item.GetEvidenceSet() != verdict.GetEvidenceSet() || item.GetEvidenceSet() == "" || item.GetBy().GetName() != "rm" ||
		item.GetCommand() != "waybill approve "+inTeam+s.Digest.String()+" --to production" || len(item.GetLacks()) != 1 || item.GetLacks()[0].GetRule() != "approvals" {
		t.Errorf("item: %v", item)
	}
	if diff := cmp.Diff([]string{"release-manager"}, answer.GetRoles()); diff != "" {
		t.Error(diff)
	}

	g.approve(s, "AuditMSP", allMet())
	expect("approved", auditor)
	expect("approved, to the other", vendor, "approve mine=false rm@VendorMSP asks to release to production; 1 of 2 approvals")

	bad := scan(s.Digest, "trivy", 1, moment(6))
	g.give(s.Digest, scan(s.Digest, "trivy", 0, moment(4)), bad, signed("sbom", "good", "build", moment(5)), signed("slsa-provenance", "built", "build", moment(5)))
	answer = inboxOf(t, auditor)
	if len(answer.GetItems()) != 2 || answer.GetItems()[0].GetKind() != "approve-again" || !strings.Contains(answer.GetItems()[0].GetStale(), "evidence/scan was satisfied, is now violated") || !answer.GetItems()[0].GetMine() {
		t.Errorf("worse: %q", lines(answer))
	}
	promotions, err := auditor.ListPromotions(t.Context(), &waybillv1.ListPromotionsRequest{Status: "open"})
	if err != nil || len(promotions.GetPromotions()) != 1 {
		t.Fatalf("%v, %v", promotions, err)
	}
	p := promotions.GetPromotions()[0]
	if p.GetPolicy() != "ruled@1" || p.GetVerdict() != "denied" || p.GetEvidenceSet() == item.GetEvidenceSet() || p.GetApprovals()[0].GetStale() == "" || p.GetApprovals()[0].GetPolicy() != "ruled@1" {
		t.Errorf("promotion: %v", p)
	}

	g.attested(s.Digest)
	g.approve(s, "AuditMSP", allMet())
	g.approve(s, "PlatformMSP", allMet())
	expect("every rule is met", auditor, "release mine=true rm@VendorMSP asks to release to production; every rule is met")
	g.block("trivy@AuditMSP", g.put(state.HoldKey(s.Digest, "AuditMSP"), state.Hold{Digest: s.Digest, MSP: "AuditMSP", Reason: "CVE"}))
	expect("quarantined", auditor)
}

// TestInboxOfTheRest: votes, waivers and reviews, by who asks.
func TestInboxOfTheRest(t *testing.T) {
	g := start(t, nil)
	s := g.ruled()
	vendor := policy.Person{MSP: "VendorMSP", Name: "rm"}
	g.block("rm@VendorMSP", g.put(s.PromotionKey(), state.Promotion{Subject: s, Attempt: 1, Status: state.PromotionReleased}))
	g.proposed(state.Proposal{ID: "p1", Kind: state.ProposeMemberAdd, Name: "NewMSP", Act: state.Act{By: vendor, At: moment(5)}}, "VendorMSP")
	g.proposed(state.Proposal{ID: "old", Kind: state.ProposePolicy, Name: "ruled", Base: 0})
	g.proposed(state.Proposal{ID: "gone", Kind: state.ProposeMemberAdd, Name: "NewMSP", Status: state.ProposalWithdrawn})
	until := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	waiver := state.Waiver{ID: "w1", Stage: "production", Rule: "evidence/scan", Act: state.Act{By: vendor, At: moment(3)}, Reason: "scanner is down", Until: until, Approvers: []state.Approver{{Person: policy.Person{MSP: "VendorMSP", Name: "rm"}, At: moment(3)}}}
	ended := waiver
	ended.ID, ended.Until = "w2", moment(0)
	at := 6
	debt := func(d provenance.Digest, due time.Time, reviewed *policy.Person) state.Release {
		at++
		rel := state.Release{Subject: s, Debt: &policy.Debt{By: vendor, At: moment(at), Reason: "shop is down", Without: []string{"approvals"}, Due: due, Reviewed: reviewed}}
		rel.Digest = d
		return rel
	}
	paid, owed, overdue := debt(digest("paid"), until, &policy.Person{MSP: "AuditMSP", Name: "rm"}), debt(digest("owed"), until, nil), debt(digest("overdue"), moment(1), nil)
	g.block("rm@VendorMSP", g.put(state.WaiversKey(host, repo, "VendorMSP"), state.Waivers{Waivers: []state.Waiver{waiver, ended}}),
		g.put(paid.ReleasedKey(), paid), g.put(owed.ReleasedKey(), owed), g.put(overdue.ReleasedKey(), overdue))
	admin := g.audit.issueOU("boss", soon(), "admin")
	const vote, exception = "invite NewMSP; 1 of 2 votes", "go without evidence/scan until 2100-01-01T00:00:00Z: scanner is down; 1 of 2 approvals"
	const review = "released without approvals: shop is down"
	for name, tc := range map[string]struct {
		id   identity
		want []string
	}{
		"admin of audit, by certificate": {admin, []string{"review mine=true overdue; " + review, "review mine=true " + review, "vote mine=true " + vote, "waiver mine=true " + exception}},
		"release-manager of audit":       {g.audit.issue("rm", soon()), []string{"review mine=true overdue; " + review, "review mine=true " + review, "waiver mine=true " + exception, "vote mine=false " + vote}},
		"scanner of audit":               {g.audit.issue("trivy", soon()), []string{"review mine=false overdue; " + review, "review mine=false " + review, "vote mine=false " + vote, "waiver mine=false " + exception}},
		"who asked":                      {g.vendor.issue("rm", soon()), nil},
	} {
		answer := inboxOf(t, g.client(tc.id))
		got := lines(answer)
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s; -want +got:\n%s", name, diff)
		}
	}
	g.block("admin@VendorMSP", g.put(state.MembersKey(), state.Members{MSPs: []string{"PlatformMSP", "VendorMSP"}}))
	if answer := inboxOf(t, g.client(admin)); len(answer.GetItems()) != 0 || len(answer.GetRoles()) != 1 {
		t.Errorf("of no member: %v", answer)
	}
}

// TestInboxNeedsAName: anonymous reads do not reach what is about the caller.
func TestInboxNeedsAName(t *testing.T) {
	g := start(t, func(c *api.Config) { c.AnonymousReads = true })
	g.ruled()
	for method, path := range map[string]string{"GET": "/v1/inbox", "POST": "/v1/simulate"} {
		if status, body := g.rest(identity{}, method, path, "{}"); status != 401 || body["code"] != "WB_FORBIDDEN" {
			t.Errorf("%s: %d %v", path, status, body)
		}
	}
}

// TestApprovalsThatDoNotCount: the list says of each word why the rule does not count it.
func TestApprovalsThatDoNotCount(t *testing.T) {
	g := start(t, nil)
	s := g.ruled()
	g.block("admin@VendorMSP", g.enact(strings.Replace(ruledPolicyWithout, `"approvals":{"min":1}`, `"approvals":{"min":2,"exclude":["requester"],"expires":"1h"}`, 1), 2)...)
	say := func(msp string, change func(*state.Approval)) {
		a := state.Approval{Subject: s, Attempt: 1, Approval: policy.Approval{By: policy.Person{MSP: msp, Name: "ann"}, At: time.Now(), Roles: []string{"release-manager"}}}
		change(&a)
		g.block(a.By.Name+"@"+msp, g.put(s.ApprovalKey(1, msp), a))
	}
	c := g.client(g.audit.issue("auditor", soon()))
	why := func() map[string]string {
		t.Helper()
		answer, err := c.ListPromotions(t.Context(), &waybillv1.ListPromotionsRequest{})
		if err != nil || len(answer.GetPromotions()) != 1 {
			t.Fatalf("%v, %v", answer, err)
		}
		got := map[string]string{}
		for _, a := range answer.GetPromotions()[0].GetApprovals() {
			got[a.GetBy().GetMsp()], _, _ = strings.Cut(a.GetStale(), " at ")
		}
		return got
	}
	say("VendorMSP", func(a *state.Approval) { a.By.Name = "rm" })
	say("AuditMSP", func(a *state.Approval) { a.Robot = true })
	say("PlatformMSP", func(a *state.Approval) { a.Roles = []string{"auditor"} })
	say("GoneMSP", func(*state.Approval) {})
	want := map[string]string{"VendorMSP": "rm@VendorMSP requested the promotion", "AuditMSP": "robot",
		"PlatformMSP": "held no role release-manager", "GoneMSP": "of no member"}
	if diff := cmp.Diff(want, why()); diff != "" {
		t.Error(diff)
	}
	say("VendorMSP", func(*state.Approval) {})
	say("AuditMSP", func(a *state.Approval) { a.At = a.At.Add(-2 * time.Hour) })
	say("PlatformMSP", func(a *state.Approval) { a.Withdrawn = true })
	say("GoneMSP", func(a *state.Approval) { a.Withdrawn = true })
	want = map[string]string{"VendorMSP": "", "AuditMSP": "expired", "PlatformMSP": "withdrawn", "GoneMSP": "withdrawn"}
	if diff := cmp.Diff(want, why()); diff != "" {
		t.Error(diff)
	}
	g.block("rm@VendorMSP", g.put(s.PromotionKey(), state.Promotion{Subject: s, Attempt: 1, Status: state.PromotionReleased}))
	if got := why(); got["AuditMSP"] != "" || got["PlatformMSP"] != "withdrawn" {
		t.Errorf("once it is closed: %v", got)
	}
}
