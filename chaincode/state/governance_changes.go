package state

import (
	"encoding/json"
	"fmt"
	"strings"

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
	ChannelBase
}

// ChannelBase is what an update of the channel was computed from.
type ChannelBase struct {
	// Sequence is that of the configuration. No contract sees the channel's: it is the proposer's word, which each
	// voter's program compares with its own peer's.
	Sequence int `json:"sequence"`
	// Members is Members.Version: who comes or goes, and who decides, is of that list.
	Members int `json:"members"`
}

// ChannelVotes counts the changes of the channel that were voted on: a proposal is made to one count, and stale with
// the next.
type ChannelVotes struct {
	Version  int    `json:"version"`
	Proposal string `json:"proposal"` // id of the last one
}

// InForce is what most proposals would change.
type InForce struct {
	Members   Members
	Catalogue Catalogue
	Channel   ChannelVotes
}

// LoadInForce reads it.
func LoadInForce(r Reader) (f InForce, err error) {
	if f.Members, err = LoadMembers(r); err != nil {
		return f, err
	}
	if _, err = Read(r, PoliciesKey(), &f.Catalogue); err != nil {
		return f, err
	}
	_, err = Read(r, ChannelVotesKey(), &f.Channel)
	return f, err
}

// Outdated tells whether what an open proposal would change has changed since it was made: nobody can vote for it any
// more. It needs no text.
func (f InForce) Outdated(r Reader, p Proposal) (bool, error) {
	if p.Status != ProposalOpen {
		return false, nil
	}
	base := f.Members.Version
	switch p.Kind {
	case ProposePolicy:
		base = 0
		for _, e := range f.Catalogue.Policies {
			if e.Name == p.Name {
				base = e.Version
			}
		}
	case ProposeRegistry:
		var now Registry
		host, _, _ := strings.Cut(p.Name, "/")
		if _, err := Read(r, RegistryKey(provenance.Host(host)), &now); err != nil {
			return false, err
		}
		base = now.Version
	case ProposeTrust:
		var root TrustedRoot
		if _, err := Read(r, TrustedRootKey("", p.Name), &root); err != nil {
			return false, err
		}
		base = root.Changes
	case ProposeLift:
		image, msp, _ := strings.Cut(p.Name, " ")
		digest, err := provenance.ParseDigest(image)
		if err != nil {
			return false, nil //nolint:nilerr // what it is about cannot be told; the contract says of it what it is
		}
		var h Hold
		found, err := Read(r, HoldKey(digest, msp), &h)
		if err != nil {
			return false, err
		}
		base = 0
		if found && !h.Lifted {
			base = int(h.At.Unix())
		}
	case ProposeChannel:
		return p.Base != f.Channel.Version || p.Channel != nil && p.Channel.Members != f.Members.Version, nil
	}
	return p.Base != base, nil
}

// ConfigSignature is a signature on a configuration update, as Fabric takes it.
type ConfigSignature struct {
	Header    []byte `json:"header"` // common.SignatureHeader: whose, and a nonce
	Signature []byte `json:"signature"`
}

// Title says in a line for people what comes into force when it is accepted.
func (p Proposal) Title() string {
	if p.Subject != "" {
		return p.Subject
	}
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
