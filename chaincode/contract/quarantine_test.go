package contract

import (
	"fmt"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// record records events under the next free number.
func (l *ledger) record(events ...provenance.Event) {
	l.t.Helper()
	if _, _, err := l.segment("gateway@VendorMSP", host, 5000+l.txs, events...); err != nil {
		l.t.Fatal(err)
	}
}

// release brings an image to staging by one approval.
func (l *ledger) release(content string) {
	l.t.Helper()
	l.do("publisher@VendorMSP", about("promotion:Request", content, "staging")...)
	if v := l.approve("release-manager@AuditMSP", content, "staging"); v.Verdict != policy.Allowed {
		l.t.Fatalf("%s was not released: %+v", content, v.Reasons)
	}
}

func deleted(content string) provenance.Event {
	e := push("", content)
	e.ID = provenance.NewEventID("test", "deletion", content)
	e.Action, e.MediaType, e.Size = provenance.Delete, "", 0
	return e
}

// TestNoIndexesLiftAHold: whoever may push made more indexes of an image than a
// list holds, and the quarantine that it had through its index was forgotten.
func TestNoIndexesLiftAHold(t *testing.T) {
	l := network(t)
	l.record(push("", "amd64"), index("multi", digestOf("amd64")))
	l.release("multi")
	expect(t, "with its index", l.ask("amd64", "staging"), policy.Allowed, "", "")
	l.do("scanner@SecurityMSP", "quarantine:Set", digestOf("multi").String(), "CVE")
	expect(t, "held", l.ask("amd64", "staging"), policy.Quarantined, "quarantine", policy.Violated)
	for i := range state.MaxParents + 8 {
		l.record(index(fmt.Sprint("crowd ", i), digestOf("amd64")))
	}
	for _, content := range []string{"multi", "amd64", "crowd 39"} {
		expect(t, content, l.ask(content, "staging"), policy.Quarantined, "quarantine", policy.Violated)
	}
	l.refused(provenance.Quarantined, "publisher@VendorMSP", about("promotion:Request", "crowd 39", "staging")...)
	l.refused(provenance.Quarantined, "publisher@VendorMSP", about("promotion:Request", "amd64", "production")...)
}

// TestNoDeletionLiftsAHold: that the held index, or the image, was deleted is
// recorded by whoever owns the registry, and lifts nothing.
func TestNoDeletionLiftsAHold(t *testing.T) {
	l := network(t)
	l.record(push("", "amd64"), index("multi", digestOf("amd64")))
	l.release("multi")
	l.do("scanner@SecurityMSP", "quarantine:Set", digestOf("multi").String(), "CVE")
	for _, events := range [][]provenance.Event{{deleted("multi")}, {deleted("amd64")}, {push("again", "multi"), push("again", "amd64")}} {
		l.record(events...)
		for _, content := range []string{"multi", "amd64"} {
			expect(t, content, l.ask(content, "staging"), policy.Quarantined, "quarantine", policy.Violated)
		}
	}
	// Nor is the held image let in by an index that is pushed after its deletion.
	l.do("scanner@AuditMSP", "quarantine:Set", digestOf("amd64").String(), "CVE")
	l.do("admin@SecurityMSP", "quarantine:Lift", digestOf("multi").String(), "the image is held itself")
	l.record(deleted("amd64"), index("later", digestOf("amd64")))
	expect(t, "an index pushed later", l.ask("later", "staging"), policy.Quarantined, "quarantine", policy.Violated)
}

// TestAHeldGrandchildHoldsTheTopIndex: what an index lists by way of another
// index is held for it as well.
func TestAHeldGrandchildHoldsTheTopIndex(t *testing.T) {
	l := network(t)
	l.record(push("", "amd64"), index("inner", digestOf("amd64")), index("middle", digestOf("inner")), index("top", digestOf("middle")))
	l.release("top")
	l.do("scanner@SecurityMSP", "quarantine:Set", digestOf("amd64").String(), "CVE")
	for _, content := range []string{"amd64", "inner", "middle", "top"} {
		expect(t, content, l.ask(content, "staging"), policy.Quarantined, "quarantine", policy.Violated)
	}
	l.do("admin@SecurityMSP", "quarantine:Lift", digestOf("amd64").String(), "false alarm")
	expect(t, "lifted", l.ask("top", "staging"), policy.Allowed, "", "")
}

// TestWhatNobodySawTheBytesOfHidesNoHold: whoever owns the registry records the
// top and keeps the index below it back, so that nobody could see that it lists
// what is held.
func TestWhatNobodySawTheBytesOfHidesNoHold(t *testing.T) {
	for name, recorded := range map[string]bool{"recorded by its digest alone": true, "not recorded": false} {
		t.Run(name, func(t *testing.T) {
			l := network(t)
			middle := index("middle of "+name, digestOf("amd64"))
			top := index("top of "+name, middle.Digest, digestOf("arm64"))
			events := []provenance.Event{push("", "amd64"), top}
			shown := manifestsOf(events)
			if recorded {
				events = append(events, middle)
			}
			if _, _, err := l.segmentWith("gateway@VendorMSP", host, 1, shown, events...); err != nil {
				t.Fatal(err)
			}
			l.do("scanner@SecurityMSP", "quarantine:Set", digestOf("amd64").String(), "CVE")
			v := l.ask("top of "+name, "staging")
			expect(t, "the top", v, policy.Unknown, "recorded", policy.Violated)
			l.refused(provenance.NotFound, "publisher@VendorMSP", about("promotion:Request", "top of "+name, "staging")...)
			expect(t, "the one below it", l.ask("middle of "+name, "staging"), policy.Unknown, "recorded", policy.Violated)
			l.record(middle)
			expect(t, "seen", l.ask("top of "+name, "staging"), policy.Quarantined, "quarantine", policy.Violated)
			l.do("admin@SecurityMSP", "quarantine:Lift", digestOf("amd64").String(), "false alarm")
			l.release("top of " + name)
		})
	}
}

// TestIndexesWithoutEndAreNotJudged: what nobody can look through is unknown, and
// never allowed.
func TestIndexesWithoutEndAreNotJudged(t *testing.T) {
	l := network(t)
	l.record(push("", "bottom"))
	for i, under := 0, "bottom"; i < 12; i++ {
		name := fmt.Sprint("level ", i)
		l.record(index(name, digestOf(under)))
		under = name
	}
	expect(t, "twelve levels", l.ask("level 11", "staging"), policy.Unknown, "recorded", policy.Violated)
	l.refused(provenance.NotFound, "publisher@VendorMSP", about("promotion:Request", "level 11", "staging")...)
	expect(t, "five levels", l.ask("level 4", "staging"), policy.Pending, "", "")
}

// TestAHoldIsLiftedByVoteAlone: no other organisation lifts a hold, and a vote
// lifts one that its organisation left behind, and no later one.
func TestAHoldIsLiftedByVoteAlone(t *testing.T) {
	l := network(t)
	l.pushed("v1")
	l.release("v1")
	hold := func() {
		t.Helper()
		l.do("scanner@SecurityMSP", "quarantine:Set", digestOf("v1").String(), "CVE")
	}
	body := fmt.Sprintf(`{"digest":%q,"msp":"SecurityMSP"}`, digestOf("v1"))
	l.refused(provenance.NotFound, "admin@VendorMSP", "proposal:Open", string(state.ProposeLift), body)
	hold()
	l.refused(provenance.NotFound, "admin@VendorMSP", "quarantine:Lift", digestOf("v1").String(), "ours")
	first := l.open("VendorMSP", string(state.ProposeLift), body)
	l.open("AuditMSP", string(state.ProposeLift), body)
	expect(t, "two of four", l.ask("v1", "staging"), policy.Quarantined, "", "")
	l.do("admin@SecurityMSP", "quarantine:Lift", digestOf("v1").String(), "wrong one")
	hold() // another hold: the votes were for the first
	l.refused(provenance.Stale, "admin@PlatformMSP", "proposal:Vote", first.Proposal.ID, l.hash(first.Proposal.ID), "yes", "")
	expect(t, "held anew", l.ask("v1", "staging"), policy.Quarantined, "", "")
	l.agree(string(state.ProposeLift), body, "VendorMSP", "AuditMSP", "PlatformMSP")
	expect(t, "three of four", l.ask("v1", "staging"), policy.Allowed, "", "")
	if h := read[state.Hold](l, state.HoldKey(digestOf("v1"), "SecurityMSP")); !h.Lifted || h.Proposal == "" || h.Since.IsZero() {
		t.Errorf("the hold does not say who lifted it: %+v", h)
	}
}

// TestOwnEvidenceIsNeverOutweighed: an index that somebody else makes of an
// image, and what is said of that index, changes nothing for the image.
func TestOwnEvidenceIsNeverOutweighed(t *testing.T) {
	l := network(t)
	l.govern(signedRule)
	l.record(push("", "amd64"), index("multi", digestOf("amd64")))
	key := l.key("SecurityMSP", "scan", "")
	scan := func(content string, critical int) {
		t.Helper()
		l.now = l.now.Add(time.Minute)
		l.brings(brought{"gateway@VendorMSP", content, "", "dsse", "SecurityMSP", "scan", signed(t, stated(content, "vuln-scan", scanned(critical), ""), key)})
	}
	scan("multi", 0)
	l.do("publisher@VendorMSP", about("promotion:Request", "multi", "staging")...)
	expect(t, "the index", l.approve("release-manager@AuditMSP", "multi", "staging"), policy.Allowed, "", "")
	l.do("publisher@VendorMSP", about("promotion:Request", "amd64", "staging")...)

	// An index of somebody else, with a newer and worse scan by the same signer.
	l.record(index("poison", digestOf("amd64")))
	scan("poison", 9)
	expect(t, "listed by a bad index", l.ask("amd64", "staging"), policy.Allowed, "", "")
	l.do("scanner@AuditMSP", "quarantine:Set", digestOf("poison").String(), "bad")
	expect(t, "listed by a held index", l.ask("amd64", "staging"), policy.Allowed, "", "")

	// Of a platform image's own scan nothing that is said of its index takes the weight.
	l.govern(`"stages":[{"name":"staging","approvals":{"min":1},"evidence":[{"name":"scan","type":"vuln-scan","signers":[{"org":"SecurityMSP","key":"scan"}],"condition":"facts.critical == 0","continuous":true}]}]`)
	scan("amd64", 3)
	expect(t, "its own scan fails", l.ask("amd64", "staging"), policy.Denied, "evidence/scan", policy.Violated)
	scan("multi", 0)
	expect(t, "a newer one of its index passes", l.ask("amd64", "staging"), policy.Denied, "evidence/scan", policy.Violated)
	scan("amd64", 0)
	scan("multi", 3)
	expect(t, "its own passes, a newer one of its index fails", l.ask("amd64", "staging"), policy.Allowed, "evidence/scan", policy.Satisfied)
}

// TestOtherStagesPassNothingDown: a stage that asks for little lets anybody's index
// through, and what is said of that index there changes nothing for an image in a stage
// that asks for more: it is neither proved by it, nor poisoned, nor held.
func TestOtherStagesPassNothingDown(t *testing.T) {
	l := network(t)
	l.govern(`"stages":[{"name":"dev","approvals":{"min":0},"witnesses":{"min":1}},
	 {"name":"staging","approvals":{"min":1},"evidence":[{"name":"scan","type":"vuln-scan","signers":[{"org":"SecurityMSP","key":"scan"}],"condition":"facts.critical == 0","continuous":true}]}]`)
	key := l.key("SecurityMSP", "scan", "")
	scan := func(content string, critical int) {
		t.Helper()
		l.now = l.now.Add(time.Minute)
		l.brings(brought{"gateway@VendorMSP", content, "", "dsse", "SecurityMSP", "scan", signed(t, stated(content, "vuln-scan", scanned(critical), ""), key)})
	}
	toDev := func(content string) {
		t.Helper()
		l.do("gateway@AuditMSP", "record:Witness", host, repo, digestOf(content).String())
		expect(t, content+" in dev", l.verdict("publisher@VendorMSP", about("promotion:Request", content, "dev")...), policy.Allowed, "", "")
	}
	l.record(push("", "amd64"), push("", "arm64"), index("multi", digestOf("amd64")), index("loose", digestOf("amd64"), digestOf("arm64")))
	scan("multi", 0)
	l.do("publisher@VendorMSP", about("promotion:Request", "multi", "staging")...)
	expect(t, "the index", l.approve("release-manager@AuditMSP", "multi", "staging"), policy.Allowed, "", "")

	// arm64 was never scanned, and comes to dev through an index that was.
	scan("loose", 0)
	toDev("loose")
	l.do("publisher@VendorMSP", about("promotion:Request", "arm64", "staging")...)
	expect(t, "proved by an index in dev", l.ask("arm64", "staging"), policy.Pending, "evidence/scan", policy.Unmet)
	scan("loose", 9)
	expect(t, "poisoned by it", l.ask("amd64", "staging"), policy.Allowed, "evidence/scan", policy.Satisfied)
	l.do("scanner@SecurityMSP", "quarantine:Set", digestOf("loose").String(), "bad")
	expect(t, "held by it", l.ask("amd64", "staging"), policy.Allowed, "", "")
	expect(t, "in dev", l.ask("amd64", "dev"), policy.Quarantined, "quarantine", policy.Violated)
}

// TestAHoldStopsThePromotionToo: what was held in one stage is not promoted from
// there to the next, platform by platform.
func TestAHoldStopsThePromotionToo(t *testing.T) {
	l := network(t)
	l.record(push("", "amd64"), index("multi", digestOf("amd64")))
	l.release("multi")
	l.do("scanner@SecurityMSP", "quarantine:Set", digestOf("multi").String(), "CVE")
	expect(t, "in staging", l.ask("amd64", "staging"), policy.Quarantined, "quarantine", policy.Violated)
	expect(t, "on to production", l.ask("amd64", "production"), policy.Quarantined, "quarantine", policy.Violated)
	l.refused(provenance.Quarantined, "publisher@VendorMSP", about("promotion:Request", "amd64", "production")...)
}
