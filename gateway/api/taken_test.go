package api_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// takenBack writes that what a person did since a time counts no more.
func (g *gatewayUnderTest) takenBack(who string, since time.Time) {
	g.t.Helper()
	name, msp, _ := strings.Cut(who, "@")
	thief := policy.Person{MSP: msp, Name: name}
	g.block("admin@"+msp, g.put(state.TakenKey(thief), state.TakenBack{MSP: msp, Identity: name, Since: since, Reason: "phished", Act: state.Act{By: policy.Person{MSP: msp, Name: "admin"}, At: since}}))
}

// TestTakenBack: what a stolen identity did is shown, does not count, and says why.
func TestTakenBack(t *testing.T) {
	g := start(t, nil)
	s := g.ruled()
	g.calm()
	g.attested(s.Digest)
	rm := func(msp string) policy.Person { return policy.Person{MSP: msp, Name: "rm"} }
	since := time.Now().Add(-time.Hour)
	g.approve(s, "AuditMSP", allMet())
	approved := func(msp string, at time.Time) state.Approver { return state.Approver{Person: rm(msp), At: at} }
	ballot := state.Ballot{Proposal: "p1", MSP: "AuditMSP", Yes: true, Act: state.Act{By: rm("AuditMSP"), At: time.Now()}}
	by := scan(s.Digest, "rm", 0, time.Now())
	by.Type, by.ID = "review", "r1"
	released := s
	released.Stage = "staging"
	g.proposed(state.Proposal{ID: "p1", Kind: state.ProposeMemberAdd, Name: "NewMSP", Hash: "abc", Round: 2, Act: state.Act{By: rm("VendorMSP")}}, "VendorMSP")
	waiver := state.Waiver{ID: "w1", Stage: "production", Rule: "evidence/scan", Until: soon(), Approvers: []state.Approver{approved("VendorMSP", since), approved("AuditMSP", time.Now())}, Act: state.Act{By: rm("VendorMSP")}}
	rel := state.Release{Subject: released, Attempt: 1, Policy: policy.Version{Name: "ruled", Version: 1, Hash: "def"}, Approvers: []state.Approver{approved("VendorMSP", since), approved("AuditMSP", time.Now())}, Review: "seen"}
	g.block("rm@AuditMSP", g.put(state.BallotKey("p1", "AuditMSP"), ballot),
		g.put(state.WaiversKey(host, repo, "VendorMSP"), state.Waivers{Waivers: []state.Waiver{waiver}}),
		g.put(state.EvidenceKey(s.Digest, by.Type, by.ID), by),
		g.put(released.PromotionKey(), state.Promotion{Subject: released, Attempt: 1, Status: state.PromotionReleased}), g.put(released.ReleasedKey(), rel),
		g.put(state.GrantKey("AuditMSP", "helper", "release-manager"), state.Grant{MSP: "AuditMSP", Identity: "helper", Role: state.RoleReleaseManager, Act: state.Act{By: rm("AuditMSP"), At: time.Now()}}))
	c := g.client(g.audit.issue("helper", soon()))
	ctx := t.Context()
	image := inTeam + s.Digest.String()
	look := func() map[string]string {
		t.Helper()
		got := map[string]string{}
		promotions, err := c.ListPromotions(ctx, &waybillv1.ListPromotionsRequest{Status: "open"})
		if err != nil {
			t.Fatal(err)
		}
		got["approval"] = fmt.Sprint(promotions.GetPromotions()[0].GetApprovals()[0].GetTakenBack(), "|", promotions.GetPromotions()[0].GetApprovals()[0].GetStale())
		proposal, err := c.GetProposal(ctx, "p1")
		if err != nil {
			t.Fatal(err)
		}
		got["ballot"] = fmt.Sprint(proposal.GetProposal().GetVotes()[0].GetTakenBack(), "|", proposal.GetProposal().GetWaiting(), proposal.GetProposal().GetRound(), proposal.GetProposal().GetTitle())
		waivers, err := c.ListWaivers(ctx, "")
		if err != nil {
			t.Fatal(err)
		}
		w := waivers.GetWaivers()[0]
		got["waiver"] = fmt.Sprint(w.GetStatus(), "|", w.GetApproved()[0].GetTakenBack(), "|", w.GetApproved()[1].GetTakenBack(), len(w.GetApprovers()), w.GetHash() == waiver.Hash())
		evidence, err := c.GetEvidence(ctx, image, "review")
		if err != nil {
			t.Fatal(err)
		}
		got["evidence"] = fmt.Sprint(strings.Contains(evidence.GetEvidence()[0].GetWhy(), "taken back by admin@AuditMSP"))
		answer, err := c.GetImage(ctx, image)
		if err != nil {
			t.Fatal(err)
		}
		r := answer.GetReleases()[0]
		got["release"] = fmt.Sprint(r.GetApproved()[1].GetTakenBack(), "|", r.GetReview(), r.GetHash() == rel.Hash(), r.GetPolicy().GetHash())
		inbox := inboxOf(t, c)
		got["roles"] = fmt.Sprint(inbox.GetRoles())
		members, err := c.ListMembers(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, grant := range members.GetGrants() {
			if grant.GetIdentity() == "helper" {
				got["grant"] = grant.GetTakenBack()
			}
		}
		got["members"] = fmt.Sprint(len(members.GetTakenBack()))
		return got
	}
	want := map[string]string{
		"approval": "|", "ballot": "|[PlatformMSP] 2invite NewMSP", "waiver": "active||2 true", "evidence": "false", "release": "|seentruedef", "roles": "[release-manager]", "grant": "", "members": "0",
	}
	if diff := cmp.Diff(want, look()); diff != "" {
		t.Errorf("before, -want +got:\n%s", diff)
	}
	// What was done before the theft stands.
	g.takenBack("rm@VendorMSP", time.Now())
	g.takenBack("rm@AuditMSP", since)
	why := "taken back by admin@AuditMSP since " + since.UTC().Format("2006-01-02 15:04 UTC") + ": phished"
	want = map[string]string{
		"approval": why + "|taken back: " + why, "ballot": why + "|[AuditMSP PlatformMSP] 2invite NewMSP", "waiver": "pending||" + why + "2 true", "evidence": "true",
		"release": why + "|seentruedef", "roles": "[]", "grant": why, "members": "2",
	}
	if diff := cmp.Diff(want, look()); diff != "" {
		t.Errorf("after, -want +got:\n%s", diff)
	}
	if thief := inboxOf(t, g.client(g.audit.issueOU("rm", soon(), "admin"))); len(thief.GetRoles()) != 0 || len(thief.GetItems()) == 0 || thief.GetItems()[0].GetMine() {
		t.Errorf("the stolen identity itself: %v", thief)
	}
	inbox := lines(inboxOf(t, g.client(g.audit.issue("boss", soon()))))
	for _, kind := range []string{"approve-again", "vote", "waiver"} {
		if !strings.Contains(strings.Join(inbox, "\n"), kind) {
			t.Errorf("no %s in %q", kind, inbox)
		}
	}
}

// TestWhatIsAgreedOn: the answers name what is agreed on in full, and who has
// which part of a registry.
func TestWhatIsAgreedOn(t *testing.T) {
	g := start(t, nil)
	s := g.ruled()
	hash := parsed(t, ruledPolicy)
	claims := []state.Claim{{Owner: "VendorMSP", Kind: "distribution"}, {Namespace: "team/a", Owner: "AuditMSP", Kind: "harbor"}}
	g.block("admin@VendorMSP", g.put(state.RegistryKey(host), state.Registry{Host: host, Claims: claims, Version: 1}),
		g.put(state.PlaceKey(digest("bare"), host, repo), &state.Place{MSP: "VendorMSP", TagsCut: true}),
		g.put(state.HoldKey(digest("bare"), "GoneMSP"), state.Hold{Digest: digest("bare"), MSP: "GoneMSP", Lifted: true, Since: moment(1), Proposal: "p9"}),
		g.put(s.CarrierKey(), state.Carrier{Index: digest("index")}))
	change := encode(t, state.RegistryChange{Host: host, Namespace: "team/a", Owner: "VendorMSP", Kind: "harbor"})
	lift := encode(t, state.LiftChange{Digest: digest("bare"), MSP: "GoneMSP"})
	claimed := string(host) + "/team/a"
	g.proposed(state.Proposal{ID: "r0", Kind: state.ProposeRegistry, Name: claimed, Base: 0, Body: change})
	g.proposed(state.Proposal{ID: "r1", Kind: state.ProposeRegistry, Name: claimed, Base: 1, Body: change})
	g.proposed(state.Proposal{ID: "l1", Kind: state.ProposeLift, Name: digest("bare").String() + " GoneMSP", Base: int(moment(1).Unix()), Body: lift})
	c := g.client(g.audit.issue("rm", soon()))
	ctx := t.Context()
	v, err := c.GetVerdict(ctx, inTeam+s.Digest.String(), "production")
	if err != nil || v.GetPolicy().GetHash() != hash.Hash() || v.GetAttempt() != 1 || v.GetRequester().GetName() != "rm" {
		t.Errorf("verdict: %v, %v", v, err)
	}
	registries, err := c.ListRegistries(ctx)
	if err != nil || len(registries.GetRegistries()) != 2 || registries.GetRegistries()[1].GetNamespace() != "team/a" || registries.GetRegistries()[1].GetOwner() != "AuditMSP" || registries.GetRegistries()[0].GetNamespace() != "" {
		t.Errorf("registries: %v, %v", registries, err)
	}
	proven, err := c.GetImage(ctx, inTeam+s.Digest.String())
	if err != nil || !proven.GetPlaces()[0].GetProven() || len(proven.GetPlaces()[0].GetCarriers()) != 1 || proven.GetPlaces()[0].GetCarriers()[0].GetIndex() != digest("index").String() {
		t.Errorf("proven: %v, %v", proven, err)
	}
	p := proven.GetPromotions()[0]
	if p.GetPolicyHash() != hash.Hash() || p.GetExpires() == nil || p.GetAttempt() != 1 {
		t.Errorf("promotion: %v", p)
	}
	bare, err := c.GetImage(ctx, inTeam+digest("bare").String())
	if err != nil || bare.GetPlaces()[0].GetProven() || !bare.GetPlaces()[0].GetTagsCut() || bare.GetHolds()[0].GetProposal() != "p9" || bare.GetHolds()[0].GetSince() == nil {
		t.Errorf("recorded by its digest alone: %v, %v", bare, err)
	}
	for id, want := range map[string]string{"r0": "true give namespace team/a of registry reg.example:5000 (harbor) to VendorMSP", "r1": "false give namespace team/a of registry reg.example:5000 (harbor) to VendorMSP",
		"l1": "true lift the quarantine of " + digest("bare").String() + " by GoneMSP"} {
		one, err := c.GetProposal(ctx, id)
		if got := fmt.Sprint(one.GetProposal().GetOutdated(), " ", one.GetProposal().GetTitle()); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", id, got, err, want)
		}
	}
}
