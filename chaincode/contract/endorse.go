package contract

import (
	"bytes"
	"slices"
	"strings"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// A key may carry an endorsement policy of its own, which the peers hold every
// later write of that key to, beside or instead of the chaincode's. Its bytes
// are built here from the list of members and from nothing a caller said:
// bytes that a peer cannot read would stop the channel at the next write of
// the key (hyperledger/fabric#3105), and a policy of no organisations would let
// anybody write.

// guard asks for the peers of all of orgs and of more than half of the members
// at every later write of key. The write of this transaction is still held to
// what the key carried before. It writes nothing when the key carries that
// already. Of orgs only members count: nobody else's peers could ever endorse,
// and the key could never be written again.
func guard(tx *Tx, key string, orgs, members []string) error {
	return guardWith(tx, key, orgs, members, len(members)/2+1)
}

// guardGoverned guards what only a vote changes, by as many members as decide a
// vote. While founders have yet to join, a majority of those who have would be
// less than the chaincode's own policy asks for, so nothing is guarded before
// the first time everybody is there.
func guardGoverned(tx *Tx, key string, m state.Members) error {
	if wait, err := founding(tx, m); err != nil || wait {
		return err
	}
	return guardWith(tx, key, nil, m.MSPs, m.Needed())
}

// founding tells whether founders have yet to join: the list carries a guard
// from the first time nobody was missing.
func founding(tx *Tx, m state.Members) (bool, error) {
	if len(m.Invited) == 0 {
		return false, nil
	}
	list, err := guarded(tx, state.MembersKey())
	return list == nil, err
}

func guardWith(tx *Tx, key string, orgs, members []string, n int) error {
	want, err := endorsement(orgs, members, n)
	if err != nil {
		return err
	}
	have, err := guarded(tx, key)
	if err != nil || bytes.Equal(have, want) {
		return err
	}
	if err := tx.GetStub().SetStateValidationParameter(key, want); err != nil {
		return provenance.Wrap(provenance.Internal, err, "guard %s", readable(key))
	}
	return nil
}

// guarded returns the key-level policy that key carries, nil when it has none.
func guarded(tx *Tx, key string) ([]byte, error) {
	b, err := tx.GetStub().GetStateValidationParameter(key)
	if err != nil {
		return nil, provenance.Wrap(provenance.Internal, err, "read the guard of %s", readable(key))
	}
	if len(b) == 0 {
		return nil, nil
	}
	return b, nil
}

// endorsement writes a signature policy: the peers of n of the members, each of
// orgs that is a member among them, or of all of orgs where these are more.
// Equal arguments, in any order, give equal bytes on every peer. Format:
// fabric-protos common/policies.proto, SignaturePolicyEnvelope.
func endorsement(orgs, members []string, n int) ([]byte, error) {
	members = slices.Compact(slices.Sorted(slices.Values(members)))
	if len(members) == 0 || n < 1 || n > len(members) {
		return nil, provenance.Errorf(provenance.Internal, "an endorsement policy of %d of %d members", n, len(members))
	}
	envelope := &common.SignaturePolicyEnvelope{}
	for _, id := range members {
		principal, err := deterministic(&msp.MSPRole{MspIdentifier: id, Role: msp.MSPRole_PEER})
		if err != nil {
			return nil, err
		}
		envelope.Identities = append(envelope.Identities, &msp.MSPPrincipal{PrincipalClassification: msp.MSPPrincipal_ROLE, Principal: principal})
	}
	var named, others []*common.SignaturePolicy
	for i, id := range members {
		by := &common.SignaturePolicy{Type: &common.SignaturePolicy_SignedBy{SignedBy: int32(i)}}
		if slices.Contains(orgs, id) {
			named = append(named, by)
		} else {
			others = append(others, by)
		}
	}
	// A signature that one branch has used counts in no other (fabric,
	// common/cauthdsl): the majority is counted without those named beside it.
	rules := named
	if rest := n - len(named); rest > 0 {
		rules = append(rules, outOf(rest, others))
	}
	envelope.Rule = outOf(len(rules), rules)
	if len(named) == 0 {
		envelope.Rule = rules[0]
	}
	return deterministic(envelope)
}

func outOf(n int, rules []*common.SignaturePolicy) *common.SignaturePolicy {
	return &common.SignaturePolicy{Type: &common.SignaturePolicy_NOutOf_{NOutOf: &common.SignaturePolicy_NOutOf{N: int32(n), Rules: rules}}}
}

func deterministic(m proto.Message) ([]byte, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, provenance.Wrap(provenance.Internal, err, "encode an endorsement policy")
	}
	return b, nil
}

// readable is a key for people.
func readable(key string) string { return strings.Trim(strings.ReplaceAll(key, "\x00", "/"), "/") }
