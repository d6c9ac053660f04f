package channel

import (
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"google.golang.org/protobuf/proto"
)

const (
	admins         = "Admins"
	readers        = "Readers"
	writers        = "Writers"
	endorsement    = "Endorsement"
	lifecycle      = "LifecycleEndorsement"
	blockValidator = "BlockValidation"

	// applicationAdmins and orderingAdmins decide about what others rest on in an organisation's own groups.
	applicationAdmins = "/Channel/Application/Admins"
	orderingAdmins    = "/Channel/Orderer/Admins"
)

// marshal encodes in one way only: map entries are sorted. Only text that is not UTF-8 has no encoding: what is
// decoded has none, and what is written is of names that were checked (Descriptor.shape).
func marshal(m proto.Message) []byte {
	raw, _ := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	return raw
}

// Majority is how many of so many organisations are more than half.
func Majority(orgs int) int { return orgs/2 + 1 }

// Quorum is how many of so many consenters must sign a block, and Tolerance how many may lie or be gone.
func Quorum(consenters int) int {
	return (consenters + Tolerance(consenters) + 2) / 2 // ⌈(n+f+1)/2⌉
}

// Tolerance is how many of so many consenters may lie or be gone.
func Tolerance(consenters int) int { return max(consenters-1, 0) / 3 }

// majorityOf is a policy that counts what the groups below say.
func majorityOf(sub string) *common.ConfigPolicy {
	return &common.ConfigPolicy{
		ModPolicy: admins,
		Policy: &common.Policy{
			Type:  int32(common.Policy_IMPLICIT_META),
			Value: marshal(&common.ImplicitMetaPolicy{Rule: common.ImplicitMetaPolicy_MAJORITY, SubPolicy: sub}),
		},
	}
}

// named is a policy that asks for so many of the principals. Decision 28 says why it names them.
func named(n int, principals []*msp.MSPPrincipal) *common.ConfigPolicy {
	rules := make([]*common.SignaturePolicy, len(principals))
	for i := range principals {
		rules[i] = &common.SignaturePolicy{Type: &common.SignaturePolicy_SignedBy{SignedBy: int32(i)}} //nolint:gosec // G115: a list's length
	}
	rule := &common.SignaturePolicy{Type: &common.SignaturePolicy_NOutOf_{NOutOf: &common.SignaturePolicy_NOutOf{N: int32(n), Rules: rules}}} //nolint:gosec // G115: at most their number
	return &common.ConfigPolicy{
		ModPolicy: admins,
		Policy: &common.Policy{
			Type:  int32(common.Policy_SIGNATURE),
			Value: marshal(&common.SignaturePolicyEnvelope{Rule: rule, Identities: principals}),
		},
	}
}

// holders are the principals that have one of the roles in one of the organisations: role by role.
func holders(mspIDs []string, roles ...msp.MSPRole_MSPRoleType) []*msp.MSPPrincipal {
	var out []*msp.MSPPrincipal
	for _, role := range roles {
		for _, id := range mspIDs {
			out = append(out, &msp.MSPPrincipal{
				PrincipalClassification: msp.MSPPrincipal_ROLE,
				Principal:               marshal(&msp.MSPRole{MspIdentifier: id, Role: role}),
			})
		}
	}
	return out
}

// anyOf is a policy of the organisations whose ids are given.
func anyOf(mspIDs []string, roles ...msp.MSPRole_MSPRoleType) *common.ConfigPolicy {
	return named(1, holders(mspIDs, roles...))
}

// quorumOf is the policy of blocks: a quorum of exactly these certificates. Orderers compare it with the
// list of consenters, order and bytes.
func quorumOf(consenters []*common.Consenter) *common.ConfigPolicy {
	principals := make([]*msp.MSPPrincipal, len(consenters))
	for i, c := range consenters {
		principals[i] = &msp.MSPPrincipal{
			PrincipalClassification: msp.MSPPrincipal_IDENTITY,
			Principal:               marshal(&msp.SerializedIdentity{Mspid: c.GetMspId(), IdBytes: c.GetIdentity()}),
		}
	}
	return named(Quorum(len(consenters)), principals)
}
