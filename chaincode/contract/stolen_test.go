package contract

import (
	"encoding/json"
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

// TestTakingBackIsOnesOwn: an admin takes back what its own people did, never
// itself, and reaches back further and not less far.
func TestTakingBackIsOnesOwn(t *testing.T) {
	l := network(t)
	l.pushed("v1")
	l.govern(`"stages":[{"name":"staging","approvals":{"min":2}}]`)
	l.do("publisher@VendorMSP", about("promotion:Request", "v1", "staging")...)
	l.approve("release-manager@AuditMSP", "v1", "staging")
	at := l.now
	stamp := func(d time.Duration) string { return at.Add(d).Format(time.RFC3339) }
	l.refused(provenance.Forbidden, "release-manager@VendorMSP", "member:TakeBack", "release-manager", stamp(-time.Hour), "why")
	l.refused(provenance.Invalid, "admin@VendorMSP", "member:TakeBack", "admin", stamp(-time.Hour), "why")
	l.refused(provenance.Invalid, "admin@VendorMSP", "member:TakeBack", "release-manager", "", "why")
	l.refused(provenance.Invalid, "admin@VendorMSP", "member:TakeBack", "release-manager", stamp(-time.Hour), " ")
	// Of another organisation's person of that name nothing changes.
	l.do("admin@VendorMSP", "member:TakeBack", "release-manager", stamp(-time.Hour), "why")
	if _, detail := l.quorum("v1", "staging"); !strings.HasPrefix(detail, "1 of 2") {
		t.Errorf("another organisation's word: %s", detail)
	}
	l.do("admin@AuditMSP", "member:TakeBack", "release-manager", stamp(time.Second), "why")
	if _, detail := l.quorum("v1", "staging"); !strings.HasPrefix(detail, "1 of 2") {
		t.Errorf("said before the theft: %s", detail)
	}
	l.quiet("admin@AuditMSP", "member:TakeBack", "release-manager", stamp(2*time.Second), "less far")
	l.do("admin@AuditMSP", "member:TakeBack", "release-manager", stamp(-time.Minute), "further")
	if _, detail := l.quorum("v1", "staging"); !strings.HasPrefix(detail, "0 of 2") {
		t.Errorf("further back: %s", detail)
	}
}

// TestAnyNameIsTakenBack: an admin is one by its certificate, whatever its name
// looks like, and none is beyond taking back.
func TestAnyNameIsTakenBack(t *testing.T) {
	l := network(t)
	for _, name := range []string{"Ann Smith", "Ænn", "-ann", strings.Repeat("a", 128)} {
		who := name + "@AuditMSP"
		l.enrol(who, "admin")
		since := l.now
		v := l.open("VendorMSP", "member-add", `{"msp":"NewMSP"}`)
		l.do(who, "proposal:Vote", v.Proposal.ID, l.hash(v.Proposal.ID), "yes", "")
		l.takeBack("AuditMSP", name, since)
		if v = l.proposal("VendorMSP", "proposal:Get", v.Proposal.ID); len(v.Yes) != 1 {
			t.Errorf("the ballot of %q counts: %+v", name, v.Yes)
		}
		l.refused(provenance.Forbidden, who, "proposal:Open", "member-add", `{"msp":"NewMSP"}`)
	}
	for _, name := range []string{"", strings.Repeat("a", 129), "a\xff", "a\u202eb"} {
		l.refused(provenance.Invalid, "admin@AuditMSP", "member:TakeBack", name, "2026-03-01T00:00:00Z", "stolen")
	}
}

// TestWhoGrantsItselfEveryRoleIsOnePerson: an admin that grants itself all roles
// is still one person of one organisation wherever persons are counted.
func TestWhoGrantsItselfEveryRoleIsOnePerson(t *testing.T) {
	l := network(t)
	l.govern(`"waivers":{"min":2,"maxDuration":"2d"},"stages":[{"name":"staging","approvals":{"min":1}},
	 {"name":"production","approvals":{"min":2},"evidence":[{"name":"scan","type":"vuln-scan","min":2,"signers":[{"org":"AuditMSP","role":"scanner"},{"org":"AuditMSP","role":"auditor"}]}],
	  "breakGlass":{"by":[{"org":"AuditMSP","role":"admin"}],"without":["approvals","evidence/scan"],"review":"2h"}}]`)
	for _, r := range state.Roles() {
		if r != state.RoleGateway && r != state.RoleRobot {
			l.do("admin@AuditMSP", "member:Grant", "admin", string(r))
		}
	}
	l.pushed("v1")
	l.do("admin@AuditMSP", about("promotion:Request", "v1", "staging")...)
	l.refused(provenance.Forbidden, "admin@AuditMSP", l.approval("v1", "staging", "as release manager")...) // it asked for it
	l.do("publisher@VendorMSP", about("promotion:Request", "v1", "production")...)
	l.approve("admin@AuditMSP", "v1", "production")
	if _, detail := l.quorum("v1", "production"); !strings.HasPrefix(detail, "1 of 2") {
		t.Errorf("one organisation: %s", detail)
	}
	l.quiet("admin@AuditMSP", l.approval("v1", "production", "as auditor")...)
	// A document that it vouches for in two roles has one signer.
	l.brings(brought{"admin@AuditMSP", "v1", "", "plain", "", "", stated("v1", "vuln-scan", scanned(0), "")})
	l.brings(brought{"admin@AuditMSP", "v1", "", "plain", "", "", stated("v1", "vuln-scan", scanned(0), "2026-03-02T08:00:00Z")})
	v := l.ask("v1", "production")
	expect(t, "one signer", v, policy.Pending, "evidence/scan", policy.Unmet)
	if !says(v, "1 of 2 signers") {
		t.Errorf("%+v", v.Reasons)
	}
	// A waiver that it asks for is agreed to by one organisation.
	w := l.waiver("admin@AuditMSP", "waiver:Request", host, repo, "", "production", "evidence/scan", "why", l.now.Add(time.Hour).Format(time.RFC3339))
	l.quiet("admin@AuditMSP", "waiver:Approve", host, repo, w.ID)
	expect(t, "waived by one", l.ask("v1", "production"), policy.Pending, "evidence/scan", policy.Unmet)
	// What it breaks the glass for, it does not review.
	l.do("admin@AuditMSP", about("release:BreakGlass", "v1", "production", "outage")...)
	l.refused(provenance.Forbidden, "admin@AuditMSP", about("release:Review", "v1", "production", l.releaseHash("v1", "production"), "fine")...)
}

// TestAPlainStatementMakesNobodyTheBuilder: one statement of who built an image,
// by an auditor, made another organisation the builder and excluded it. Only what
// a rule of the stage accepts says who built.
func TestAPlainStatementMakesNobodyTheBuilder(t *testing.T) {
	l := network(t)
	l.govern(`"stages":[{"name":"staging","approvals":{"min":1,"exclude":["builder"]},"evidence":[{"name":"built","type":"slsa-provenance","signers":[{"org":"VendorMSP","role":"publisher"}]}]}]`)
	l.pushed("v1")
	built := `{"builder":"b","buildType":"t","sourceUri":"u","sourceCommit":"c","parameters":{}}`
	l.brings(brought{"publisher@VendorMSP", "v1", "", "plain", "", "", stated("v1", "slsa-provenance", built, "")})
	l.brings(brought{"auditor@AuditMSP", "v1", "", "plain", "", "", stated("v1", "slsa-provenance", built, "")})
	l.brings(brought{"scanner@VendorMSP", "v1", "", "plain", "", "", stated("v1", "slsa-provenance", built, "")})
	l.do("publisher@PlatformMSP", about("promotion:Request", "v1", "staging")...)
	l.refused(provenance.Forbidden, "release-manager@VendorMSP", l.approval("v1", "staging", "ours")...)
	expect(t, "whose auditor made a statement", l.approve("release-manager@AuditMSP", "v1", "staging"), policy.Allowed, "", "")
}

// TestADocumentIsWithdrawn: an organisation takes back what its own person
// vouched for; it stays visible, no older word comes back by it, and of a
// signature only its key is withdrawn.
func TestADocumentIsWithdrawn(t *testing.T) {
	l := network(t)
	l.govern(`"stages":[{"name":"staging","approvals":{"min":1},"evidence":[{"name":"scan","type":"vuln-scan","signers":[{"org":"SecurityMSP"}],"condition":"facts.critical == 0"}]}]`)
	l.pushed("v1")
	l.do("publisher@VendorMSP", about("promotion:Request", "v1", "staging")...)
	older := l.brings(brought{"scanner@SecurityMSP", "v1", "", "plain", "", "", stated("v1", "vuln-scan", scanned(0), "")})
	l.now = l.now.Add(time.Minute)
	s := l.brings(brought{"scanner@SecurityMSP", "v1", "", "plain", "", "", stated("v1", "vuln-scan", scanned(2), "")})
	expect(t, "as it is", l.ask("v1", "staging"), policy.Denied, "evidence/scan", policy.Violated)
	d := digestOf("v1").String()
	withdraw := func(id string) []string { return []string{"evidence:Withdraw", d, "vuln-scan", id, "the wrong image"} }
	l.refused(provenance.Forbidden, "scanner@AuditMSP", withdraw(s.ID)...)
	l.refused(provenance.Forbidden, "admin@AuditMSP", withdraw(s.ID)...)
	l.refused(provenance.Forbidden, "auditor@SecurityMSP", withdraw(s.ID)...)
	l.refused(provenance.NotFound, "scanner@SecurityMSP", withdraw(strings.Repeat("0", 64))...)
	l.refused(provenance.Invalid, "scanner@SecurityMSP", "evidence:Withdraw", d, "vuln-scan", s.ID, " ")
	words := l.approval("v1", "staging", "ok")
	l.do("scanner@SecurityMSP", withdraw(s.ID)...)
	l.quiet("admin@SecurityMSP", withdraw(s.ID)...)
	v := l.ask("v1", "staging")
	expect(t, "withdrawn, and the clean one before it stays away", v, policy.Pending, "evidence/scan", policy.Unmet)
	if !says(v, "the wrong image") {
		t.Errorf("it does not say why: %+v", v.Reasons)
	}
	l.refused(provenance.Stale, "release-manager@AuditMSP", words...)
	if got := l.evidenceOf("v1"); len(got) != 2 || got[s.ID] || got[older.ID] {
		t.Errorf("what is listed and counts: %v", got)
	}
	var list []EvidenceView
	if err := json.Unmarshal([]byte(l.do("auditor@AuditMSP", "evidence:List", d)), &list); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(list, func(e EvidenceView) bool {
		return e.Evidence.Withdrawn != nil && e.Evidence.Withdrawn.By.Name == "scanner"
	}) {
		t.Errorf("it is not told who withdrew it: %+v", list)
	}
	l.brings(brought{"scanner@SecurityMSP", "v1", "", "plain", "", "", stated("v1", "vuln-scan", scanned(0), "2026-03-02T08:00:00Z")})
	expect(t, "an older one, handed in late", l.ask("v1", "staging"), policy.Pending, "evidence/scan", policy.Unmet)
	l.now = l.now.Add(time.Minute)
	l.brings(brought{"auditor@SecurityMSP", "v1", "", "plain", "", "", stated("v1", "vuln-scan", scanned(0), "")})
	expect(t, "vouched for by another", l.ask("v1", "staging"), policy.Pending, "evidence/scan", policy.Satisfied)
	key := l.key("SecurityMSP", "scan", "")
	k := l.brings(brought{"gateway@SecurityMSP", "v1", "", "dsse", "SecurityMSP", "scan", signed(t, stated("v1", "vuln-scan", scanned(0), ""), key)})
	l.refused(provenance.Forbidden, "admin@SecurityMSP", withdraw(k.ID)...)
}

// TestAReviewIsOfOneRelease: a reviewer agrees to the release that was looked at,
// and to no other.
func TestAReviewIsOfOneRelease(t *testing.T) {
	l := network(t)
	l.govern(glass)
	l.do("admin@SecurityMSP", "context:Set", "incident", "false")
	l.pushed("v1", "v2")
	for _, c := range []string{"v1", "v2"} {
		l.do("release-manager@VendorMSP", about("release:BreakGlass", c, "staging", "outage")...)
	}
	var view ReleaseView
	if err := json.Unmarshal([]byte(l.do("auditor@AuditMSP", about("release:Get", "v1", "staging")...)), &view); err != nil {
		t.Fatal(err)
	}
	if view.Hash != view.Release.Hash() || view.Hash != l.releaseHash("v1", "staging") || len(view.Hash) != 64 {
		t.Errorf("the hash is not that of the release: %+v", view)
	}
	for _, hash := range []string{"", "x", strings.Repeat("0", 64), l.releaseHash("v2", "staging")} {
		l.refused(provenance.Stale, "auditor@AuditMSP", about("release:Review", "v1", "staging", hash, "fine")...)
	}
	// Rolled back to, it is another release than the one that was looked at.
	l.do("release-manager@VendorMSP", about("release:Release", "v1", "staging")...)
	l.refused(provenance.Stale, "auditor@AuditMSP", about("release:Review", "v1", "staging", view.Hash, "fine")...)
	l.do("auditor@AuditMSP", about("release:Review", "v1", "staging", l.releaseHash("v1", "staging"), "fine")...)
	l.refused(provenance.NotFound, "auditor@AuditMSP", about("release:Get", "v3", "staging")...)
}
