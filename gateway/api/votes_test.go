package api_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// proposed opens a proposal with yes votes of some members.
func (g *gatewayUnderTest) proposed(p state.Proposal, yes ...string) {
	g.t.Helper()
	if p.Status == "" {
		p.Status = state.ProposalOpen
	}
	head, text := p.Parted()
	head.Subject = p.Title()
	g.block("admin@VendorMSP", g.put(state.ProposalKey(p.ID), head), g.put(state.ProposalTextKey(p.ID), text))
	for _, msp := range yes {
		g.block("admin@"+msp, g.put(state.BallotKey(p.ID, msp), state.Ballot{Proposal: p.ID, MSP: msp, Yes: true, Act: state.Act{By: policy.Person{MSP: msp, Name: "admin"}}}))
	}
}

func TestProposals(t *testing.T) {
	g := start(t, nil)
	g.ruled()
	text := parsed(t, ruledPolicy)
	g.proposed(state.Proposal{ID: "open", Kind: state.ProposePolicy, Name: "ruled", Base: 1, Body: text.Canonical(), Source: "# why\n", Hash: "abc"}, "VendorMSP")
	g.proposed(state.Proposal{ID: "old", Kind: state.ProposePolicy, Name: "ruled", Base: 0, Body: text.Canonical()}, "VendorMSP")
	g.proposed(state.Proposal{ID: "in", Kind: state.ProposeMemberAdd, Name: "NewMSP", Body: []byte(`{}`), Status: state.ProposalAccepted}, "VendorMSP", "AuditMSP")
	g.block("admin@AuditMSP", g.put(state.BallotKey("open", "AuditMSP"), state.Ballot{Proposal: "open", MSP: "AuditMSP", Reason: "too lax"}))
	g.proposed(state.Proposal{ID: "old-in", Kind: state.ProposeMajority, Base: 7, Body: []byte(`{}`)}, "VendorMSP", "GoneMSP")
	c := g.client(g.audit.issue("auditor", soon()))
	ctx := t.Context()
	list := func(status string) (lines []string) {
		t.Helper()
		answer, err := c.ListProposals(ctx, status)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range answer.GetProposals() {
			lines = append(lines, fmt.Sprintf("%s %s votes=%d needed=%d waiting=%v outdated=%v", p.GetId(), p.GetStatus(), len(p.GetVotes()), p.GetNeeded(), p.GetWaiting(), p.GetOutdated()))
		}
		return lines
	}
	want := []string{
		"old-in open votes=1 needed=2 waiting=[AuditMSP PlatformMSP] outdated=true",
		"old open votes=1 needed=2 waiting=[AuditMSP PlatformMSP] outdated=true",
		"open open votes=2 needed=2 waiting=[PlatformMSP] outdated=false",
		"in accepted votes=2 needed=2 waiting=[] outdated=false",
	}
	if diff := cmp.Diff(want, list("")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want[3:], list("accepted")); diff != "" {
		t.Error(diff)
	}
	if _, err := c.ListProposals(ctx, "odd"); provenance.CodeOf(err) != provenance.Invalid {
		t.Errorf("an odd status: %v", err)
	}
	one, err := c.GetProposal(ctx, "open")
	if err != nil || one.GetProposal().GetVotes()[0].GetReason() != "too lax" || one.GetProposal().GetVotes()[0].GetYes() || one.GetProposal().GetBody() != string(text.Canonical()) || one.GetProposal().GetSource() != "# why\n" {
		t.Errorf("one: %v, %v", one, err)
	}
	for _, id := range []string{"none", "", "open\x00", "../policies/ruled"} {
		if _, err := c.GetProposal(ctx, id); provenance.CodeOf(err) != provenance.NotFound {
			t.Errorf("%q: %v", id, err)
		}
	}
	policies, err := c.ListPolicies(ctx)
	if err != nil || len(policies.GetProposals()) != 2 {
		t.Errorf("policies: %v, %v", policies, err)
	}
}

// Updates of the channel are large, and one organisation may propose and withdraw as many as it likes: others see
// their list all the same.
func TestListOfLargeProposals(t *testing.T) {
	g := start(t, nil)
	g.ruled()
	body, err := state.Encode(state.ChannelChange{Title: "batch", Update: make([]byte, 256<<10)})
	if err != nil {
		t.Fatal(err)
	}
	const count = 100
	for i := range count {
		g.proposed(state.Proposal{ID: fmt.Sprintf("%03d", i), Kind: state.ProposeChannel, Name: "batch", Body: body, Status: state.ProposalWithdrawn})
	}
	c := g.client(g.audit.issue("auditor", soon()))
	all, err := c.ListProposals(t.Context(), "")
	if err != nil || len(all.GetProposals()) != count || all.GetProposals()[0].GetTitle() != "change the channel: batch" || all.GetProposals()[0].GetBody() != "" {
		t.Fatalf("%d proposals, %v", len(all.GetProposals()), err)
	}
	one, err := c.GetProposal(t.Context(), "000")
	if err != nil || one.GetProposal().GetBody() != string(body) {
		t.Errorf("one of them, with %d bytes of %d: %v", len(one.GetProposal().GetBody()), len(body), err)
	}
}

func TestPolicyVersions(t *testing.T) {
	g := start(t, nil)
	g.ruled()
	g.block("admin@VendorMSP", g.enact(ruledPolicy, 2)...)
	c := g.client(g.audit.issue("auditor", soon()))
	answer, err := c.ListPolicyVersions(t.Context(), "ruled")
	if err != nil || len(answer.GetVersions()) != 2 || answer.GetVersions()[0].GetVersion() != 2 || !answer.GetVersions()[0].GetActive() || answer.GetVersions()[1].GetActive() {
		t.Errorf("%v, %v", answer, err)
	}
	for name, want := range map[string]provenance.Code{"none": provenance.NotFound, "": provenance.Invalid, "rule": provenance.NotFound} {
		if _, err := c.ListPolicyVersions(t.Context(), name); provenance.CodeOf(err) != want {
			t.Errorf("%q: %v", name, err)
		}
	}
}
