package contract

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"

	"github.com/waybill-dev/waybill/chaincode/state"
)

// givenAnswer is a verdict that was given, and what it was read from.
type givenAnswer struct {
	args  []string
	at    time.Time
	text  string
	reads map[string][]byte // every key, nil where there was none
}

// maxGiven is how many of the last answers a test's ledger holds against every transaction that comes after them.
const maxGiven = 3

// readsOf runs verdict:Ask as somebody, without a commit, and notes what it read.
func (l *ledger) readsOf(who string, args []string) (text string, reads map[string][]byte) {
	l.t.Helper()
	asked, trips := l.asked, l.trips
	l.asked = nil
	s := &stub{l: l, args: args, creator: l.creator(who), writes: map[string][]byte{}, guards: map[string][]byte{}, kept: map[[2]string][]byte{}, txID: strings.Repeat("0", 64)}
	response := l.cc.Invoke(s)
	reads = map[string][]byte{}
	for _, k := range l.asked {
		reads[k] = slices.Clone(l.state[k])
	}
	l.asked, l.trips = asked, trips
	if response.GetStatus() != shim.OK {
		return response.GetMessage(), reads
	}
	if len(s.writes) > 0 || s.batch {
		l.t.Errorf("%v writes %d keys", args, len(s.writes))
	}
	return string(response.GetPayload()), reads
}

// given holds the law of receipts over the transactions of every test: an answer to verdict:Ask is a function of the
// keys that it read, the absent ones with them, and of its time. What changes it later has changed one of those; and
// whoever asks gets the same, from the same keys. A signed read set would say nothing otherwise.
func (l *ledger) given(who string, args []string) {
	l.t.Helper()
	text, reads := l.readsOf(who, args)
	other := "auditor@PlatformMSP"
	if who == other {
		other = "gateway@VendorMSP"
	}
	otherText, otherReads := l.readsOf(other, args)
	if text != otherText || !sameReads(reads, otherReads) {
		l.t.Errorf("%v: %s and %s get different answers, or of different keys:\n%s\n%s", args, who, other, text, otherText)
	}
	if len(l.answers) == maxGiven {
		l.answers = l.answers[1:]
	}
	l.answers = append(l.answers, givenAnswer{args, l.now, text, reads})
}

func sameReads(a, b map[string][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for k := range a {
		if _, ok := b[k]; !ok {
			return false
		}
	}
	return true
}

// hold asks the last questions again, at their own times, after something was committed.
func (l *ledger) hold(fn string) {
	l.t.Helper()
	now := l.now
	defer func() { l.now = now }()
	for _, a := range l.answers {
		l.now = a.at
		text, _ := l.readsOf("auditor@AuditMSP", a.args)
		if text == a.text {
			continue
		}
		changed := slices.ContainsFunc(slices.Collect(maps.Keys(a.reads)), func(k string) bool { return !bytes.Equal(a.reads[k], l.state[k]) })
		if !changed {
			l.t.Errorf("%s changed the answer to %v, and nothing that it had been read from:\n%s\n%s", fn, a.args, a.text, text)
		}
	}
}

// TestReadSet: the records that a receipt speaks of are read one by one, those that are absent too.
func TestReadSet(t *testing.T) {
	l := network(t)
	l.pushed("v1")
	d := digestOf("v1")
	_, reads := l.readsOf("auditor@AuditMSP", []string{"verdict:Ask", host, repo, d.String(), "staging"})
	for _, msp := range orgs() {
		for _, key := range []string{state.HoldKey(d, msp), state.EvidenceSetKey(d, msp), state.WitnessKey(d, host, repo, msp), state.WaiversKey(host, repo, msp)} {
			if value, read := reads[key]; !read || value != nil {
				t.Errorf("%q: read %t, as %q", key, read, value)
			}
		}
	}
	for _, key := range []string{state.MembersKey(), state.PoliciesKey(), state.ClockKey()} {
		if reads[key] == nil {
			t.Errorf("%q was not read", key)
		}
	}
	l.do("scanner@SecurityMSP", "quarantine:Set", d.String(), "CVE")
	if _, after := l.readsOf("auditor@AuditMSP", []string{"verdict:Ask", host, repo, d.String(), "staging"}); after[state.HoldKey(d, "SecurityMSP")] == nil {
		t.Error("the hold was not read")
	}
}
