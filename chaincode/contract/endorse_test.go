package contract

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

var update = flag.Bool("update", false, "rewrite golden files")

func TestEndorsementIsAsWritten(t *testing.T) {
	for name, tt := range map[string]struct {
		orgs []string
		n    int
	}{
		"majority": {nil, 3},
		"gate":     {[]string{"SecurityMSP", "StrangerMSP"}, 3},
		"all":      {[]string{"SecurityMSP", "VendorMSP", "AuditMSP"}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := endorsement(tt.orgs, []string{"VendorMSP", "SecurityMSP", "PlatformMSP", "AuditMSP"}, tt.n)
			if err != nil {
				t.Fatal(err)
			}
			slices.Reverse(tt.orgs)
			again, err := endorsement(tt.orgs, []string{"AuditMSP", "VendorMSP", "PlatformMSP", "SecurityMSP", "AuditMSP"}, tt.n)
			if err != nil || !bytes.Equal(b, again) {
				t.Errorf("the order of the arguments changes the bytes (%v)", err)
			}
			var envelope common.SignaturePolicyEnvelope
			if err := proto.Unmarshal(b, &envelope); err != nil {
				t.Fatal(err)
			}
			text, err := protojson.Marshal(&envelope)
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer // protojson varies its spaces on purpose
			if err := json.Indent(&got, text, "", " "); err != nil {
				t.Fatal(err)
			}
			got.WriteByte('\n')
			path := filepath.Join("testdata", "endorsement-"+name+".json")
			if *update {
				if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// satisfied evaluates a policy as a peer does: depth first, and a signature
// that one branch used counts in no other (fabric, common/cauthdsl).
func satisfied(t *testing.T, b []byte, signers ...string) bool {
	t.Helper()
	var envelope common.SignaturePolicyEnvelope
	if err := proto.Unmarshal(b, &envelope); err != nil {
		t.Fatal(err)
	}
	var eval func(*common.SignaturePolicy, []bool) bool
	eval = func(p *common.SignaturePolicy, used []bool) bool {
		if n := p.GetNOutOf(); n != nil {
			var met int32
			for _, r := range n.GetRules() {
				try := slices.Clone(used)
				if eval(r, try) {
					met++
					copy(used, try)
				}
			}
			return met >= n.GetN()
		}
		var role msp.MSPRole
		if err := proto.Unmarshal(envelope.GetIdentities()[p.GetSignedBy()].GetPrincipal(), &role); err != nil || role.GetRole() != msp.MSPRole_PEER {
			t.Fatalf("principal %d: %v, %v", p.GetSignedBy(), &role, err)
		}
		for i, s := range signers {
			if !used[i] && s == role.GetMspIdentifier() {
				used[i] = true
				return true
			}
		}
		return false
	}
	return eval(envelope.GetRule(), make([]bool, len(signers)))
}

func TestEndorsementAsksFor(t *testing.T) {
	members := []string{"A", "B", "C", "D"}
	for _, tt := range []struct {
		orgs, signers string
		n             int
		want          bool
	}{
		{"", "ABC", 3, true}, {"", "BCD", 3, true}, {"", "AB", 3, false}, {"", "", 3, false}, {"", "AAAA", 3, false},
		{"", "ABC", 4, false}, {"", "ABCD", 4, true},
		{"B", "ABC", 3, true}, {"B", "ACD", 3, false}, {"B", "BC", 3, false}, {"B", "ABCD", 3, true},
		{"AB", "ABD", 3, true}, {"AB", "ACD", 3, false}, {"ABC", "ABC", 3, true}, {"ABC", "ABD", 3, false},
		{"ABCD", "ABCD", 3, true}, {"ABCD", "ABC", 3, false},
		{"Z", "ABC", 3, true}, // no member: no peers to ask
	} {
		b, err := endorsement(strings.Split(tt.orgs, ""), members, tt.n)
		if err != nil {
			t.Fatal(err)
		}
		if got := satisfied(t, b, strings.Split(tt.signers, "")...); got != tt.want {
			t.Errorf("%d of %v with %q, signed by %q: %v", tt.n, members, tt.orgs, tt.signers, got)
		}
	}
	for _, n := range []int{-1, 0, 5} {
		if _, err := endorsement(nil, members, n); provenance.CodeOf(err) != provenance.Internal {
			t.Errorf("%d of 4: %v", n, err)
		}
	}
	if _, err := endorsement([]string{"A"}, nil, 0); err == nil {
		t.Error("a policy of nobody was made")
	}
}

// TestWhatVotesChangeIsGuarded follows the guards from the founding on.
func TestWhatVotesChangeIsGuarded(t *testing.T) {
	l := newLedger(t)
	l.do("admin@VendorMSP", "member:Found", `["VendorMSP","SecurityMSP","PlatformMSP","AuditMSP"]`)
	for i, o := range orgs() {
		l.do("admin@"+o, "member:Join", o)
		if have := l.guard[state.MembersKey()] != nil; have != (i == len(orgs())-1) {
			t.Errorf("after %d joins the list is guarded: %v; a majority of those who came is less than the chaincode asks for", i+1, have)
		}
	}
	p := l.open("VendorMSP", "policy", policyText("default", 1))
	for _, o := range []string{"AuditMSP", "SecurityMSP"} {
		p = l.open(o, "policy", policyText("default", 1))
	}
	id := p.Proposal.ID
	law := []string{
		state.MembersKey(), state.PoliciesKey(), state.PolicyKey("default", 1), state.ProposalKey(id),
		state.BallotKey(id, "VendorMSP"), state.BallotKey(id, "AuditMSP"), state.BallotKey(id, "SecurityMSP"),
	}
	threeOfFour, err := endorsement(nil, orgs(), 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range law {
		if !bytes.Equal(l.guard[key], threeOfFour) {
			t.Errorf("%s: not guarded by 3 of 4", readable(key))
		}
	}
	l.agree("majority", `{"majority":4}`, "VendorMSP", "AuditMSP", "SecurityMSP")
	all, err := endorsement(nil, orgs(), 4)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range law[:2] {
		if !bytes.Equal(l.guard[key], all) {
			t.Errorf("%s: not guarded by all of 4 after the vote", readable(key))
		}
	}
	l.agree("member-remove", `{"msp":"PlatformMSP"}`, orgs()...)
	three, err := endorsement(nil, []string{"VendorMSP", "AuditMSP", "SecurityMSP"}, 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range law[:2] {
		if !bytes.Equal(l.guard[key], three) {
			t.Errorf("%s: not guarded by those who are left", readable(key))
		}
	}
	_, _, err = l.invoke("admin@VendorMSP", nil, "member:Join", "Vendor")
	if err != nil {
		t.Error(err)
	}
}
