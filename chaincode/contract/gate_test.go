package contract

import (
	"maps"
	"slices"
	"testing"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/state"
)

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
	if c := read[state.Current](l, subject("", "staging").ReleaseKey()); c.Digest != digestOf("v1") {
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
