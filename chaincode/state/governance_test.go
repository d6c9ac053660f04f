package state

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/policy"
)

func TestNeeded(t *testing.T) {
	for _, tt := range []struct {
		members, majority, want int
	}{
		{0, 0, 1}, {1, 0, 1}, {2, 0, 2}, {3, 0, 2}, {4, 0, 3}, {5, 0, 3},
		{4, 3, 3}, {4, 4, 4},
		{4, 2, 3}, // never half of them, whatever stands there
		{3, 4, 3}, // set when there were more
	} {
		m := Members{MSPs: make([]string, tt.members), Majority: tt.majority}
		if got := m.Needed(); got != tt.want {
			t.Errorf("%d members, majority %d: %d, want %d", tt.members, tt.majority, got, tt.want)
		}
	}
}

// TestRecordsReadBack: what the contract writes is what a reader gets, an
// integer of a context included, and equal records have equal bytes.
func TestRecordsReadBack(t *testing.T) {
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	act := Act{By: policy.Person{MSP: "VendorMSP", Name: "admin"}, At: at}
	back := func(record, into any) {
		t.Helper()
		b, err := Encode(record)
		if err != nil {
			t.Fatal(err)
		}
		if err := Decode(b, into); err != nil {
			t.Fatal(err)
		}
		again, err := Encode(into)
		if err != nil || string(again) != string(b) {
			t.Errorf("%T: %s, then %s (%v)", record, b, again, err)
		}
	}
	context := Context{Values: map[string]policy.Value{"b": {Value: int64(7), At: at}, "a": {Value: true, At: at}, "c": {Value: "x", At: at}}, Act: act}
	var c Context
	back(context, &c)
	if diff := cmp.Diff(context, c); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	back(TrustKey{MSP: "VendorMSP", Name: "build", Withdrawn: &Withdrawal{Reason: "lost", Act: act}, Act: act}, &TrustKey{})
	back(Waivers{Waivers: []Waiver{{ID: "1", Until: at, Revoked: true, Revocation: &Revocation{Reason: "no", Act: act}, Act: act}}}, &Waivers{})
	back(Proposal{ID: "1", Kind: ProposeMajority, Body: json.RawMessage(`{"majority":3}`), Act: act}, &Proposal{})
	back(Ballot{Proposal: "1", Yes: true, Act: act}, &Ballot{})
	back(Members{MSPs: []string{"A"}, Invited: []string{"B"}, Version: 2}, &Members{})
}

// TestKeysOfOneTypeDoNotMeet: names that differ have keys that differ, and no
// key is a prefix of another name's.
func TestKeysOfOneTypeDoNotMeet(t *testing.T) {
	keys := map[string]string{
		"key a b":     TrustKeyKey("a", "b"),
		"key ab":      TrustKeyKey("ab", ""),
		"key a bc":    TrustKeyKey("a", "bc"),
		"ballot 1 a":  BallotKey("1", "a"),
		"ballot 1a":   BallotKey("1a", ""),
		"proposal 1":  ProposalKey("1"),
		"proposal 11": ProposalKey("11"),
		"labels":      LabelsKey("h", "r"),
		"waivers":     WaiversKey("h", "r"),
		"context a":   ContextKey("a"),
		"schema a":    SchemaKey("a"),
	}
	seen := map[string]string{}
	for name, key := range keys {
		if other, ok := seen[key]; ok {
			t.Errorf("%s and %s have one key", name, other)
		}
		seen[key] = name
		for other, longer := range keys {
			if other != name && strings.HasPrefix(longer, key) {
				t.Errorf("a scan for %s finds %s", name, other)
			}
		}
		if _, attributes, ok := SplitKey(key); !ok || len(attributes) == 0 {
			t.Errorf("%s: %q is no composite key", name, key)
		}
	}
}
