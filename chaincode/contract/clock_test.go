package contract

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// kept is an endorsement in a drawer: what a transaction would write, and the
// keys that it read, as they were.
type kept struct {
	stub *stub
	read map[string]string
}

// endorse runs a transaction and commits nothing.
func (l *ledger) endorse(who string, args ...string) kept {
	l.t.Helper()
	l.txs++
	l.asked = nil
	s := &stub{l: l, args: args, creator: l.creator(who), writes: map[string][]byte{}, guards: map[string][]byte{}, kept: map[[2]string][]byte{}, txID: fmt.Sprintf("%064x", l.txs)}
	response := l.cc.Invoke(s)
	if response.GetStatus() != shim.OK {
		l.t.Fatalf("%v: %s", args, response.GetMessage())
	}
	k := kept{stub: s, read: map[string]string{}}
	for _, key := range l.asked {
		k.read[key] = string(l.state[key])
	}
	return k
}

// handIn commits an endorsement as a peer does: not where a key that it read has
// changed since.
func (l *ledger) handIn(k kept) bool {
	for _, key := range slices.Sorted(maps.Keys(k.read)) {
		if string(l.state[key]) != k.read[key] {
			return false
		}
	}
	l.commit(k.stub)
	return true
}

// slow has stages that one witness satisfies, but for the time they take.
const slow = `"stages":[{"name":"staging","approvals":{"min":0},"witnesses":{"min":1}},
 {"name":"production","from":"staging","soak":"1h","approvals":{"min":0}},
 {"name":"young","maxAge":"1h","approvals":{"min":0},"witnesses":{"min":1}},
 {"name":"weekdays","freeze":[{"days":["Sat","Sun"],"from":"00:00","to":"00:00"}],"approvals":{"min":0},"witnesses":{"min":1}}]`

// tickNow moves the clock as a gateway does.
func (l *ledger) tickNow() { l.t.Helper(); l.do("gateway@AuditMSP", "clock:Tick") }

// TestAnEndorsementIsNotKeptInADrawer: an act that was endorsed at a good time
// and handed in at another one took its time from where it was made. Every act
// about a promotion or a release reads the clock, and is invalid with the next tick.
func TestAnEndorsementIsNotKeptInADrawer(t *testing.T) {
	l := network(t)
	l.govern(strings.Replace(slow, `"min":0},"witnesses":{"min":1}}`, `"min":1},"breakGlass":{"by":[{"org":"VendorMSP","role":"release-manager"}],"without":["approvals"],"review":"2h"}}`, 1))
	l.pushed("v1", "v2", "v3", "v4")
	for _, c := range []string{"v1", "v2"} {
		l.do("publisher@VendorMSP", about("promotion:Request", c, "staging")...)
	}
	l.release("v4")
	for _, act := range [][]string{
		append([]string{"publisher@VendorMSP"}, about("promotion:Request", "v3", "staging")...),
		append([]string{"release-manager@AuditMSP"}, l.approval("v1", "staging", "ok")...),
		append([]string{"release-manager@AuditMSP"}, about("promotion:Reject", "v1", "staging", "1", "no")...),
		append([]string{"publisher@VendorMSP"}, about("promotion:Cancel", "v2", "staging", "1", "no")...),
		append([]string{"release-manager@AuditMSP"}, about("release:Release", "v2", "staging")...),
		append([]string{"release-manager@VendorMSP"}, about("release:BreakGlass", "v3", "staging", "outage")...),
	} {
		drawer := l.endorse(act[0], act[1:]...)
		if _, ok := drawer.read[state.ClockKey()]; !ok || len(drawer.stub.writes) == 0 {
			t.Errorf("%s does not rest on the clock, or writes nothing", act[1])
		}
		l.now = l.now.Add(time.Minute)
		l.tickNow()
		if l.handIn(drawer) {
			t.Errorf("%s was endorsed before the tick and committed after it", act[1])
		}
	}
	// Handed in before the next tick it is as good as any.
	if !l.handIn(l.endorse("release-manager@AuditMSP", l.approval("v1", "staging", "ok")...)) {
		t.Error("an honest approval is invalid")
	}
	expect(t, "after it", l.ask("v1", "staging"), policy.Allowed, "", "")
}

// TestSoakIsNotBeatenByADrawer: five minutes of soak were gone in two seconds, by
// the endorsement of a release that was kept while its time ran.
func TestSoakIsNotBeatenByADrawer(t *testing.T) {
	l := network(t)
	l.govern(slow)
	l.pushed("v1")
	l.do("publisher@VendorMSP", about("promotion:Request", "v1", "production")...)
	// Endorsed now, and kept for an hour in which the image is nowhere.
	drawer := l.endorse("publisher@VendorMSP", about("promotion:Request", "v1", "staging")...)
	for range 61 {
		l.now = l.now.Add(time.Minute)
		l.tickNow()
	}
	if l.handIn(drawer) {
		t.Fatal("the release to staging was committed an hour after it was endorsed")
	}
	l.do("publisher@VendorMSP", about("promotion:Request", "v1", "staging")...)
	expect(t, "released just now", l.ask("v1", "production"), policy.Pending, "soak", policy.Unmet)
}

// TestSoakCountsFromTheEndOfAGap: while the clock stands still an endorsement
// keeps, so a release of that time counts from when the clock moved again.
func TestSoakCountsFromTheEndOfAGap(t *testing.T) {
	l := network(t)
	l.govern(slow)
	l.pushed("v1")
	l.stopped = true
	l.tickNow()
	drawer := l.endorse("publisher@VendorMSP", about("promotion:Request", "v1", "staging")...)
	l.now = l.now.Add(2 * time.Hour) // no gateway ticks
	if !l.handIn(drawer) {
		t.Fatal("nothing has changed: it is valid")
	}
	l.tickNow()
	l.do("publisher@VendorMSP", about("promotion:Request", "v1", "production")...)
	expect(t, "two hours after it was endorsed", l.ask("v1", "production"), policy.Pending, "soak", policy.Unmet)
	l.now = l.now.Add(time.Hour + time.Minute)
	l.tickNow()
	expect(t, "an hour after the clock moved", l.ask("v1", "production"), policy.Pending, "soak", policy.Satisfied)
}

// TestClaimsGainNothing: what time decides is judged within the tick that the clock
// is in, and a soak counts from the end of the one that its release was made in,
// whatever the acts claim.
func TestClaimsGainNothing(t *testing.T) {
	l := network(t)
	l.govern(slow)
	l.pushed("v1")
	l.now = l.now.Truncate(time.Minute).Add(policy.ClockTick)
	l.tickNow()
	l.stopped = true
	begun := l.now.Truncate(time.Minute)                  // an act takes a second
	l.now = begun.Add(-policy.ClockGrace + 5*time.Second) // claimed as old as is taken
	l.do("publisher@VendorMSP", about("promotion:Request", "v1", "staging")...)
	for range 59 {
		begun = begun.Add(time.Minute)
		l.now = begun
		l.tickNow()
	}
	// 59 minutes of ticks after the release, less the one that it was made in.
	l.now = begun.Add(policy.ClockGrace - time.Second) // claimed as young as is taken: two minutes ahead
	v := l.verdict("publisher@VendorMSP", about("promotion:Request", "v1", "production")...)
	expect(t, "59 minutes, dated 61", v, policy.Pending, "soak", policy.Unmet)
	begun = begun.Add(policy.ClockTick)
	l.now = begun
	l.tickNow()
	expect(t, "an hour", l.ask("v1", "production"), policy.Pending, "soak", policy.Unmet)
	l.now = begun.Add(policy.ClockTick)
	l.tickNow()
	expect(t, "an hour after its tick", l.ask("v1", "production"), policy.Pending, "soak", policy.Satisfied)
}

// TestWhenTheClockStandsStill: what depends on time is unmet and says so, and
// what runs is not stopped by it.
func TestWhenTheClockStandsStill(t *testing.T) {
	l := network(t)
	l.govern(slow)
	young := push("1.0", "v1")
	young.OccurredAt = l.now
	l.record(young)
	l.do("publisher@VendorMSP", about("promotion:Request", "v1", "staging")...)
	l.now = l.now.Add(30 * time.Minute)
	for _, stage := range []string{"production", "young", "weekdays"} {
		l.stopped = false
		v := l.ask("v1", stage)
		l.stopped = true
		rule := map[string]string{"production": "soak", "young": "max-age", "weekdays": "freeze"}[stage]
		if stage != "production" {
			expect(t, stage, v, policy.Pending, rule, policy.Satisfied)
		}
		l.now = l.now.Add(5 * time.Minute)
		v = l.ask("v1", stage)
		expect(t, stage+" without a clock", v, policy.Pending, rule, policy.Unmet)
		for _, r := range v.Reasons {
			if r.Rule == rule && !strings.Contains(r.Detail, "the ledger's clock stands still") {
				t.Errorf("%s does not say why: %s", rule, r.Detail)
			}
		}
		expect(t, "what runs", l.ask("v1", "staging"), policy.Allowed, "", "")
		if stage == "weekdays" {
			expect(t, "not released", l.verdict("publisher@VendorMSP", about("promotion:Request", "v1", stage)...), policy.Pending, rule, policy.Unmet)
			l.tickNow()
			expect(t, "it moves again", l.verdict("release-manager@VendorMSP", about("release:Release", "v1", stage)...), policy.Allowed, "", "")
		}
	}
}

// TestTheClockMovesForward: cut to minutes, by gateways of members, and never back.
func TestTheClockMovesForward(t *testing.T) {
	l := network(t)
	l.stopped = true
	clock := func() (c state.Clock) {
		t.Helper()
		if err := json.Unmarshal([]byte(l.do("stranger@AuditMSP", "clock:Get")), &c); err != nil {
			t.Fatal(err)
		}
		return c
	}
	l.refused(provenance.Forbidden, "admin@AuditMSP", "clock:Tick")
	l.refused(provenance.Forbidden, "gateway@OutsiderMSP", "clock:Tick")
	l.now = time.Date(2026, 3, 2, 12, 0, 10, 0, time.UTC)
	l.tickNow()
	first := clock()
	if !first.At.Equal(time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v", first)
	}
	l.quiet("gateway@VendorMSP", "clock:Tick")
	l.now = l.now.Add(-10 * time.Minute)
	l.quiet("gateway@VendorMSP", "clock:Tick")
	if clock() != first {
		t.Errorf("it went back: %+v", clock())
	}
	l.now = first.At.Add(policy.ClockTick)
	l.tickNow()
	if _, ok := l.state[state.GapKey(first.Seq)]; ok {
		t.Error("a tick is no gap")
	}
	second := clock()
	l.now = second.At.Add(2 * policy.ClockTick)
	l.tickNow()
	if gap := read[state.Gap](l, state.GapKey(second.Seq)); !gap.At.Equal(clock().At) || clock().Seq != second.Seq+1 {
		t.Errorf("the gap: %+v, %+v", gap, clock())
	}
}

// TestAnActOfYesterdayIsStale: an act is dated by its client; one that is dated
// before what the clock allows is refused where time decides.
func TestAnActOfYesterdayIsStale(t *testing.T) {
	l := network(t)
	l.govern(strings.Replace(slow, `"min":0`, `"min":1`, 1))
	l.pushed("v1")
	l.do("publisher@VendorMSP", about("promotion:Request", "v1", "staging")...)
	words := l.approval("v1", "staging", "ok")
	l.stopped = true
	at := l.now
	l.now = at.Add(policy.ClockGrace + 2*time.Minute)
	l.tickNow()
	l.now = at
	l.refused(provenance.Stale, "release-manager@AuditMSP", words...)
	if _, ok := l.state[subject("v1", "staging").ReleasedKey()]; ok {
		t.Error("released")
	}
}

// TestNothingComesFromTheFuture: whatever is dated later than now, the year 9999
// included, is refused, or counts from now.
func TestNothingComesFromTheFuture(t *testing.T) {
	l := network(t)
	l.govern(`"stages":[{"name":"staging","maxAge":"30d","approvals":{"min":0},"evidence":[{"name":"scan","type":"vuln-scan","signers":[{"org":"SecurityMSP","role":"scanner"}],"maxAge":"1d"}]}]`)
	far := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	for name, c := range map[string]struct {
		at time.Time
		ok bool
	}{
		"the year 9999": {far, false}, "tomorrow": {l.now.AddDate(0, 0, 1), false}, "three minutes": {l.now.Add(3 * time.Minute), false}, "a minute": {l.now.Add(time.Minute), true},
	} {
		e := push("1.0", name)
		e.OccurredAt = c.at
		if _, writes, err := l.segment("gateway@VendorMSP", host, 100+l.txs, e); c.ok != (err == nil) || !c.ok && (provenance.CodeOf(err) != provenance.Invalid || len(writes) > 0) {
			t.Errorf("a push of %s: %v, %d writes", name, err, len(writes))
		}
	}
	// What a document claims of its own time makes it older, never younger.
	l.pushed("v1")
	l.do("publisher@VendorMSP", about("promotion:Request", "v1", "staging")...)
	l.brings(brought{"scanner@SecurityMSP", "v1", "", "plain", "", "", stated("v1", "vuln-scan", scanned(0), far.Format(time.RFC3339))})
	expect(t, "a scan of the year 9999", l.ask("v1", "staging"), policy.Pending, "evidence/scan", policy.Satisfied)
	l.now = l.now.AddDate(0, 0, 2)
	expect(t, "two days later", l.ask("v1", "staging"), policy.Pending, "evidence/scan", policy.Unmet)
	s := l.brings(brought{"scanner@SecurityMSP", "v1", "", "plain", "", "", stated("v1", "vuln-scan", scanned(1), "")})
	if !s.Counts {
		t.Error("a scan that claims to be of the year 9999 is for ever the newest")
	}
	stamp := l.now.Add(time.Hour).Format(time.RFC3339)
	l.key("SecurityMSP", "scan", "")
	l.refused(provenance.Invalid, "admin@SecurityMSP", "key:Withdraw", "scan", "stolen", stamp)
	l.refused(provenance.Invalid, "admin@SecurityMSP", "member:TakeBack", "scanner", stamp, "stolen")
	l.refused(provenance.Invalid, "admin@SecurityMSP", "member:TakeBack", "scanner", far.Format(time.RFC3339), "stolen")
}

// TestNightlyScansDoNotRenewTheGrace: a scan that fails every night kept an image
// allowed for ever, for each night's grace began anew.
func TestNightlyScansDoNotRenewTheGrace(t *testing.T) {
	l := network(t)
	l.govern(`"stages":[{"name":"staging","approvals":{"min":0},"grace":"7d","evidence":[{"name":"scan","type":"vuln-scan","signers":[{"org":"SecurityMSP","role":"scanner"}],"condition":"facts.critical == 0","continuous":true}]}]`)
	l.pushed("v1")
	scan := func(critical int) {
		t.Helper()
		l.brings(brought{"scanner@SecurityMSP", "v1", "", "plain", "", "", stated("v1", "vuln-scan", scanned(critical), l.now.Format(time.RFC3339))})
	}
	scan(0)
	expect(t, "released", l.verdict("publisher@VendorMSP", about("promotion:Request", "v1", "staging")...), policy.Allowed, "", "")
	for range 100 { // more nights than pieces are kept
		l.now = l.now.Add(24 * time.Hour)
		scan(0)
	}
	for night := range 10 {
		l.now = l.now.Add(24 * time.Hour)
		scan(1 + night)
		want := policy.Allowed
		if night >= 7 {
			want = policy.Denied
		}
		v := l.ask("v1", "staging")
		expect(t, fmt.Sprintf("night %d", night), v, want, "evidence/scan", policy.Violated)
		if want == policy.Allowed && v.Warning == "" {
			t.Errorf("night %d: no warning", night)
		}
	}
	for range 200 {
		l.now = l.now.Add(24 * time.Hour)
		scan(3)
	}
	expect(t, "after two hundred nights", l.ask("v1", "staging"), policy.Denied, "evidence/scan", policy.Violated)
	scan(0)
	expect(t, "mended", l.ask("v1", "staging"), policy.Allowed, "evidence/scan", policy.Satisfied)
	l.now = l.now.Add(24 * time.Hour)
	scan(1)
	expect(t, "a new grace begins", l.ask("v1", "staging"), policy.Allowed, "evidence/scan", policy.Violated)
}
