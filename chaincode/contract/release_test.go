package contract

import (
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

func TestRollbackAndRefusal(t *testing.T) {
	l := network(t)
	l.pushed("v1", "v2")
	_, writes, err := l.invoke("release-manager@AuditMSP", nil, about("release:Release", "v1", "staging")...)
	if err != nil || len(writes) != 1 {
		t.Errorf("a refusal is recorded: %d writes, %v", len(writes), err)
	}
	for key, b := range writes {
		var refusal state.Refusal
		if typ, _, _ := state.SplitKey(key); typ != state.TypeRefusal || state.Decode(b, &refusal) != nil || len(refusal.Verdict.Reasons) == 0 {
			t.Errorf("the refusal: %q = %s", key, b)
		}
	}
	for _, content := range []string{"v1", "v2"} {
		l.do("publisher@VendorMSP", about("promotion:Request", content, "staging")...)
		l.approve("release-manager@AuditMSP", content, "staging")
	}
	if v := l.ask("v1", "staging"); v.Verdict != policy.Allowed || !strings.Contains(v.Reasons[len(v.Reasons)-1].Detail, "superseded") {
		t.Errorf("superseded: %+v", v)
	}
	l.do("release-manager@AuditMSP", about("release:Release", "v1", "staging")...)
	if v := l.ask("v2", "staging"); !strings.Contains(v.Reasons[len(v.Reasons)-1].Detail, "superseded") {
		t.Errorf("rolled back: %+v", v)
	}
	back := read[state.Release](l, subject("v1", "staging").ReleasedKey())
	if !back.Rollback || back.Previous != digestOf("v2") || back.EvidenceSet == "" {
		t.Errorf("the rollback: %+v", back)
	}
	if c := read[state.Current](l, subject("", "staging").ReleaseKey()); !c.Pinned || c.Digest != digestOf("v1") {
		t.Errorf("current: %+v", c)
	}
}

// A rollback holds off whatever releases by itself, until a person releases or resumes.
func TestRollbackPins(t *testing.T) {
	const soaked = `"stages":[{"name":"staging","approvals":{"min":1}},{"name":"production","from":"staging","soak":"1h","approvals":{"min":1}}]`
	ready := func(t *testing.T) *ledger {
		l := network(t)
		l.govern(soaked)
		l.pushed("v1", "v2", "v3")
		for _, c := range []string{"v1", "v2", "v3"} {
			l.do("publisher@VendorMSP", about("promotion:Request", c, "staging")...)
			l.approve("release-manager@AuditMSP", c, "staging")
			l.do("publisher@VendorMSP", about("promotion:Request", c, "production")...)
			expect(t, "soaking", l.approve("release-manager@AuditMSP", c, "production"), policy.Pending, "soak", policy.Unmet)
		}
		l.refused(provenance.Denied, "gateway@PlatformMSP", about("release:Auto", "v1", "production")...)
		l.now = l.now.Add(time.Hour)
		for _, c := range []string{"v1", "v2"} {
			expect(t, "released by itself", l.verdict("gateway@PlatformMSP", about("release:Auto", c, "production")...), policy.Allowed, "release", policy.Satisfied)
			if rel := read[state.Release](l, subject(c, "production").ReleasedKey()); !rel.Auto || rel.By.Name != "gateway" {
				t.Errorf("an automatic release: %+v", rel)
			}
		}
		_, writes, err := l.invoke("gateway@AuditMSP", nil, about("release:Auto", "v1", "production")...)
		if err != nil || len(writes) != 0 {
			t.Errorf("a superseded image asked for by a gateway: %d writes, %v; it rolls nothing back", len(writes), err)
		}
		expect(t, "rolled back", l.verdict("release-manager@AuditMSP", about("release:Release", "v1", "production")...), policy.Allowed, "", "")
		return l
	}
	current := func(l *ledger) state.Current { return read[state.Current](l, subject("", "production").ReleaseKey()) }

	t.Run("resume", func(t *testing.T) {
		l := ready(t)
		l.refused(provenance.Conflict, "gateway@PlatformMSP", about("release:Auto", "v3", "production")...)
		l.refused(provenance.NotFound, "admin@PlatformMSP", "release:Resume", host, repo, "nowhere")
		l.do("admin@PlatformMSP", "release:Resume", host, repo, "production")
		if _, writes, err := l.invoke("admin@PlatformMSP", nil, "release:Resume", host, repo, "production"); err != nil || len(writes) > 0 {
			t.Errorf("resumed again: %v, %d writes", err, len(writes))
		}
		expect(t, "after resume", l.verdict("gateway@PlatformMSP", about("release:Auto", "v3", "production")...), policy.Allowed, "", "")
	})
	t.Run("a person releases", func(t *testing.T) {
		l := ready(t)
		expect(t, "v3", l.verdict("release-manager@PlatformMSP", about("release:Release", "v3", "production")...), policy.Allowed, "", "")
		if c := current(l); c.Pinned || c.Digest != digestOf("v3") {
			t.Errorf("current: %+v", c)
		}
	})
	t.Run("a robot with a person's role does not", func(t *testing.T) {
		l := ready(t)
		l.do("admin@PlatformMSP", "member:Grant", "release-manager", "robot")
		expect(t, "v3", l.verdict("release-manager@PlatformMSP", about("release:Release", "v3", "production")...), policy.Pending, "release", policy.Unmet)
		if c := current(l); !c.Pinned || c.Digest != digestOf("v1") {
			t.Errorf("current: %+v", c)
		}
	})
}

func TestAutoIsForThoseNamed(t *testing.T) {
	l := network(t)
	l.govern(`"stages":[{"name":"staging","maxAge":"3650d","approvals":{"min":1,"orgs":["SecurityMSP"],"expires":"1h"},"freeze":[{"days":["Mon"],"from":"09:00","to":"10:00"}]}]`)
	l.pushed("v1")
	l.refused(provenance.Conflict, "gateway@SecurityMSP", about("release:Auto", "v1", "staging")...)
	l.do("publisher@VendorMSP", about("promotion:Request", "v1", "staging")...)
	expect(t, "frozen", l.approve("release-manager@SecurityMSP", "v1", "staging"), policy.Pending, "freeze", policy.Unmet)
	before := len(l.state)
	l.refused(provenance.Denied, "gateway@SecurityMSP", about("release:Auto", "v1", "staging")...)
	if len(l.state) != before {
		t.Errorf("a robot's refusal left a record")
	}
	l.now = time.Date(l.now.Year(), l.now.Month(), l.now.Day(), 10, 0, 0, 0, time.UTC)
	l.refused(provenance.Forbidden, "gateway@PlatformMSP", about("release:Auto", "v1", "staging")...)
	l.refused(provenance.Forbidden, "release-manager@SecurityMSP", about("release:Auto", "v1", "staging")...)
	expect(t, "thawed", l.verdict("gateway@SecurityMSP", about("release:Auto", "v1", "staging")...), policy.Allowed, "", "")
}

// A continuous rule that stops being met leaves what runs allowed for a grace, with a date.
func TestContinuousRule(t *testing.T) {
	l := network(t)
	l.govern(`"context":{"incident":"SecurityMSP"},"stages":[{"name":"staging","grace":"2h","approvals":{"min":1},"conditions":[{"name":"calm","cel":"context.incident == false","continuous":true}]}]`)
	l.do("admin@SecurityMSP", "context:Set", "incident", "false")
	l.pushed("v1", "v2")
	for _, c := range []string{"v1", "v2"} {
		l.do("publisher@VendorMSP", about("promotion:Request", c, "staging")...)
		expect(t, c, l.approve("release-manager@AuditMSP", c, "staging"), policy.Allowed, "", "")
	}
	l.do("admin@SecurityMSP", "context:Set", "incident", "true")
	if v := l.ask("v2", "staging"); v.Verdict != policy.Allowed || v.Warning == "" || v.Until == nil {
		t.Errorf("within the grace: %+v", v)
	}
	l.now = l.now.Add(2*time.Hour + time.Minute)
	expect(t, "after the grace", l.ask("v2", "staging"), policy.Denied, "condition/calm", policy.Violated)
	v := l.verdict("release-manager@AuditMSP", about("release:Release", "v1", "staging")...)
	expect(t, "no rollback to what may not run", v, policy.Denied, "condition/calm", policy.Violated)
	if _, recorded := l.state[subject("v1", "staging").RefusalKey(l.txID())]; !recorded {
		t.Error("the refusal is not on the ledger")
	}
	l.do("admin@SecurityMSP", "context:Set", "incident", "false")
	expect(t, "calm again", l.ask("v2", "staging"), policy.Allowed, "condition/calm", policy.Satisfied)
}
