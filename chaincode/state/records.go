package state

import (
	"encoding/json"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Role is what a person or robot may do for its organisation.
type Role string

// The roles. An identity whose certificate carries the Node OU "admin" is an
// admin without a grant: somebody has to grant first.
const (
	RoleAdmin          Role = "admin"
	RolePublisher      Role = "publisher"
	RoleScanner        Role = "scanner"
	RoleReleaseManager Role = "release-manager"
	RoleAuditor        Role = "auditor"
	RoleGateway        Role = "gateway"
)

// Roles lists them all.
func Roles() []Role {
	return []Role{RoleAdmin, RolePublisher, RoleScanner, RoleReleaseManager, RoleAuditor, RoleGateway}
}

// Act is who did something, and when by the transaction's own timestamp
// (claimed by the client, bounded by the peers' time window).
type Act struct {
	By policy.Person `json:"by"`
	At time.Time     `json:"at"`
}

// Member is an organisation on the ledger.
type Member struct {
	MSP  string `json:"msp"`
	Name string `json:"name"`
	Act
}

// Members is the list of member MSP ids, sorted.
type Members struct {
	MSPs []string `json:"msps"`
}

// Grant gives one identity of a member one role, until it is revoked.
type Grant struct {
	MSP      string `json:"msp"`
	Identity string `json:"identity"`
	Role     Role   `json:"role"`
	Revoked  bool   `json:"revoked,omitempty"`
	Act
}

// Registry is an OCI registry; only its owner's gateways record its events.
type Registry struct {
	Host  provenance.Host `json:"host"`
	Owner string          `json:"owner"` // MSP id
	Kind  string          `json:"kind"`
	Act
}

// Place is an image in a repository, as first pushed there.
type Place struct {
	MediaType    string              `json:"mediaType,omitempty"`
	ArtifactType string              `json:"artifactType,omitempty"`
	Size         int64               `json:"size,omitempty"`
	Config       provenance.Digest   `json:"config,omitzero"`
	Subject      provenance.Digest   `json:"subject,omitzero"`
	Children     []provenance.Digest `json:"children,omitempty"`
	Actor        string              `json:"actor,omitempty"` // the registry's word
	MSP          string              `json:"msp"`             // whose gateway recorded it
	At           time.Time           `json:"at"`              // the registry's clock
	Deleted      bool                `json:"deleted,omitempty"`
}

// Tag is what a tag names now and named before.
type Tag struct {
	Digest   provenance.Digest `json:"digest,omitzero"` // zero: the tag was deleted
	Previous provenance.Digest `json:"previous,omitzero"`
	Moves    uint64            `json:"moves"` // times it was set, moved or deleted
	At       time.Time         `json:"at"`
}

// PromotionStatus is where a promotion stands.
type PromotionStatus string

// The statuses of a promotion.
const (
	PromotionOpen     PromotionStatus = "open"
	PromotionReleased PromotionStatus = "released"
	PromotionRejected PromotionStatus = "rejected"
)

// Promotion is a request to release one image of one repository to one stage.
type Promotion struct {
	Subject
	Attempt   int             `json:"attempt"` // counts requests; old approvals stay with theirs
	Requester policy.Person   `json:"requester"`
	At        time.Time       `json:"at"`
	Status    PromotionStatus `json:"status"`
}

// Approval is one organisation's word on one attempt of a promotion.
type Approval struct {
	Subject
	Attempt int `json:"attempt"`
	policy.Approval
}

// Release is the fact that an image is released to a stage of a repository.
type Release struct {
	Subject
	Previous  provenance.Digest `json:"previous,omitzero"` // current image before
	Attempt   int               `json:"attempt"`
	Policy    policy.Version    `json:"policy"`
	Approvers []policy.Person   `json:"approvers"`
	Rollback  bool              `json:"rollback,omitempty"`
	Act
}

// Current is a stage's current image in a repository.
type Current struct {
	Digest provenance.Digest `json:"digest"`
}

// Refusal is a release that was asked for and refused.
type Refusal struct {
	Verdict policy.Verdict `json:"verdict"`
	Act
}

// Hold is one organisation's quarantine of an image.
type Hold struct {
	Digest provenance.Digest `json:"digest"`
	MSP    string            `json:"msp"`
	Reason string            `json:"reason"`
	Lifted bool              `json:"lifted,omitempty"`
	Act
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
	Voters  []policy.Person `json:"voters"`
	At      time.Time       `json:"at"`
}

// Vote is an organisation's agreement to a policy text.
type Vote struct {
	Name string          `json:"name"`
	Hash string          `json:"hash"`
	Base int             `json:"base"` // active version when it was cast; a later one makes the vote stale
	Text json.RawMessage `json:"text"`
	Act
}

// Encode writes a record; equal records have equal bytes on every peer.
func Encode(record any) ([]byte, error) {
	b, err := json.Marshal(record)
	if err != nil {
		return nil, provenance.Wrap(provenance.Internal, err, "encode %T", record)
	}
	return b, nil
}

// Decode reads a record. Bytes that are no such record are an Internal error:
// only the contract writes them.
func Decode(b []byte, record any) error {
	if err := json.Unmarshal(b, record); err != nil {
		return provenance.Wrap(provenance.Internal, err, "decode %T", record)
	}
	return nil
}
