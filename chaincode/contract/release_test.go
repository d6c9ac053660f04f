package contract

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"google.golang.org/protobuf/proto"

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
	if !back.Rollback || back.Previous != provenance.SHA256Of([]byte("v2")) || back.EvidenceSet == "" {
		t.Errorf("the rollback: %+v", back)
	}
	if c := read[state.Current](l, subject("", "staging").ReleaseKey()); !c.Pinned || c.Digest != provenance.SHA256Of([]byte("v1")) {
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
		if c := current(l); c.Pinned || c.Digest != provenance.SHA256Of([]byte("v3")) {
			t.Errorf("current: %+v", c)
		}
	})
	t.Run("a robot with a person's role does not", func(t *testing.T) {
		l := ready(t)
		l.do("admin@PlatformMSP", "member:Grant", "release-manager", "robot")
		expect(t, "v3", l.verdict("release-manager@PlatformMSP", about("release:Release", "v3", "production")...), policy.Pending, "release", policy.Unmet)
		if c := current(l); !c.Pinned || c.Digest != provenance.SHA256Of([]byte("v1")) {
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

// guardOrgs returns the organisations without whose peers nobody can write a
// key, whatever other members endorse.
func (l *ledger) guardOrgs(key string) []string {
	l.t.Helper()
	var envelope common.SignaturePolicyEnvelope
	if err := proto.Unmarshal(l.guard[key], &envelope); err != nil || l.guard[key] == nil {
		l.t.Fatalf("no guard on %q: %v", key, err)
	}
	var all []string
	for _, p := range envelope.GetIdentities() {
		var role msp.MSPRole
		if err := proto.Unmarshal(p.GetPrincipal(), &role); err != nil {
			l.t.Fatal(err)
		}
		all = append(all, role.GetMspIdentifier())
	}
	if !endorsed(envelope.GetRule(), all, all, map[int32]bool{}) {
		l.t.Fatalf("all members' peers do not meet the guard of %q", key)
	}
	needed := []string{}
	for i, org := range all {
		if !endorsed(envelope.GetRule(), all, slices.Delete(slices.Clone(all), i, i+1), map[int32]bool{}) {
			needed = append(needed, org)
		}
	}
	return needed
}

// endorsed evaluates a signature policy as a peer does (fabric
// common/cauthdsl): a signature that one branch used counts in no other.
func endorsed(rule *common.SignaturePolicy, all, signers []string, used map[int32]bool) bool {
	n := rule.GetNOutOf()
	if n == nil {
		by := rule.GetSignedBy()
		if used[by] || !slices.Contains(signers, all[by]) {
			return false
		}
		used[by] = true
		return true
	}
	met := int32(0)
	for _, r := range n.GetRules() {
		branch := maps.Clone(used)
		if endorsed(r, all, signers, branch) {
			met++
			maps.Copy(used, branch)
		}
	}
	return met >= n.GetN()
}

func TestGate(t *testing.T) {
	l := network(t)
	l.govern(`"stages":[{"name":"staging","approvals":{"min":1,"orgs":["SecurityMSP"]},"witnesses":{"min":1,"orgs":["VendorMSP"]}}]`)
	l.pushed("v1")
	key := subject("v1", "staging").GateKey(0)
	l.do("publisher@VendorMSP", about("promotion:Request", "v1", "staging")...)
	if g := read[state.Gate](l, key); g.Opened || g.Attempt != 1 || !slices.Equal(g.Orgs, []string{"SecurityMSP", "VendorMSP"}) || g.Policy.Version != 2 {
		t.Errorf("requested: %+v", g)
	}
	if got := l.guardOrgs(key); !slices.Equal(got, []string{"SecurityMSP", "VendorMSP"}) {
		t.Errorf("the guard asks for the peers of %v", got)
	}

	// The policy names somebody else now: the gate's old policy is no proof that
	// they agreed, so the transaction that would release sets the gate only.
	l.govern(`"stages":[{"name":"staging","approvals":{"min":1,"orgs":["PlatformMSP"]}}]`)
	v := l.approve("release-manager@PlatformMSP", "v1", "staging")
	expect(t, "set anew", v, policy.Pending, "release", policy.Unmet)
	if _, released := l.state[subject("v1", "staging").ReleasedKey()]; released {
		t.Fatal("it was released through a gate that PlatformMSP's peers did not keep")
	}
	if got := l.guardOrgs(key); !slices.Equal(got, []string{"PlatformMSP"}) {
		t.Errorf("the guard asks for the peers of %v", got)
	}
	again := l.approval("v1", "staging", "again")
	_, writes, err := l.invoke("release-manager@PlatformMSP", nil, again...)
	if err != nil || writes[key] == nil || writes[subject("v1", "staging").ReleasedKey()] == nil {
		t.Fatalf("the release did not write the gate: %v", err)
	}
	if g := read[state.Gate](l, key); !g.Opened || !slices.Equal(g.Orgs, []string{"PlatformMSP"}) {
		t.Errorf("released: %+v", g)
	}

	// Fewer names than the gate keeps: its policy was met, and more.
	l.pushed("v2")
	l.do("publisher@VendorMSP", about("promotion:Request", "v2", "staging")...)
	l.govern(`"stages":[{"name":"staging","approvals":{"min":1}}]`)
	expect(t, "nobody named", l.approve("release-manager@AuditMSP", "v2", "staging"), policy.Allowed, "", "")
	if got := l.guardOrgs(subject("v2", "staging").GateKey(0)); len(got) != 0 {
		t.Errorf("the guard asks for the peers of %v", got)
	}
	// Rolling back writes the gate of what is rolled back to.
	_, writes, err = l.invoke("release-manager@AuditMSP", nil, about("release:Release", "v1", "staging")...)
	if err != nil || writes[key] == nil {
		t.Errorf("the rollback did not write the gate: %v", err)
	}
}

// What an organisation's peers guarded does not stand in the way once the
// organisation has left, and nobody passes without those who are named still.
func TestGateOfAnOrganisationThatLeft(t *testing.T) {
	l := network(t)
	l.govern(`"stages":[{"name":"staging","approvals":{"min":1,"orgs":["SecurityMSP"]},"witnesses":{"min":1,"orgs":["VendorMSP"]}}]`)
	l.pushed("v1", "v2")
	for _, c := range []string{"v1", "v2"} {
		l.do("publisher@VendorMSP", about("promotion:Request", c, "staging")...)
		expect(t, c, l.approve("release-manager@SecurityMSP", c, "staging"), policy.Allowed, "", "")
	}
	for _, org := range []string{"AuditMSP", "PlatformMSP", "VendorMSP"} {
		l.do("admin@"+org, "proposal:Open", string(state.ProposeMemberRemove), `{"msp":"SecurityMSP"}`)
	}
	before, after := subject("v1", "staging").GateKey(0), subject("v1", "staging").GateKey(1)
	back := about("release:Release", "v1", "staging")
	_, writes, err := l.invoke("release-manager@AuditMSP", nil, back...)
	if err != nil || writes[before] != nil || writes[after] == nil || writes[subject("v1", "staging").ReleasedKey()] != nil {
		t.Fatalf("the first transaction sets the new gate alone: %v, %d writes", err, len(writes))
	}
	if got := l.guardOrgs(after); !slices.Equal(got, []string{"VendorMSP"}) {
		t.Errorf("the guard asks for the peers of %v", got)
	}
	expect(t, "rolled back", l.verdict("release-manager@AuditMSP", back...), policy.Allowed, "", "")
	if c := read[state.Current](l, subject("", "staging").ReleaseKey()); c.Digest != provenance.SHA256Of([]byte("v1")) {
		t.Errorf("current: %+v", c)
	}
}

// No request releases at once where the stage names somebody: the first write
// of a key is not held to the key's own policy.
func TestRequestReleasesNothingPastItsGate(t *testing.T) {
	for name, c := range map[string]struct {
		witnesses string
		want      policy.Answer
	}{
		"nobody named": {`{"min":1}`, policy.Allowed},
		"named":        {`{"min":1,"orgs":["VendorMSP"]}`, policy.Pending},
	} {
		t.Run(name, func(t *testing.T) {
			l := network(t)
			l.govern(`"stages":[{"name":"staging","approvals":{"min":0},"witnesses":` + c.witnesses + `}]`)
			l.pushed("v1")
			expect(t, "requested", l.verdict("publisher@VendorMSP", about("promotion:Request", "v1", "staging")...), c.want, "", "")
			expect(t, "asked for again", l.verdict("release-manager@VendorMSP", about("release:Release", "v1", "staging")...), policy.Allowed, "", "")
		})
	}
}

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
		l.do("scanner@AuditMSP", "quarantine:Set", provenance.SHA256Of([]byte("v1")).String(), "CVE")
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
		l.refused(provenance.Forbidden, "auditor@VendorMSP", about("release:Review", "v1", "staging", "we are fine")...)
		l.refused(provenance.Invalid, "auditor@AuditMSP", about("release:Review", "v1", "staging", " ")...)
		expect(t, "reviewed", l.verdict("auditor@AuditMSP", about("release:Review", "v1", "staging", "was right")...), policy.Allowed, "break-glass", policy.Waived)
		if _, writes, err := l.invoke("auditor@PlatformMSP", nil, about("release:Review", "v1", "staging", "too")...); err != nil || len(writes) > 0 {
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
		append([]string{"release-manager@AuditMSP"}, about("promotion:Approve", "v1", "staging", "default@2", "set", "ok")...),
		append([]string{"release-manager@AuditMSP"}, about("promotion:Reject", "v1", "staging", "no")...),
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
			key := state.HoldKey(provenance.SHA256Of([]byte("v1")), "VendorMSP")
			if err != nil || len(writes) != 1 || writes[key] == nil {
				t.Fatalf("%d writes, %v; want the quarantine alone", len(writes), err)
			}
			expect(t, "settled", l.ask("v1", "staging"), policy.Quarantined, "quarantine", policy.Violated)
			l.refused(provenance.NotFound, "admin@AuditMSP", "quarantine:Lift", provenance.SHA256Of([]byte("v1")).String(), "not theirs")
			// Lifting it pays no debt.
			l.do("admin@VendorMSP", "quarantine:Lift", provenance.SHA256Of([]byte("v1")).String(), "lifted")
			expect(t, "lifted without a review", l.ask("v1", "staging"), policy.Quarantined, "break-glass", policy.Violated)
		})
	}
	t.Run("reviewed late", func(t *testing.T) {
		l := broken(t)
		l.now = l.now.Add(3 * time.Hour)
		expect(t, "late", l.verdict("auditor@AuditMSP", about("release:Review", "v1", "staging", "late")...), policy.Quarantined, "quarantine", policy.Violated)
		l.do("admin@VendorMSP", "quarantine:Lift", provenance.SHA256Of([]byte("v1")).String(), "reviewed now")
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
		l.refused(provenance.NotFound, "auditor@AuditMSP", about("release:Review", "v2", "staging", "what?")...)
	})
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
