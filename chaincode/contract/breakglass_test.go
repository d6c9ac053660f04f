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

const glass = `"stages":[{"name":"staging","approvals":{"min":2},
 "conditions":[{"name":"calm","cel":"context.incident == false"}],
 "breakGlass":{"by":[{"org":"VendorMSP","role":"release-manager"}],"without":["approvals"],"review":"2h"}}],"context":{"incident":"SecurityMSP"}`

// The gate is no rule that can be gone without.
func TestBreakGlassPassesTheGate(t *testing.T) {
	l := network(t)
	l.govern(strings.Replace(glass, `"min":2`, `"min":2,"orgs":["SecurityMSP"]`, 1))
	l.do("admin@SecurityMSP", "context:Set", "incident", "false")
	l.pushed("v1")
	broken := about("release:BreakGlass", "v1", "staging", "outage")
	expect(t, "no gate yet", l.verdict("release-manager@VendorMSP", broken...), policy.Pending, "release", policy.Unmet)
	if got := l.guardOrgs(subject("v1", "staging").GateKey(0)); !slices.Equal(got, []string{"SecurityMSP"}) {
		t.Errorf("the guard asks for the peers of %v", got)
	}
	expect(t, "through the gate", l.verdict("release-manager@VendorMSP", broken...), policy.Allowed, "break-glass", policy.Waived)
}

func TestBreakGlass(t *testing.T) {
	broken := func(t *testing.T) *ledger {
		l := network(t)
		l.govern(glass)
		l.do("admin@SecurityMSP", "context:Set", "incident", "false")
		l.pushed("v1")
		v := l.verdict("release-manager@VendorMSP", about("release:BreakGlass", "v1", "staging", "outage")...)
		expect(t, "broken", v, policy.Allowed, "break-glass", policy.Waived)
		return l
	}
	t.Run("refused", func(t *testing.T) {
		l := network(t)
		l.govern(glass)
		l.pushed("v1")
		refused := func(what, who string, rule string) {
			t.Helper()
			v := l.verdict(who, about("release:BreakGlass", "v1", "staging", "outage")...)
			expect(t, what, v, v.Verdict, rule, policy.Violated)
			if v.Verdict == policy.Allowed {
				t.Errorf("%s: allowed", what)
			}
			var record state.Refusal
			if err := state.Decode(l.state[subject("v1", "staging").RefusalKey(l.txID())], &record); err != nil || record.By.Name == "" {
				t.Errorf("%s: the refusal is not on the ledger: %v", what, err)
			}
		}
		refused("a rule it cannot go without", "release-manager@VendorMSP", "break-glass")
		l.do("admin@SecurityMSP", "context:Set", "incident", "false")
		refused("another organisation", "release-manager@PlatformMSP", "break-glass")
		refused("another role", "publisher@VendorMSP", "break-glass")
		l.refused(provenance.Invalid, "release-manager@VendorMSP", about("release:BreakGlass", "v1", "staging", "")...)
		l.do("scanner@AuditMSP", "quarantine:Set", digestOf("v1").String(), "CVE")
		refused("quarantined", "release-manager@VendorMSP", "quarantine")
	})
	t.Run("reviewed in time", func(t *testing.T) {
		l := broken(t)
		rel := read[state.Release](l, subject("v1", "staging").ReleasedKey())
		if rel.Debt == nil || !slices.Equal(rel.Debt.Without, []string{"approvals"}) || !rel.Debt.Due.Equal(l.now.Add(2*time.Hour)) {
			t.Errorf("the debt: %+v", rel.Debt)
		}
		if v := l.ask("v1", "staging"); v.Warning == "" {
			t.Errorf("not reviewed, and no warning: %+v", v)
		}
		l.refused(provenance.Forbidden, "auditor@VendorMSP", about("release:Review", "v1", "staging", l.releaseHash("v1", "staging"), "we are fine")...)
		l.refused(provenance.Invalid, "auditor@AuditMSP", about("release:Review", "v1", "staging", l.releaseHash("v1", "staging"), " ")...)
		expect(t, "reviewed", l.verdict("auditor@AuditMSP", about("release:Review", "v1", "staging", l.releaseHash("v1", "staging"), "was right")...), policy.Allowed, "break-glass", policy.Waived)
		if _, writes, err := l.invoke("auditor@PlatformMSP", nil, about("release:Review", "v1", "staging", l.releaseHash("v1", "staging"), "too")...); err != nil || len(writes) > 0 {
			t.Errorf("a second review: %v, %d writes", err, len(writes))
		}
		rel = read[state.Release](l, subject("v1", "staging").ReleasedKey())
		if rel.Review != "was right" || rel.Debt.Reviewed.MSP != "AuditMSP" {
			t.Errorf("the review: %+v %+v", rel, rel.Debt)
		}
		l.now = l.now.Add(3 * time.Hour)
		expect(t, "past the due time", l.verdict("gateway@PlatformMSP", about("release:Settle", "v1", "staging")...), policy.Allowed, "", "")
	})
	// Whoever writes next about an overdue release quarantines it, and nothing else.
	for _, next := range [][]string{
		append([]string{"gateway@PlatformMSP"}, about("release:Settle", "v1", "staging")...),
		append([]string{"publisher@VendorMSP"}, about("promotion:Request", "v1", "staging")...),
		append([]string{"release-manager@AuditMSP"}, about("promotion:Approve", "v1", "staging", "0", "default@2", "hash", "set", "ok")...),
		append([]string{"release-manager@AuditMSP"}, about("promotion:Reject", "v1", "staging", "0", "no")...),
		append([]string{"release-manager@AuditMSP"}, about("promotion:Withdraw", "v1", "staging", "no")...),
		append([]string{"release-manager@AuditMSP"}, about("release:Release", "v1", "staging")...),
		append([]string{"gateway@AuditMSP"}, about("release:Auto", "v1", "staging")...),
		append([]string{"release-manager@VendorMSP"}, about("release:BreakGlass", "v1", "staging", "again")...),
	} {
		t.Run("overdue/"+next[1], func(t *testing.T) {
			l := broken(t)
			l.now = l.now.Add(2*time.Hour + time.Minute)
			expect(t, "asked", l.ask("v1", "staging"), policy.Quarantined, "break-glass", policy.Violated)
			_, writes, err := l.invoke(next[0], nil, next[1:]...)
			key := state.HoldKey(digestOf("v1"), "VendorMSP")
			if err != nil || len(writes) != 1 || writes[key] == nil {
				t.Fatalf("%d writes, %v; want the quarantine alone", len(writes), err)
			}
			expect(t, "settled", l.ask("v1", "staging"), policy.Quarantined, "quarantine", policy.Violated)
			l.refused(provenance.NotFound, "admin@AuditMSP", "quarantine:Lift", digestOf("v1").String(), "not theirs")
			// Lifting it pays no debt.
			l.do("admin@VendorMSP", "quarantine:Lift", digestOf("v1").String(), "lifted")
			expect(t, "lifted without a review", l.ask("v1", "staging"), policy.Quarantined, "break-glass", policy.Violated)
		})
	}
	t.Run("reviewed late", func(t *testing.T) {
		l := broken(t)
		l.now = l.now.Add(3 * time.Hour)
		expect(t, "late", l.verdict("auditor@AuditMSP", about("release:Review", "v1", "staging", l.releaseHash("v1", "staging"), "late")...), policy.Quarantined, "quarantine", policy.Violated)
		l.do("admin@VendorMSP", "quarantine:Lift", digestOf("v1").String(), "reviewed now")
		expect(t, "lifted", l.ask("v1", "staging"), policy.Allowed, "break-glass", policy.Waived)
	})
	t.Run("rolling back pays no debt", func(t *testing.T) {
		l := broken(t)
		l.pushed("v2")
		l.do("publisher@VendorMSP", about("promotion:Request", "v2", "staging")...)
		l.approve("release-manager@AuditMSP", "v2", "staging")
		expect(t, "v2", l.approve("release-manager@PlatformMSP", "v2", "staging"), policy.Allowed, "", "")
		l.refused(provenance.Conflict, "release-manager@VendorMSP", about("release:BreakGlass", "v1", "staging", "back")...)
		expect(t, "v1 again", l.verdict("release-manager@VendorMSP", about("release:Release", "v1", "staging")...), policy.Allowed, "break-glass", policy.Waived)
		l.now = l.now.Add(3 * time.Hour)
		expect(t, "overdue all the same", l.ask("v1", "staging"), policy.Quarantined, "break-glass", policy.Violated)
	})
	t.Run("nothing owed", func(t *testing.T) {
		l := broken(t)
		l.pushed("v2")
		l.refused(provenance.NotFound, "auditor@AuditMSP", about("release:Review", "v2", "staging", l.releaseHash("v2", "staging"), "what?")...)
	})
}

// A platform image has the debt of its index, and the index is quarantined for it.
func TestBreakGlassForAnIndex(t *testing.T) {
	l := network(t)
	l.govern(glass)
	l.do("admin@SecurityMSP", "context:Set", "incident", "false")
	child, index := push("", "amd64"), index("index", digestOf("amd64"), digestOf("arm64"))
	if _, _, err := l.segment("gateway@VendorMSP", host, 1, child, index); err != nil {
		t.Fatal(err)
	}
	l.do("release-manager@VendorMSP", about("release:BreakGlass", "index", "staging", "outage")...)
	l.refused(provenance.Conflict, "auditor@AuditMSP", about("release:Review", "amd64", "staging", l.releaseHash("amd64", "staging"), "fine")...)
	l.now = l.now.Add(3 * time.Hour)
	expect(t, "settled through its platform", l.verdict("gateway@AuditMSP", about("release:Settle", "amd64", "staging")...), policy.Quarantined, "quarantine", policy.Violated)
	for _, c := range []string{"index", "arm64"} {
		expect(t, c, l.ask(c, "staging"), policy.Quarantined, "quarantine", policy.Violated)
	}
}

// TestUnreviewedIsNoStepOnTheWay: a release that only its maker has looked at
// does not count where a later stage asks for one.
func TestUnreviewedIsNoStepOnTheWay(t *testing.T) {
	l := network(t)
	l.govern(strings.Replace(glass, `"review":"2h"}}]`, `"review":"2h"}},{"name":"production","from":"staging","approvals":{"min":1}}]`, 1))
	l.do("admin@SecurityMSP", "context:Set", "incident", "false")
	l.pushed("v1")
	v := l.verdict("release-manager@VendorMSP", about("release:BreakGlass", "v1", "staging", "outage")...)
	expect(t, "broken", v, policy.Allowed, "break-glass", policy.Waived)
	expect(t, "not reviewed", l.ask("v1", "production"), policy.Pending, "from", policy.Unmet)
	l.do("release-manager@SecurityMSP", about("release:Review", "v1", "staging", l.releaseHash("v1", "staging"), "looked at it")...)
	expect(t, "reviewed", l.ask("v1", "production"), policy.Pending, "from", policy.Satisfied)
}
