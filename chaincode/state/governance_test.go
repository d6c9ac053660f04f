package state

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
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
	back(TrustedRoot{Name: "sigstore", Version: 1, Changes: 2, Hash: "h", Origin: "o", Anchors: []Anchor{{ID: "1", Kind: "ct-log", Name: "n",
		Windows: []Window{{Since: at, Gone: true}, {Since: at, From: at, Until: at}}}}, Withdrawn: &Withdrawal{Reason: "lost", Act: act}, Act: act}, &TrustedRoot{})
	back(RootVersion{Name: "sigstore", Version: 1, Hash: "h", Text: "{}", Voters: []policy.Person{act.By}, Act: act}, &RootVersion{})
	back(RootList{Names: []string{"sigstore"}}, &RootList{})
	back(Evidence{RootVersion: 1, Claims: map[string]string{"b": "1", "a": "2"}, Uses: []Use{{ID: "1", At: at}}, Facts: json.RawMessage(`{}`), Act: act}, &Evidence{})
	back(Waivers{Waivers: []Waiver{{ID: "1", Until: at, Revoked: true, Revocation: &Revocation{Reason: "no", Act: act}, Act: act}}}, &Waivers{})
	back(Proposal{ID: "1", Kind: ProposeMajority, Body: json.RawMessage(`{"majority":3}`), Act: act}, &Proposal{})
	back(Ballot{Proposal: "1", Yes: true, Act: act}, &Ballot{})
	back(Promotion{Subject: Subject{Stage: "s"}, Attempt: 1, Status: PromotionWithdrawn, Withdrawal: &Revocation{Reason: "no", Act: act}}, &Promotion{})
	back(TakenBack{MSP: "VendorMSP", Identity: "ann", Since: at, Reason: "stolen", Act: act}, &TakenBack{})
	back(Registry{Host: "h", Claims: []Claim{{Namespace: "n", Owner: "VendorMSP", Kind: "zot", Layout: Layout, Act: act}}, Version: 1}, &Registry{})
	back(EvidenceSet{Entries: []EvidenceEntry{{Type: "t", ID: "1", Signer: "s", Since: at, Unruled: true, Past: true}}}, &EvidenceSet{})
	back(EvidencePast{Pieces: []PastPiece{{ID: "1", Since: at}}}, &EvidencePast{})
	back(Clock{At: at, Seq: 7}, &Clock{})
	back(Gap{At: at}, &Gap{})
	back(Carrier{}, &Carrier{})
	back(Proposed{Round: 2, Latest: "1"}, &Proposed{})
	back(Members{MSPs: []string{"A"}, Invited: []string{"B"}, Version: 2}, &Members{})
}

// TestKeysOfOneTypeDoNotMeet: names that differ have keys that differ, and no
// key is a prefix of another name's.
func TestKeysOfOneTypeDoNotMeet(t *testing.T) {
	digest := provenance.SHA256Of(nil)
	keys := map[string]string{
		"key a b":     TrustKeyKey("a", "b"),
		"key ab":      TrustKeyKey("ab", ""),
		"key a bc":    TrustKeyKey("a", "bc"),
		"root a b":    TrustedRootKey("a", "b"),
		"root ab":     TrustedRootKey("ab", ""),
		"shared root": TrustedRootKey("", "b"),
		"root text 1": RootVersionKey("a", "b", 1),
		"root text 2": RootVersionKey("", "b", 1),
		"roots a":     RootListKey("a"),
		"roots":       RootListKey(""),
		"ballot 1 a":  BallotKey("1", "a"),
		"ballot 1a":   BallotKey("1a", ""),
		"proposal 1":  ProposalKey("1"),
		"proposal 11": ProposalKey("11"),
		"labels":      LabelsKey("h", "r"),
		"waivers a":   WaiversKey("h", "r", "a"),
		"waivers b":   WaiversKey("h", "r", "b"),
		"context a":   ContextKey("a"),
		"schema a":    SchemaKey("a", "n"),
		"schema an":   SchemaKey("an", ""),
		"segment a":   SegmentKey("h", "a", "l", 1),
		"segment b":   SegmentKey("h", "b", "l", 1),
		"evset a":     EvidenceSetKey(digest, "a"),
		"evset b":     EvidenceSetKey(digest, "b"),
		"evpast a":    EvidencePastKey(digest, "a", EvidenceEntry{Type: "t", Signer: "s"}),
		"evpast b":    EvidencePastKey(digest, "b", EvidenceEntry{Type: "t", Signer: "s"}),
		"carrier":     Subject{"s", "h", "r", digest}.CarrierKey(),
		"released":    Subject{"s", "h", "r", digest}.ReleasedKey(),
		"requests a":  RequestsKey("a"),
		"proposals a": ProposalsKey("a"),
		"proposed a":  ProposedKey("a"),
		"taken a b":   TakenKey(policy.Person{MSP: "a", Name: "b"}),
		"taken ab":    TakenKey(policy.Person{MSP: "ab", Name: ""}),
		"gap 1":       GapKey(1),
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
