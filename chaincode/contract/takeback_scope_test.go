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
