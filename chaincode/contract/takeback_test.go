package contract

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// takeBack takes back what an identity did since a moment.
func (l *ledger) takeBack(org, identity string, since time.Time) {
	l.t.Helper()
	l.do("admin@"+org, "member:TakeBack", identity, since.Format(time.RFC3339), "its key was copied")
}

// says tells whether some reason of a verdict contains a text.
func says(v policy.Verdict, text string) bool {
	return slices.ContainsFunc(v.Reasons, func(r policy.Reason) bool { return strings.Contains(r.Detail, text) })
}

// TestAStolenApprovalIsTakenBack: what a thief approved counts no more, before
// the release and after it, and it is told why.
func TestAStolenApprovalIsTakenBack(t *testing.T) {
	l := network(t)
	l.govern(`"stages":[{"name":"staging","approvals":{"min":2}}]`)
	l.pushed("v1", "v2", "v3")
	for _, c := range []string{"v1", "v2", "v3"} {
		l.do("publisher@VendorMSP", about("promotion:Request", c, "staging")...)
	}
	l.approve("release-manager@AuditMSP", "v3", "staging")
	expect(t, "before the theft", l.approve("release-manager@PlatformMSP", "v3", "staging"), policy.Allowed, "", "")
	l.now = l.now.Add(time.Hour)
	since := l.now
	l.now = l.now.Add(time.Minute)
	l.approve("release-manager@AuditMSP", "v1", "staging") // the thief
	expect(t, "released on a stolen word", l.approve("release-manager@PlatformMSP", "v1", "staging"), policy.Allowed, "", "")
	l.approve("release-manager@AuditMSP", "v2", "staging")
	l.now = l.now.Add(time.Hour)
	l.takeBack("AuditMSP", "release-manager", since)

	v := l.ask("v2", "staging")
	expect(t, "before the release", v, policy.Pending, "approvals", policy.Unmet)
	if !says(v, "0 of 2") || !says(v, "taken back") {
		t.Errorf("it does not say why the word does not count: %+v", v.Reasons)
	}
	v = l.ask("v1", "staging")
	if v.Verdict == policy.Allowed || !says(v, "taken back") {
		t.Errorf("what was released on it runs still, or it is not said why: %+v", v)
	}
	expect(t, "what was released before", l.ask("v3", "staging"), policy.Allowed, "", "")
	// The thief does nothing any more, whatever roles it has; it may look.
	for _, act := range [][]string{l.approval("v2", "staging", "again"), about("promotion:Request", "v1", "staging"), about("release:Release", "v3", "staging")} {
		l.refused(provenance.Forbidden, "release-manager@AuditMSP", act...)
	}
	l.do("release-manager@AuditMSP", "member:List")
	// The organisation speaks again, by somebody else, and the image comes back.
	l.do("admin@AuditMSP", "member:Grant", "deputy", "release-manager")
	l.do("publisher@VendorMSP", about("promotion:Request", "v1", "staging")...)
	l.approve("deputy@AuditMSP", "v1", "staging")
	expect(t, "looked at again", l.approve("release-manager@PlatformMSP", "v1", "staging"), policy.Allowed, "", "")
	expect(t, "the other one", l.approve("deputy@AuditMSP", "v2", "staging"), policy.Pending, "", "")
	expect(t, "the other one", l.approve("release-manager@PlatformMSP", "v2", "staging"), policy.Allowed, "", "")
}

// TestAReleaseRestsOnWhatCounted: an approval that had expired when the image was
// released does not hold it up once one that counted is taken back, not even after
// a rollback.
func TestAReleaseRestsOnWhatCounted(t *testing.T) {
	l := network(t)
	l.govern(`"stages":[{"name":"staging","approvals":{"min":2,"expires":"1h"}}]`)
	l.pushed("v1", "v2")
	approve := func(content string, orgs ...string) {
		t.Helper()
		for _, org := range orgs {
			l.approve("release-manager@"+org, content, "staging")
		}
	}
	for _, c := range []string{"v1", "v2"} {
		l.do("publisher@VendorMSP", about("promotion:Request", c, "staging")...)
	}
	approve("v1", "SecurityMSP")
	l.now = l.now.Add(2 * time.Hour)
	since := l.now
	approve("v1", "PlatformMSP", "AuditMSP")
	expect(t, "released by the two", l.ask("v1", "staging"), policy.Allowed, "", "")
	if rel := read[state.Release](l, subject("v1", "staging").ReleasedKey()); len(rel.Approvers) != 2 {
		t.Errorf("it rests on %+v", rel.Approvers)
	}
	approve("v2", "SecurityMSP", "PlatformMSP")
	l.now = l.now.Add(2 * time.Hour)
	expect(t, "rolled back", l.verdict("release-manager@VendorMSP", about("release:Release", "v1", "staging")...), policy.Allowed, "", "")
	if rel := read[state.Release](l, subject("v1", "staging").ReleasedKey()); len(rel.Approvers) != 2 || !rel.Rollback {
		t.Errorf("rolled back it rests on %+v", rel.Approvers)
	}
	l.takeBack("AuditMSP", "release-manager", since)
	if v := l.ask("v1", "staging"); v.Verdict == policy.Allowed || !says(v, "taken back") {
		t.Errorf("it stands on a word that did not count: %+v", v)
	}
	expect(t, "what rests on others", l.ask("v2", "staging"), policy.Allowed, "", "")
}

// TestStolenGrantsBallotsWaiversAndDocuments: the rest of what a thief can do for
// its organisation.
func TestStolenGrantsBallotsWaiversAndDocuments(t *testing.T) {
	t.Run("a grant", func(t *testing.T) {
		l := network(t)
		l.pushed("v1")
		l.do("publisher@VendorMSP", about("promotion:Request", "v1", "staging")...)
		l.do("admin@AuditMSP", "member:Grant", "deputy", "admin")
		since := l.now
		l.now = l.now.Add(time.Hour)
		l.do("deputy@AuditMSP", "member:Grant", "stooge", "release-manager")
		words := l.approval("v1", "staging", "ok")
		l.takeBack("AuditMSP", "deputy", since)
		l.refused(provenance.Forbidden, "stooge@AuditMSP", words...)
		l.do("admin@AuditMSP", "member:Revoke", "stooge", "release-manager")
		l.do("admin@AuditMSP", "member:Grant", "stooge", "release-manager")
		expect(t, "granted by another", l.verdict("stooge@AuditMSP", words...), policy.Allowed, "", "")
	})
	t.Run("what was said in a role that it gave", func(t *testing.T) {
		for name, laundered := range map[string][][]string{
			"given":                 nil,
			"and revoked":           {{"deputy@AuditMSP", "member:Revoke"}},
			"and given again":       {{"deputy@AuditMSP", "member:Revoke"}, {"deputy@AuditMSP", "member:Grant"}},
			"and revoked by others": {{"admin@AuditMSP", "member:Revoke"}},
		} {
			l := network(t)
			l.pushed("v1", "v2")
			for _, c := range []string{"v1", "v2"} {
				l.do("publisher@VendorMSP", about("promotion:Request", c, "staging")...)
			}
			l.do("admin@AuditMSP", "member:Grant", "deputy", "admin")
			since := l.now
			l.now = l.now.Add(time.Minute)
			l.do("deputy@AuditMSP", "member:Grant", "stooge", "release-manager")
			expect(t, name+": its word", l.verdict("stooge@AuditMSP", l.approval("v1", "staging", "ok")...), policy.Allowed, "", "")
			for _, act := range laundered {
				l.do(act[0], act[1], "stooge", "release-manager")
			}
			l.takeBack("AuditMSP", "deputy", since)
			expect(t, name+": what rested on it", l.ask("v1", "staging"), policy.Pending, "approvals", policy.Unmet)
			// Of the others of the organisation nothing is lost.
			expect(t, name+": another's word", l.approve("release-manager@AuditMSP", "v2", "staging"), policy.Allowed, "", "")
		}
	})
	t.Run("a ballot", func(t *testing.T) {
		l := network(t)
		l.do("admin@AuditMSP", "member:Grant", "deputy", "admin")
		v := l.open("VendorMSP", "policy", policyText("default", 2))
		since := l.now
		l.now = l.now.Add(time.Hour)
		l.do("deputy@AuditMSP", "proposal:Vote", v.Proposal.ID, l.hash(v.Proposal.ID), "yes", "")
		l.takeBack("AuditMSP", "deputy", since)
		if v = l.proposal("SecurityMSP", "proposal:Vote", v.Proposal.ID, l.hash(v.Proposal.ID), "yes", ""); v.Proposal.Status != state.ProposalOpen || len(v.Yes) != 2 {
			t.Errorf("a stolen ballot counts: %+v", v)
		}
		if v = l.proposal("AuditMSP", "proposal:Vote", v.Proposal.ID, l.hash(v.Proposal.ID), "yes", ""); v.Proposal.Status != state.ProposalAccepted {
			t.Errorf("its organisation votes again: %+v", v)
		}
	})
	t.Run("a waiver", func(t *testing.T) {
		l, d := waiverLedger(t)
		w := l.waiver("release-manager@VendorMSP", "waiver:Request", host, repo, d, "staging", "condition/no-incident", "why", l.now.Add(24*time.Hour).Format(time.RFC3339))
		since := l.now
		l.now = l.now.Add(time.Minute)
		l.do("release-manager@SecurityMSP", "waiver:Approve", host, repo, w.ID)
		expect(t, "waived", l.ask("v1", "staging"), policy.Pending, "condition/no-incident", policy.Waived)
		l.takeBack("SecurityMSP", "release-manager", since.Add(time.Second))
		v := l.ask("v1", "staging")
		expect(t, "taken back", v, policy.Denied, "condition/no-incident", policy.Violated)
		l.do("admin@SecurityMSP", "waiver:Approve", host, repo, w.ID)
		expect(t, "agreed to by another", l.ask("v1", "staging"), policy.Pending, "condition/no-incident", policy.Waived)
	})
	t.Run("a document", func(t *testing.T) {
		l := network(t)
		l.govern(`"stages":[{"name":"staging","approvals":{"min":1},"evidence":[{"name":"scan","type":"vuln-scan","signers":[{"org":"SecurityMSP","role":"scanner"}]}]}]`)
		l.pushed("v1")
		since := l.now
		l.now = l.now.Add(time.Minute)
		s := l.brings(brought{"scanner@SecurityMSP", "v1", "", "plain", "", "", stated("v1", "vuln-scan", scanned(0), "")})
		words := l.approval("v1", "staging", "ok")
		l.do("publisher@VendorMSP", about("promotion:Request", "v1", "staging")...)
		l.takeBack("SecurityMSP", "scanner", since)
		expect(t, "taken back", l.ask("v1", "staging"), policy.Pending, "evidence/scan", policy.Unmet)
		l.refused(provenance.Stale, "release-manager@AuditMSP", words...)
		if l.evidenceOf("v1")[s.ID] {
			t.Error("the list says that it counts")
		}
	})
	t.Run("a break-glass release", func(t *testing.T) {
		l := network(t)
		l.govern(glass)
		l.do("admin@SecurityMSP", "context:Set", "incident", "false")
		l.pushed("v1")
		since := l.now
		l.now = l.now.Add(time.Minute)
		l.do("release-manager@VendorMSP", about("release:BreakGlass", "v1", "staging", "outage")...)
		l.takeBack("VendorMSP", "release-manager", since)
		if v := l.ask("v1", "staging"); v.Verdict == policy.Allowed || !says(v, "taken back") {
			t.Errorf("it stands: %+v", v)
		}
	})
	t.Run("a review", func(t *testing.T) {
		l := network(t)
		l.govern(glass)
		l.do("admin@SecurityMSP", "context:Set", "incident", "false")
		l.pushed("v1")
		l.do("release-manager@VendorMSP", about("release:BreakGlass", "v1", "staging", "outage")...)
		since := l.now
		l.now = l.now.Add(time.Minute)
		l.do("auditor@AuditMSP", about("release:Review", "v1", "staging", l.releaseHash("v1", "staging"), "fine")...)
		if v := l.ask("v1", "staging"); v.Warning != "" {
			t.Errorf("reviewed, with a warning: %+v", v)
		}
		l.takeBack("AuditMSP", "auditor", since)
		if v := l.ask("v1", "staging"); v.Warning == "" {
			t.Errorf("a stolen review stands: %+v", v)
		}
		l.do("auditor@PlatformMSP", about("release:Review", "v1", "staging", l.releaseHash("v1", "staging"), "fine")...)
		if v := l.ask("v1", "staging"); v.Verdict != policy.Allowed || v.Warning != "" {
			t.Errorf("reviewed by another: %+v", v)
		}
		l.now = l.now.Add(3 * time.Hour)
		expect(t, "past the due time", l.ask("v1", "staging"), policy.Allowed, "", "")
	})
}
