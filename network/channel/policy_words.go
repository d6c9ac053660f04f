package channel

import (
	"fmt"
	"strings"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
)

// policyWords says what a policy asks for, e.g. "3 of VendorMSP.peer, SecurityMSP.peer, …".
func policyWords(p *common.Policy) (string, error) {
	switch p.GetType() {
	case int32(common.Policy_IMPLICIT_META):
		m := &common.ImplicitMetaPolicy{}
		if err := exact(p.GetValue(), m); err != nil {
			return "", err
		}
		rule, ok := map[common.ImplicitMetaPolicy_Rule]string{
			common.ImplicitMetaPolicy_ANY: "any", common.ImplicitMetaPolicy_ALL: "all", common.ImplicitMetaPolicy_MAJORITY: "a majority",
		}[m.GetRule()]
		if !ok {
			return "", errUnknown
		}
		return plain(fmt.Sprintf("%s of the groups below, by their %s", rule, m.GetSubPolicy()))
	case int32(common.Policy_SIGNATURE):
		e := &common.SignaturePolicyEnvelope{}
		if err := exact(p.GetValue(), e); err != nil || e.GetVersion() != 0 {
			return "", errUnknown
		}
		all := make([]string, len(e.GetIdentities()))
		for i, principal := range e.GetIdentities() {
			words, err := principalWords(principal)
			if err != nil {
				return "", err
			}
			all[i] = words
		}
		return ruleWords(e.GetRule(), all, 0)
	}
	return "", errUnknown
}

// maxDepth bounds how deep rules lie in rules; a channel of ours has one level.
const maxDepth = 8

func ruleWords(rule *common.SignaturePolicy, principals []string, depth int) (string, error) {
	if depth > maxDepth {
		return "", errUnknown
	}
	switch r := rule.GetType().(type) {
	case *common.SignaturePolicy_SignedBy:
		if r.SignedBy < 0 || int(r.SignedBy) >= len(principals) {
			return "", errUnknown
		}
		return principals[r.SignedBy], nil
	case *common.SignaturePolicy_NOutOf_:
		var all []string
		for _, below := range r.NOutOf.GetRules() {
			words, err := ruleWords(below, principals, depth+1)
			if err != nil {
				return "", err
			}
			if _, nested := below.GetType().(*common.SignaturePolicy_NOutOf_); nested {
				words = "(" + words + ")"
			}
			all = append(all, words)
		}
		n, of := r.NOutOf.GetN(), len(all)
		switch {
		case n < 1:
			return "", errUnknown // asks for nothing: everybody may
		case int(n) > of:
			return fmt.Sprintf("nobody (%d of %d)", n, of), nil
		case of == 1:
			return all[0], nil
		case n == 1:
			return "any of " + strings.Join(all, ", "), nil
		}
		return fmt.Sprintf("%d of %s", n, strings.Join(all, ", ")), nil
	}
	return "", errUnknown
}

func principalWords(p *msp.MSPPrincipal) (string, error) {
	switch p.GetPrincipalClassification() {
	case msp.MSPPrincipal_ROLE:
		role := &msp.MSPRole{}
		if err := exact(p.GetPrincipal(), role); err != nil {
			return "", err
		}
		if _, ok := msp.MSPRole_MSPRoleType_name[int32(role.GetRole())]; !ok {
			return "", errUnknown
		}
		return plain(role.GetMspIdentifier() + "." + strings.ToLower(role.GetRole().String()))
	case msp.MSPPrincipal_IDENTITY:
		id := &msp.SerializedIdentity{}
		if err := exact(p.GetPrincipal(), id); err != nil {
			return "", err
		}
		cert, err := certificateWords(string(id.GetIdBytes()))
		if err != nil {
			return "", err
		}
		return plain(id.GetMspid() + " " + cert)
	case msp.MSPPrincipal_ORGANIZATION_UNIT, msp.MSPPrincipal_ANONYMITY, msp.MSPPrincipal_COMBINED:
	}
	return "", errUnknown
}
