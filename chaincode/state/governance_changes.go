package state

import (
	"encoding/json"
	"fmt"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// RegistryChange is the body of a ProposeRegistry proposal.
type RegistryChange struct {
	Host      provenance.Host `json:"host"`
	Namespace string          `json:"namespace"`
	Owner     string          `json:"owner"`
	Kind      string          `json:"kind"`
}

// LiftChange is the body of a ProposeLift proposal.
type LiftChange struct {
	Digest provenance.Digest `json:"digest"`
	MSP    string            `json:"msp"`
}

// ChannelChange is the body of a ProposeChannel proposal. What changes is what Update says, and nothing but that:
// the other fields are for lists, and for what the contract does when it is accepted.
type ChannelChange struct {
	Title  string `json:"title"`            // e.g. "org-add RetailMSP"
	Update []byte `json:"update"`           // the exact configuration update (common.ConfigUpdate)
	Add    string `json:"add,omitempty"`    // MSP id that is invited to be a member with it
	Remove string `json:"remove,omitempty"` // MSP id whose membership ends with it
}

// ConfigSignature is a signature on a configuration update, as Fabric takes it.
type ConfigSignature struct {
	Header    []byte `json:"header"` // common.SignatureHeader: whose, and a nonce
	Signature []byte `json:"signature"`
}

// Title says in a line for people what comes into force when it is accepted.
func (p Proposal) Title() string {
	switch p.Kind {
	case ProposePolicy:
		if p.Base == 0 {
			return "a new policy " + p.Name
		}
		return fmt.Sprintf("a change of policy %s@%d", p.Name, p.Base)
	case ProposeMemberAdd:
		return "invite " + p.Name
	case ProposeMemberRemove:
		return "remove " + p.Name
	case ProposeMajority:
		return "change the majority: " + string(p.Body)
	case ProposeRegistry:
		var c RegistryChange
		if json.Unmarshal(p.Body, &c) == nil && c.Host != "" {
			of := "registry " + string(c.Host)
			if c.Namespace != "" {
				of = "namespace " + c.Namespace + " of " + of
			}
			return "give " + of + " (" + c.Kind + ") to " + c.Owner
		}
	case ProposeLift:
		var c LiftChange
		if json.Unmarshal(p.Body, &c) == nil && c.MSP != "" {
			return "lift the quarantine of " + c.Digest.String() + " by " + c.MSP
		}
	case ProposeChannel:
		return "change the channel: " + p.Name
	case ProposeTrust:
		var c TrustChange
		if json.Unmarshal(p.Body, &c) == nil && c.Withdraw != nil {
			return "withdraw the shared root " + p.Name + ": " + c.Withdraw.Reason
		}
		if p.Base == 0 {
			return "trust the new shared root " + p.Name
		}
		return "a change of the shared root " + p.Name
	}
	return string(p.Kind) + " " + p.Name
}
