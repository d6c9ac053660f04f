package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// InvokeChaincode asks the chaincode of the channel before.
func (s *stub) InvokeChaincode(name string, args [][]byte, channel string) *peer.Response {
	payload, err := s.invoke(name, args, channel)
	if err != nil {
		return &peer.Response{Status: shim.ERROR, Message: err.Error()}
	}
	return &peer.Response{Status: shim.OK, Payload: payload}
}

func (s *stub) invoke(name string, args [][]byte, channel string) ([]byte, error) {
	if s.l.before == nil || name != "waybill" || channel != "old" || string(args[0]) != "genesis:Export" {
		return nil, fmt.Errorf("%s of %s is not there, or not for others", args[0], channel)
	}
	old := &stub{l: s.l.before, creator: s.creator, txID: s.txID, writes: map[string][]byte{}, guards: map[string][]byte{}}
	for _, a := range args {
		old.args = append(old.args, string(a))
	}
	r := s.l.before.cc.Invoke(old)
	if r.GetStatus() != shim.OK || len(old.writes) > 0 {
		return nil, fmt.Errorf("%s, %d writes", r.GetMessage(), len(old.writes))
	}
	return r.GetPayload(), nil
}

// stateOf is the hash of a whole state.
func stateOf(t *testing.T, l *ledger) (hash string, entries []state.StateEntry) {
	t.Helper()
	for _, objectType := range state.Types() {
		for _, key := range sortedKeys(l.state) {
			if got, _, ok := state.SplitKey(key); ok && got == objectType {
				entries = append(entries, state.StateEntry{Key: key, Value: l.state[key]})
			}
		}
	}
	hash, err := state.StateHash("", entries)
	if err != nil {
		t.Fatal(err)
	}
	return hash, entries
}

func sortedKeys(m map[string][]byte) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// successor is a channel that goes on from the four's, which has some history.
func successor(t *testing.T) (*ledger, provenance.Predecessor) {
	t.Helper()
	old := network(t)
	if _, _, err := old.segment("gateway@VendorMSP", host, 1, push("1.0", "v1"), push("2.0", "v2")); err != nil {
		t.Fatal(err)
	}
	old.do("admin@AuditMSP", "quarantine:Set", push("2.0", "v2").Digest.String(), "looked at")
	l := newLedger(t)
	l.before, l.stopped, l.certs, l.now = old, true, old.certs, old.now.Add(time.Hour)
	hash, _ := stateOf(t, old)
	p := provenance.Predecessor{
		Channel: "old", Chaincode: "waybill", Genesis: strings.Repeat("01", 32), Height: 9, Header: strings.Repeat("07", 32), State: hash,
	}
	l.channel = p.Successor([]string{"VendorMSP", "AuditMSP"})
	return l, p
}

const two = `["AuditMSP","VendorMSP"]`

func (l *ledger) importAll(who string, p provenance.Predecessor) (g state.Genesis) {
	l.t.Helper()
	for range 1000 {
		if err := json.Unmarshal([]byte(l.do(who, "genesis:Import", string(p.Bytes()), two)), &g); err != nil {
			l.t.Fatal(err)
		}
		if g.Done {
			return g
		}
	}
	l.t.Fatal("it has no end")
	return g
}

// TestAChannelGoesOn: all that was recorded is there, and is judged as it was; who left decides nothing.
func TestAChannelGoesOn(t *testing.T) {
	l, p := successor(t)
	l.refused(provenance.Conflict, "admin@VendorMSP", "member:Found", two)
	l.refused(provenance.Forbidden, "admin@SecurityMSP", "genesis:Import", string(p.Bytes()), two)
	l.refused(provenance.Forbidden, "gateway@VendorMSP", "genesis:Import", string(p.Bytes()), two)
	l.refused(provenance.NotFound, "admin@VendorMSP", "genesis:Get")
	g := l.importAll("admin@VendorMSP", p)
	if g.Hash != p.State || g.After != p || !slices.Equal(g.Left, []string{"PlatformMSP", "SecurityMSP"}) {
		t.Errorf("%+v", g)
	}
	_, before := stateOf(t, l.before)
	for _, e := range before {
		objectType, attributes, _ := state.SplitKey(e.Key)
		switch left := objectType == state.TypeMember && slices.Contains(g.Left, attributes[0]); {
		case objectType == state.TypeMembers:
		case left && l.state[e.Key] != nil, !left && !bytes.Equal(l.state[e.Key], e.Value):
			t.Errorf("%s is %q, was %q", readable(e.Key), l.state[e.Key], e.Value)
		case mayBeGuarded(objectType) && (l.before.guard[e.Key] != nil) != (l.guard[e.Key] != nil):
			t.Errorf("%s: guarded before %t, now %t", readable(e.Key), l.before.guard[e.Key] != nil, l.guard[e.Key] != nil)
		}
	}
	if m := l.members(); !slices.Equal(m.MSPs, []string{"AuditMSP", "VendorMSP"}) || m.Version != 1 {
		t.Errorf("members %+v", m)
	}
	if _, writes, err := l.invoke("admin@AuditMSP", nil, "genesis:Import", string(p.Bytes()), two); err != nil || len(writes) > 0 {
		t.Errorf("again: %d writes, %v", len(writes), err)
	}
	l.stopped = false
	for _, image := range []string{"v1", "v2"} {
		d := push("1.0", image).Digest.String()
		was, is := l.before.verdict("auditor@AuditMSP", "verdict:Ask", host, repo, d, "staging"), l.verdict("auditor@AuditMSP", "verdict:Ask", host, repo, d, "staging")
		if was.Verdict != is.Verdict {
			t.Errorf("%s: %s, was %s", image, is.Verdict, was.Verdict)
		}
	}
	// It goes on: by those who are left, two of two.
	if _, _, err := l.segment("gateway@VendorMSP", host, 2, push("3.0", "v3")); err != nil {
		t.Error(err)
	}
	l.refused(provenance.Forbidden, "admin@SecurityMSP", "proposal:Open", "member-add", `{"msp":"NewMSP"}`)
	l.agree("member-add", `{"msp":"SecurityMSP"}`, "VendorMSP", "AuditMSP")
	l.do("admin@SecurityMSP", "member:Join", "Security")
}

// TestNothingElseIsImported: another end, another state, or founders who were no members stop it, and nobody can write
// meanwhile.
func TestNothingElseIsImported(t *testing.T) {
	for what, change := range map[string]func(p *provenance.Predecessor, l *ledger) string{
		"other founders than the name": func(*provenance.Predecessor, *ledger) string { return `["PlatformMSP","VendorMSP"]` },
		"one founder":                  func(*provenance.Predecessor, *ledger) string { return `["VendorMSP"]` },
		"another end than the name":    func(p *provenance.Predecessor, _ *ledger) string { p.Height--; return two },
		"another state": func(p *provenance.Predecessor, l *ledger) string {
			p.State = strings.Repeat("0", 64)
			l.channel = p.Successor([]string{"AuditMSP", "VendorMSP"})
			return two
		},
		"one key changed": func(_ *provenance.Predecessor, l *ledger) string {
			l.before.state[state.ClockKey()] = []byte(`{}`)
			return two
		},
		"a newcomer": func(p *provenance.Predecessor, l *ledger) string {
			l.channel = p.Successor([]string{"NewMSP", "VendorMSP"})
			return `["NewMSP","VendorMSP"]`
		},
		"no ledger before": func(_ *provenance.Predecessor, l *ledger) string { l.before = nil; return two },
		"another channel":  func(_ *provenance.Predecessor, l *ledger) string { l.channel = "waybill"; return two },
	} {
		t.Run(what, func(t *testing.T) {
			l, p := successor(t)
			founders := change(&p, l)
			for range 100 {
				if _, _, err := l.invoke("admin@VendorMSP", nil, "genesis:Import", string(p.Bytes()), founders); err != nil {
					if provenance.CodeOf(err) != provenance.Conflict {
						t.Error(err)
					}
					l.refused(provenance.Forbidden, "gateway@VendorMSP", "clock:Tick")
					l.refused(provenance.Forbidden, "admin@VendorMSP", "member:Join", "Vendor")
					return
				}
			}
			t.Error("it was imported")
		})
	}
}

// TestExportIsWholeInPages: pages end where the next ones begin, and large values end a page.
func TestExportIsWholeInPages(t *testing.T) {
	l := network(t)
	large := bytes.Repeat([]byte{1}, 200<<10)
	for i := range 600 {
		value := []byte{byte(i)}
		if i%100 == 0 {
			value = large
		}
		l.state[state.GapKey(uint64(i))] = value
	}
	var all []state.StateEntry
	pages, next := 0, ""
	for {
		var page state.StatePage
		if err := json.Unmarshal([]byte(l.do("auditor@AuditMSP", "genesis:Export", state.TypeGap, next)), &page); err != nil {
			t.Fatal(err)
		}
		all, pages = append(all, page.Entries...), pages+1
		if next = page.Next; next == "" {
			break
		}
	}
	if len(all) != 600 || pages < 3 || !slices.IsSortedFunc(all, func(a, b state.StateEntry) int { return strings.Compare(a.Key, b.Key) }) {
		t.Errorf("%d entries in %d pages", len(all), pages)
	}
	for _, args := range [][]string{{"nothing", ""}, {state.TypeGap, "%"}, {state.TypeClients, ""}} {
		l.refused(provenance.Invalid, "auditor@AuditMSP", "genesis:Export", args[0], args[1])
	}
}
