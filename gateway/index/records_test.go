package index

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

func actOf(who string, minute int) state.Act {
	name, msp, _ := strings.Cut(who, "@")
	return state.Act{By: policy.Person{MSP: msp, Name: name}, At: at(minute)}
}

func approver(who string) state.Approver {
	return state.Approver{Person: actOf(who, 0).By, At: at(10)}
}

// ruled is a chain with every record of rules and evidence, each written as
// the contract writes it.
func ruled(t testing.TB) *chain {
	c := newChain(t)
	s := state.Subject{Stage: "production", Host: host, Repository: repo, Digest: digest("v1")}
	act := actOf
	one := func(who string, writes ...block.Write) { c.block(c.tx(0, who, writes...)) }
	c.block()
	one("admin@VendorMSP", c.put(state.MembersKey(), state.Members{MSPs: []string{"VendorMSP"}, Invited: []string{"AuditMSP", "LateMSP"}}))
	one("admin@AuditMSP", c.put(state.MembersKey(), state.Members{MSPs: []string{"AuditMSP", "VendorMSP"}, Invited: []string{"LateMSP"}}),
		c.put(state.MemberKey("AuditMSP"), state.Member{MSP: "AuditMSP", Name: "audit"}))

	key := state.TrustKey{MSP: "VendorMSP", Name: "build", Kind: "public-key", Fingerprint: "0123456789abcdef99", Act: act("admin@VendorMSP", 3)}
	one("admin@VendorMSP", c.put(state.TrustKeyKey("VendorMSP", "build"), key), c.put(state.SchemaKey("VendorMSP", "licence"), state.Schema{Name: "licence", MSP: "VendorMSP", Schema: json.RawMessage(`{}`)}))
	one("gateway@VendorMSP", c.segment(event(provenance.Push, "1.0", "v1", 4))...)
	signature := event(provenance.Push, "", "signature", 4)
	signature.Subject = digest("v1")
	one("gateway@VendorMSP", c.segment(signature)...)
	liar := event(provenance.Push, "", "unproven", 4) // its manifest's bytes were not there
	liar.Subject, liar.MediaType = digest("v1"), unproven
	one("gateway@VendorMSP", c.segment(liar)...)

	e := state.Evidence{Digest: s.Digest, Type: "vuln-scan", ID: "e1", Format: "dsse", Facts: json.RawMessage(`{"critical":0}`), Signer: policy.Signer{Kind: policy.SignedByKey, MSP: "VendorMSP", Key: "build"}}
	one("gateway@VendorMSP", c.put(state.EvidenceKey(s.Digest, e.Type, e.ID), e), c.put(state.EvidenceSetKey(s.Digest, "VendorMSP"), state.EvidenceSet{Entries: []state.EvidenceEntry{{ID: "e1"}}}))
	e.ID, e.Type, e.Format, e.Signer = "e2", "review", "plain", policy.Signer{Kind: policy.SignedByPerson, MSP: "AuditMSP", Name: "ann"}
	one("ann@AuditMSP", c.put(state.EvidenceKey(s.Digest, e.Type, e.ID), e))
	key.Withdrawn = &state.Withdrawal{Reason: "laptop lost", CompromisedSince: at(3)}
	one("admin@VendorMSP", c.put(state.TrustKeyKey("VendorMSP", "build"), key))
	root := state.TrustedRoot{MSP: "VendorMSP", Name: "ci", Version: 2, Hash: "0123456789abcdef99"}
	one("admin@VendorMSP", c.put(state.TrustedRootKey("VendorMSP", "ci"), root))
	root.MSP, root.Withdrawn = "", &state.Withdrawal{Reason: "its key is out", CompromisedSince: at(3)}
	one("admin@AuditMSP", c.put(state.TrustedRootKey("", "ci"), root), c.put(state.RootVersionKey("", "ci", 1), state.RootVersion{}), c.put(state.RootListKey(""), state.RootList{}))
	one("gateway@AuditMSP", c.put(state.WitnessKey(s.Digest, host, repo, "AuditMSP"), state.Witness{MSP: "AuditMSP"}))

	w := state.Waiver{ID: "w1", Stage: s.Stage, Rule: "evidence/scan", Digest: s.Digest, Reason: "scanner is down", Until: at(59), Approvers: []state.Approver{approver("rm@VendorMSP")}, Act: act("rm@VendorMSP", 10)}
	waivers := func(who string, all ...state.Waiver) {
		one(who, c.put(state.WaiversKey(host, repo, "VendorMSP"), state.Waivers{Waivers: all}))
	}
	waivers("rm@VendorMSP", w)
	other := w
	other.ID, other.Digest = "w2", provenance.Digest{}
	w.Approvers = []state.Approver{approver("rm@AuditMSP"), w.Approvers[0]} // the contract keeps them sorted
	waivers("rm@AuditMSP", w, other)
	w.Revoked, w.Revocation = true, &state.Revocation{Reason: "it is up again"}
	waivers("rm@AuditMSP", w)

	one("admin@VendorMSP", c.put(state.LabelsKey(host, repo), state.Labels{Labels: map[string]string{"tier": "1", "team": "a"}}))
	one("admin@VendorMSP", c.put(state.LabelsKey(host, repo), state.Labels{Labels: map[string]string{"tier": "2"}}))
	one("rm@AuditMSP", c.put(state.ContextKey("AuditMSP"), state.Context{Values: map[string]policy.Value{"incident": {Value: true, At: at(15)}}}))

	p := state.Proposal{ID: "p1", Kind: state.ProposePolicy, Name: "default", Hash: "abcdefabcdefabcdef", Status: state.ProposalOpen}
	one("admin@VendorMSP", c.put(state.ProposalKey("p1"), p), c.put(state.BallotKey("p1", "VendorMSP"), state.Ballot{Proposal: "p1", MSP: "VendorMSP", Yes: true}))
	p.Status, p.Version = state.ProposalAccepted, 1
	one("admin@AuditMSP", c.put(state.ProposalKey("p1"), p), c.put(state.BallotKey("p1", "AuditMSP"), state.Ballot{Proposal: "p1", MSP: "AuditMSP", Yes: true, Reason: "agreed"}),
		c.put(state.PolicyKey("default", 1), state.PolicyVersion{Name: "default", Version: 1, Hash: p.Hash}))
	gone := state.Proposal{ID: "p2", Kind: state.ProposeMemberRemove, Name: "AuditMSP", Status: state.ProposalOpen}
	one("admin@VendorMSP", c.put(state.ProposalKey("p2"), gone))
	gone.Status = state.ProposalWithdrawn
	one("admin@VendorMSP", c.put(state.ProposalKey("p2"), gone))

	one("rm@VendorMSP", c.put(s.PromotionKey(), state.Promotion{Subject: s, Attempt: 1, Status: state.PromotionOpen}))
	a := state.Approval{Subject: s, Attempt: 1, Approval: policy.Approval{By: policy.Person{MSP: "AuditMSP", Name: "rm"}}}
	one("rm@AuditMSP", c.put(s.ApprovalKey(1, "AuditMSP"), a))
	a.Withdrawn, a.WithdrawnFor = true, "too early"
	one("rm@AuditMSP", c.put(s.ApprovalKey(1, "AuditMSP"), a))
	rel := state.Release{Subject: s, Attempt: 1, Policy: policy.Version{Name: "default", Version: 1}, Act: act("rm@VendorMSP", 23),
		Debt: &policy.Debt{By: policy.Person{MSP: "VendorMSP", Name: "rm"}, Reason: "the shop is down", Without: []string{"approvals", "soak"}, Due: at(50)}}
	one("rm@VendorMSP", c.put(s.ReleasedKey(), rel), c.put(s.ReleaseKey(), state.Current{Digest: s.Digest}))
	reviewed := *rel.Debt
	reviewed.Reviewed, reviewed.ReviewAt = &policy.Person{MSP: "AuditMSP", Name: "ann"}, at(24)
	rel.Debt = &reviewed
	rel.Review = "looked at it"
	one("ann@AuditMSP", c.put(s.ReleasedKey(), rel))
	second := s
	second.Digest = digest("v2")
	one("gateway@VendorMSP", c.put(second.ReleasedKey(), state.Release{Subject: second, Previous: s.Digest, Auto: true, Policy: rel.Policy, Act: act("gateway@VendorMSP", 25)}), c.put(s.ReleaseKey(), state.Current{Digest: second.Digest}))
	rel.Rollback, rel.Previous, rel.Act = true, second.Digest, act("rm@VendorMSP", 26)
	one("rm@VendorMSP", c.put(s.ReleasedKey(), rel), c.put(s.ReleaseKey(), state.Current{Digest: s.Digest, Pinned: true}))
	one("rm@VendorMSP", c.put(s.ReleaseKey(), state.Current{Digest: s.Digest}))
	one("admin@VendorMSP", c.put(state.MembersKey(), state.Members{MSPs: []string{"VendorMSP"}, Majority: 1}))
	return c
}

// TestRecords reads the whole index: every record of the chain is an act, once.
func TestRecords(t *testing.T) { onDatabases(t, testRecords) }

func testRecords(t *testing.T, create creator) {
	x := applied(t, create, ruled(t))
	got := told(t, x)
	want := []string{
		"member by admin@VendorMSP: AuditMSP may join; LateMSP may join",
		"member by admin@AuditMSP: AuditMSP joined as \"audit\"",
		"key by admin@VendorMSP: VendorMSP answers for key build (public-key, 0123456789abcdef)",
		"schema by admin@VendorMSP: evidence type custom/VendorMSP/licence",
		"push by gateway@VendorMSP: pushed as 1.0",
		"push by gateway@VendorMSP: pushed",
		"push by gateway@VendorMSP: pushed",
		"evidence by gateway@VendorMSP: vuln-scan by key build of VendorMSP (dsse)",
		"evidence by ann@AuditMSP: review by ann@AuditMSP (plain)",
		"key-withdrawn by admin@VendorMSP: key build of VendorMSP is withdrawn, compromised since 2026-01-01T12:03:00Z: laptop lost",
		"trusted-root by admin@VendorMSP: root ci of VendorMSP is trusted in version 2 (0123456789abcdef)",
		"trusted-root-withdrawn by admin@AuditMSP: shared root ci is withdrawn, compromised since 2026-01-01T12:03:00Z: its key is out",
		"witness by gateway@AuditMSP: seen at the registry by AuditMSP",
		"waiver by rm@VendorMSP: waiver w1 of evidence/scan for production until 2026-01-01T12:59:00Z is asked for: scanner is down",
		"waiver-approval by rm@AuditMSP: waiver w1 of evidence/scan for production until 2026-01-01T12:59:00Z is approved by rm@AuditMSP",
		"waiver by rm@AuditMSP: waiver w2 of evidence/scan for production until 2026-01-01T12:59:00Z is asked for: scanner is down",
		"waiver-revoked by rm@AuditMSP: waiver w1 of evidence/scan for production until 2026-01-01T12:59:00Z is revoked: it is up again",
		"label by admin@VendorMSP: label team is \"a\"",
		"label by admin@VendorMSP: label tier is \"1\"",
		"label by admin@VendorMSP: label team is removed",
		"label by admin@VendorMSP: label tier is \"2\"",
		"context by rm@AuditMSP: AuditMSP says incident is true",
		"vote by admin@VendorMSP: VendorMSP votes yes on proposal p1",
		"proposal by admin@VendorMSP: proposal p1 is open: a new policy default (abcdefabcdef)",
		"vote by admin@AuditMSP: AuditMSP votes yes on proposal p1: agreed",
		"policy by admin@AuditMSP: policy default version 1 is active (abcdefabcdef)",
		"proposal-accepted by admin@AuditMSP: proposal p1 is accepted: a new policy default (abcdefabcdef)",
		"proposal by admin@VendorMSP: proposal p2 is open: remove AuditMSP",
		"proposal-withdrawn by admin@VendorMSP: proposal p2 is withdrawn: remove AuditMSP",
		"promotion by rm@VendorMSP: promotion to production requested",
		"approval by rm@AuditMSP: approved for production",
		"approval-withdrawn by rm@AuditMSP: the word of rm@AuditMSP on production is withdrawn: too early",
		"break-glass by rm@VendorMSP: released to production under policy default version 1 without approvals, soak, to be reviewed by 2026-01-01T12:50:00Z: the shop is down",
		"review by ann@AuditMSP: break-glass release to production by rm@VendorMSP is reviewed: looked at it",
		"release by gateway@VendorMSP: released to production under policy default version 1, automatically",
		"rollback by rm@VendorMSP: rolled back: released to production under policy default version 1",
		"resume by rm@VendorMSP: releases to production may be automatic again",
		"member by admin@VendorMSP: AuditMSP is no longer a member; 1 members decide",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestImageHistoryHasEvidence: evidence belongs to the digest, in whichever repository it is asked for.
func TestImageHistoryHasEvidence(t *testing.T) { onDatabases(t, testImageHistoryHasEvidence) }

func testImageHistoryHasEvidence(t *testing.T, create creator) {
	x := applied(t, create, ruled(t))
	for _, f := range []readmodel.HistoryFilter{{Digest: digest("v1")}, {Digest: digest("v1"), Host: host, Repository: repo}, {Digest: digest("v1"), Host: host, Repository: "team/other"}} {
		lines, _ := history(t, x, f, readmodel.Page{})
		text := strings.Join(lines, "\n")
		for _, kind := range []string{" evidence by gateway@VendorMSP", " evidence by ann@AuditMSP"} {
			if !strings.Contains(text, kind) {
				t.Errorf("%+v: no%s in\n%s", f, kind, text)
			}
		}
		if f.Repository == repo && !strings.Contains(text, " witness by ") {
			t.Errorf("no witness in\n%s", text)
		}
	}
}

func TestLists(t *testing.T) { onDatabases(t, testLists) }

func testLists(t *testing.T, create creator) {
	c := ruled(t)
	x := applied(t, create, c)
	view(t, x, func(s *Snapshot) {
		proposals := func(f readmodel.ProposalFilter, p readmodel.Page) (ids []string, next string) {
			p.NewestFirst = true
			all, next, err := s.Proposals(f, p)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range all {
				ids = append(ids, p.ID+" "+string(p.Status))
			}
			return ids, next
		}
		both := []string{"p2 withdrawn", "p1 accepted"}
		for name, tc := range map[string]struct {
			f    readmodel.ProposalFilter
			want []string
		}{
			"all": {want: both}, "accepted": {readmodel.ProposalFilter{Status: state.ProposalAccepted}, both[1:]}, "closed": {readmodel.ProposalFilter{Closed: true}, both},
			"open": {readmodel.ProposalFilter{Status: state.ProposalOpen}, nil},
		} {
			if got, next := proposals(tc.f, readmodel.Page{}); next != "" || cmp.Diff(tc.want, got) != "" {
				t.Errorf("%s: %v %q", name, got, next)
			}
		}
		first, next := proposals(readmodel.ProposalFilter{}, readmodel.Page{Size: 1})
		second, last := proposals(readmodel.ProposalFilter{}, readmodel.Page{Size: 1, Token: next})
		if diff := cmp.Diff(both, append(first, second...)); diff != "" || last != "" {
			t.Errorf("by pages: %s %q", diff, last)
		}
		releases, err := s.Releases(0, 9)
		if err != nil || len(releases) != 2 || releases[0].Digest != digest("v1") || !releases[0].Rollback || releases[1].Digest != digest("v2") {
			t.Errorf("releases: %+v, %v", releases, err)
		}
		if skipped, err := s.Releases(1, 9); err != nil || len(skipped) != 1 || skipped[0].Digest != digest("v2") {
			t.Errorf("after the first: %+v, %v", skipped, err)
		}
		for _, tc := range []struct {
			repo provenance.Repository
			want int
		}{{repo, 1}, {"team/other", 0}} {
			if got, err := s.Referrers(digest("v1"), host, tc.repo, 9); err != nil || len(got) != tc.want || (len(got) == 1 && got[0] != digest("signature")) {
				t.Errorf("referrers in %s: %v, %v", tc.repo, got, err)
			}
		}
	})
}

// TestRebuildOfRulesIsTheSame: batches do not change what is derived.
func TestRebuildOfRulesIsTheSame(t *testing.T) { onDatabases(t, testRebuildOfRulesIsTheSame) }

func testRebuildOfRulesIsTheSame(t *testing.T, create creator) {
	c := ruled(t)
	one, two := applied(t, create, c), create(t)
	if err := two.ApplyBatch(t.Context(), c.blocks); err != nil {
		t.Fatal(err)
	}
	a, err := one.Fingerprint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if b, err := two.Fingerprint(t.Context()); a != b || err != nil {
		t.Errorf("%s and %s, %v", a, b, err)
	}
}
