package channel

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"google.golang.org/protobuf/proto"
)

// Need is a policy that the signatures on an update must meet, and whether they do.
type Need struct {
	Policy string `json:"policy"` // e.g. "Channel/Application/Admins"
	Met    bool   `json:"met"`
}

// Needs says which policies of the current configuration an update has to meet, and which of them these
// signatures meet. Signatures that count for nothing are named in words.
func Needs(name string, current *common.Config, update []byte, signatures []*common.ConfigSignature, at time.Time) (needs []Need, useless []string, err error) {
	has, _, delta, err := split(name, current, update)
	if err != nil {
		return nil, nil, err
	}
	var who []signed
	for _, s := range signatures {
		one, err := readSignature(current, update, s, at)
		if err != nil {
			useless = append(useless, err.Error())
			continue
		}
		who = append(who, one)
	}
	paths := map[string][]string{}
	for id := range delta {
		if old, ok := has[id]; ok {
			path := policyPath(old)
			paths[strings.Join(path, "/")] = path
		}
	}
	for _, words := range names(paths) {
		needs = append(needs, Need{Policy: words, Met: meets(current.GetChannelGroup(), paths[words], who)})
	}
	return needs, useless, nil
}

// policyPath is where the policy stands that allows a change of an element.
func policyPath(e element) []string {
	if rest, absolute := strings.CutPrefix(e.modPolicy(), "/"); absolute {
		return strings.Split(rest, "/")
	}
	return append(slices.Clone(e.path), strings.Split(e.modPolicy(), "/")...)
}

// meets says whether signers meet a policy, as Fabric evaluates it.
func meets(root *common.ConfigGroup, path []string, who []signed) bool {
	if len(path) < 2 || path[0] != "Channel" {
		return false
	}
	g := root
	for _, name := range path[1 : len(path)-1] {
		if g = g.GetGroups()[name]; g == nil {
			return false
		}
	}
	return satisfied(g, path[len(path)-1], who)
}

func satisfied(g *common.ConfigGroup, name string, who []signed) bool {
	p := g.GetPolicies()[name].GetPolicy()
	switch p.GetType() {
	case int32(common.Policy_IMPLICIT_META):
		m := &common.ImplicitMetaPolicy{}
		if proto.Unmarshal(p.GetValue(), m) != nil {
			return false
		}
		count, of := 0, len(g.GetGroups())
		for _, below := range g.GetGroups() {
			if satisfied(below, m.GetSubPolicy(), who) {
				count++
			}
		}
		switch m.GetRule() {
		case common.ImplicitMetaPolicy_ALL:
			return count == of
		case common.ImplicitMetaPolicy_MAJORITY:
			return count >= Majority(of)
		case common.ImplicitMetaPolicy_ANY:
			return count > 0
		}
	case int32(common.Policy_SIGNATURE):
		e := &common.SignaturePolicyEnvelope{}
		if proto.Unmarshal(p.GetValue(), e) != nil {
			return false
		}
		ok, _ := ruled(e.GetRule(), e.GetIdentities(), who, make([]bool, len(who)), 0)
		return ok
	}
	return false
}

// ruled evaluates a rule; each signer counts once.
func ruled(rule *common.SignaturePolicy, principals []*msp.MSPPrincipal, who []signed, used []bool, depth int) (bool, []bool) {
	if depth > maxDepth {
		return false, used
	}
	switch r := rule.GetType().(type) {
	case *common.SignaturePolicy_SignedBy:
		if r.SignedBy < 0 || int(r.SignedBy) >= len(principals) {
			return false, used
		}
		for i, s := range who {
			if !used[i] && s.is(principals[r.SignedBy]) {
				used = slices.Clone(used)
				used[i] = true
				return true, used
			}
		}
	case *common.SignaturePolicy_NOutOf_:
		count := int32(0)
		for _, below := range r.NOutOf.GetRules() {
			ok, now := ruled(below, principals, who, used, depth+1)
			if ok {
				used = now
				count++
			}
		}
		return count >= r.NOutOf.GetN(), used
	}
	return false, used
}

func (s signed) is(p *msp.MSPPrincipal) bool {
	switch p.GetPrincipalClassification() {
	case msp.MSPPrincipal_ROLE:
		role := &msp.MSPRole{}
		if proto.Unmarshal(p.GetPrincipal(), role) != nil || role.GetMspIdentifier() != s.mspID {
			return false
		}
		if role.GetRole() == msp.MSPRole_MEMBER {
			return true
		}
		return len(s.roles) == 1 && s.roles[0] == strings.ToLower(role.GetRole().String())
	case msp.MSPPrincipal_IDENTITY:
		id := &msp.SerializedIdentity{}
		return proto.Unmarshal(p.GetPrincipal(), id) == nil && id.GetMspid() == s.mspID && string(id.GetIdBytes()) == encodePEM("CERTIFICATE", s.cert.Raw)
	case msp.MSPPrincipal_ORGANIZATION_UNIT, msp.MSPPrincipal_ANONYMITY, msp.MSPPrincipal_COMBINED:
	}
	return false
}

// Unmet lists the policies that are not met yet.
func Unmet(needs []Need) []string {
	var out []string
	for _, n := range needs {
		if !n.Met {
			out = append(out, fmt.Sprint(n.Policy))
		}
	}
	return out
}
