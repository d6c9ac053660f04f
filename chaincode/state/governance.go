package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
)

// Member is an organisation on the ledger.
type Member struct {
	MSP  string `json:"msp"`
	Name string `json:"name"`
	Act
}

// Members is the list of member MSP ids, sorted, and what decides a vote of them.
type Members struct {
	MSPs []string `json:"msps"`
	// Invited may join: a founder that has not come yet, or voted in.
	Invited []string `json:"invited,omitempty"`
	// Majority is the number of agreeing members a proposal needs where it is
	// more than half of them; 0 means more than half.
	Majority int `json:"majority,omitempty"`
	// Version counts the votes that changed the list or the majority: a
	// proposal to change them is for one version and stale with the next.
	Version int `json:"version,omitempty"`
}

// Needed is the number of agreeing members that decides.
func (m Members) Needed() int { return max(len(m.MSPs)/2+1, min(m.Majority, len(m.MSPs))) }

// ProposalKind is what a vote is about.
type ProposalKind string

// The kinds of proposal.
const (
	ProposePolicy       ProposalKind = "policy"        // Body: policy.Canonical
	ProposeMemberAdd    ProposalKind = "member-add"    // Body: {"msp": "..."}
	ProposeMemberRemove ProposalKind = "member-remove" // Body: {"msp": "..."}
	ProposeMajority     ProposalKind = "majority"      // Body: {"majority": n}
	// ProposeRegistry gives a registry, or a namespace of it, to an organisation;
	// Body: {"host": "...", "namespace": "...", "owner": "...", "kind": "..."}.
	ProposeRegistry ProposalKind = "registry"
	// ProposeLift ends an organisation's hold; Body: {"digest": "...", "msp": "..."}.
	ProposeLift ProposalKind = "lift"
	// ProposeTrust changes or withdraws a trusted root that the members share; Body: TrustChange.
	ProposeTrust ProposalKind = "trusted-root"
	// ProposeChannel changes the configuration of the channel itself; Body: ChannelChange.
	ProposeChannel ProposalKind = "channel"
)

// ProposalStatus is where a proposal stands.
type ProposalStatus string

// The statuses of a proposal. A proposal made from an older version than the
// one in force is stale and cannot be voted for.
const (
	ProposalOpen      ProposalStatus = "open"
	ProposalAccepted  ProposalStatus = "accepted"
	ProposalRejected  ProposalStatus = "rejected"
	ProposalWithdrawn ProposalStatus = "withdrawn"
)

// Proposed is what is known of a change, by its hash.
type Proposed struct {
	Round  int    `json:"round"`  // of its last proposal, from 1
	Latest string `json:"latest"` // id of that
}

// Proposals are the ids of an organisation's proposals that may be open still.
type Proposals struct {
	Open []string `json:"open"`
}

// ChangeHash is the hex SHA-256 that names a change to a version of what is in
// force. source is the text that the body was read from, "" where it is the body.
func ChangeHash(kind ProposalKind, name string, base int, body []byte, source string) string {
	if source != "" {
		return hashOf("change 2", string(kind), name, strconv.Itoa(base), string(body), source)
	}
	return hashOf("change 1", string(kind), name, strconv.Itoa(base), string(body))
}

// ContentHash is the hex SHA-256 that a vote names: of the body, and with it of
// the text that the body was read from.
func ContentHash(body []byte, source string) string {
	sum := sha256.Sum256(body)
	if source == "" {
		return hex.EncodeToString(sum[:])
	}
	text := sha256.Sum256([]byte(source))
	return hashOf("content 1", hex.EncodeToString(sum[:]), hex.EncodeToString(text[:]))
}

// ProposalID is the hex SHA-256 that names one proposal of a change: the same
// whoever makes it. A change that was rejected or withdrawn may be proposed
// again; round counts.
func ProposalID(change string, round int) string {
	return hashOf("proposal 1", change, strconv.Itoa(round))
}

// Proposal is a change that organisations vote on. What comes into force is
// the body that stands here, whoever brings the last vote.
type Proposal struct {
	ID    string       `json:"id"` // ProposalID
	Round int          `json:"round"`
	Kind  ProposalKind `json:"kind"`
	Name  string       `json:"name"` // of the policy, or the MSP id
	Base  int          `json:"base"` // version in force when it was made
	// Body and Source are under a key of their own, ProposalTextKey: whoever lists proposals does not pay for
	// them. LoadProposal brings both.
	Body json.RawMessage `json:"body,omitempty"`
	// Source is the text that the contract read Body from, comments included; ""
	// where that is Body. It decides nothing, and is voted on with it.
	Source string `json:"source,omitempty"`
	// Subject is Title, as the contract read it from Body.
	Subject string         `json:"subject,omitempty"`
	Channel *ChannelBase   `json:"channel,omitempty"` // of a ProposeChannel proposal
	Hash    string         `json:"hash"`              // ContentHash
	Status  ProposalStatus `json:"status"`
	Version int            `json:"version,omitempty"` // the policy version it became
	Act
}

// ProposalText is what a proposal would put in force.
type ProposalText struct {
	Body   json.RawMessage `json:"body"`
	Source string          `json:"source,omitempty"`
}

// LoadProposal reads a proposal with what it would put in force.
func LoadProposal(r Reader, id string) (p Proposal, found bool, err error) {
	values, err := r.Get(ProposalKey(id), ProposalTextKey(id))
	if err != nil || values[0] == nil {
		return p, false, err
	}
	if err := Decode(values[0], &p); err != nil || values[1] == nil {
		return p, true, err
	}
	var text ProposalText
	err = Decode(values[1], &text)
	p.Body, p.Source = text.Body, text.Source
	return p, true, err
}

// Parted returns the two records that a proposal is kept as.
func (p Proposal) Parted() (head Proposal, text ProposalText) {
	text = ProposalText{Body: p.Body, Source: p.Source}
	p.Body, p.Source = nil, ""
	return p, text
}

// Ballot is one organisation's vote on a proposal.
type Ballot struct {
	Proposal string `json:"proposal"`
	MSP      string `json:"msp"`
	Yes      bool   `json:"yes"`
	Reason   string `json:"reason,omitempty"`
	// Signature is the voter's own on the configuration update, of a yes to a ProposeChannel proposal.
	Signature *ConfigSignature `json:"configSignature,omitempty"`
	Act
}

// Same tells whether two ballots say the same: with the same signature, where there is one.
func (b Ballot) Same(o Ballot) bool {
	if b.Yes != o.Yes || (b.Signature == nil) != (o.Signature == nil) {
		return false
	}
	return b.Signature == nil || bytes.Equal(b.Signature.Header, o.Signature.Header) && bytes.Equal(b.Signature.Signature, o.Signature.Signature)
}

// Catalogue lists the active policies.
type Catalogue struct {
	Policies []CatalogueEntry `json:"policies"`
}

// CatalogueEntry is an active policy and what it matches.
type CatalogueEntry struct {
	Name    string   `json:"name"`
	Version int      `json:"version"`
	Match   []string `json:"match"`
}

// PolicyVersion is one immutable version of a policy.
type PolicyVersion struct {
	Name    string          `json:"name"`
	Version int             `json:"version"`
	Hash    string          `json:"hash"` // sha256 of Text, hex
	Text    json.RawMessage `json:"text"` // policy.Canonical
	// Source is the text that was proposed, of which Text is what it says; "" where
	// that is Text.
	Source string          `json:"source,omitempty"`
	Voters []policy.Person `json:"voters"`
	At     time.Time       `json:"at"`
}
