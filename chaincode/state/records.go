package state

import (
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"encoding/hex"
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
	// RoleRobot permits nothing: it marks an identity as no person, whose
	// approvals count only where a rule says so.
	RoleRobot Role = "robot"
)

// Roles lists them all.
func Roles() []Role {
	return []Role{RoleAdmin, RolePublisher, RoleScanner, RoleReleaseManager, RoleAuditor, RoleGateway, RoleRobot}
}

// Act is who did something, and when by the transaction's own timestamp
// (claimed by the client, bounded by the peers' time window).
type Act struct {
	By policy.Person `json:"by"`
	At time.Time     `json:"at"`
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
	// Layout is how the records of its pushes are kept.
	Layout int `json:"layout,omitempty"`
	Act
}

// Layout is how this version keeps the records of pushes: in leaves that a
// directory finds. A registry of layout 0 had each under a key of its own, where
// no directory finds it.
const Layout = 1

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
	// Tags it was pushed under, newest last, at most MaxPlaceTags; a tag may name another image since.
	Tags []provenance.Tag `json:"tags,omitempty"`
}

// Bounds of the lists a verdict reads.
const (
	MaxPlaceTags = 16
	MaxParents   = 32
	MaxEvidence  = 256
	MaxWaivers   = 64
	MaxContext   = 64
	MaxLabels    = 64
)

// Parents are the indexes that hold a platform image, newest last, at most MaxParents.
type Parents struct {
	Indexes []provenance.Digest `json:"indexes"`
}

// TrustKey is trust material an organisation registered: what it answers for.
type TrustKey struct {
	MSP         string      `json:"msp"`
	Name        string      `json:"name"`
	Kind        string      `json:"kind"` // evidence.KeyKind
	PEM         string      `json:"pem"`
	Fingerprint string      `json:"fingerprint"`
	NotBefore   time.Time   `json:"notBefore,omitzero"`
	NotAfter    time.Time   `json:"notAfter,omitzero"`
	Withdrawn   *Withdrawal `json:"withdrawn,omitempty"`
	Act
}

// Withdrawal ends a key: nothing it signs counts from then on, and nothing
// recorded since CompromisedSince counts any more.
type Withdrawal struct {
	Reason           string    `json:"reason"`
	CompromisedSince time.Time `json:"compromisedSince,omitzero"`
	Act
}

// Schema is the JSON schema of the facts of evidence type custom/<Name>.
type Schema struct {
	Name   string          `json:"name"`
	MSP    string          `json:"msp"`
	Schema json.RawMessage `json:"schema"`
	Act
}

// Evidence is a verified statement about an image. The whole document is at Location.
type Evidence struct {
	Digest        provenance.Digest `json:"digest"`
	Type          string            `json:"type"`
	ID            string            `json:"id"` // hex sha256 of the envelope; evidence.ID
	Format        string            `json:"format"`
	Signer        policy.Signer     `json:"signer"`
	Facts         json.RawMessage   `json:"facts"`
	Document      string            `json:"document"` // hex sha256 of the whole document
	PredicateType string            `json:"predicateType,omitempty"`
	MadeAt        time.Time         `json:"madeAt,omitzero"`    // the signer's claim
	Location      string            `json:"location,omitempty"` // host/repository@digest of the referrer that carries it
	Act
}

// Since is when a piece of evidence was made, at the latest when it was
// recorded: a claim can make it older, never younger.
func (e Evidence) Since() time.Time {
	if !e.MadeAt.IsZero() && e.MadeAt.Before(e.At) {
		return e.MadeAt
	}
	return e.At
}

// WithdrawnBy tells whether the withdrawal of the key that signed it, nil when
// there is none, reaches back to it. What was recorded before the key was
// compromised stays; a claimed time is no proof of that.
func (e Evidence) WithdrawnBy(w *Withdrawal) bool {
	return w != nil && !w.CompromisedSince.IsZero() && !e.At.Before(w.CompromisedSince)
}

// EvidenceSet lists the evidence that counts for an image: of each signer and
// type the newest by Evidence.Since. At most MaxEvidence entries.
type EvidenceSet struct {
	Entries []EvidenceEntry `json:"entries"`
}

// EvidenceEntry names one piece of a set.
type EvidenceEntry struct {
	Type   string    `json:"type"`
	ID     string    `json:"id"`
	Signer string    `json:"signer"` // SignerID
	Since  time.Time `json:"since"`
}

// SignerID names a signer within a set: one key, one certificate identity or
// one person. It is the hex SHA-256 over its parts, each after its length, so
// that no identity can be written to look like another's.
func SignerID(s policy.Signer) string {
	var text []byte
	for _, part := range []string{string(s.Kind), s.MSP, s.Key, s.Issuer, s.Identity, s.Name} {
		text = append(binary.AppendUvarint(text, uint64(len(part))), part...)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Witness is one organisation's own sight of an image at its registry.
type Witness struct {
	MSP string `json:"msp"`
	Act
}

// Waivers are the waivers of a repository that have not ended.
type Waivers struct {
	Waivers []Waiver `json:"waivers"`
}

// Waiver is an exception to one rule of one stage, for one image or, with a
// zero Digest, for the repository.
type Waiver struct {
	ID        string            `json:"id"`
	Stage     string            `json:"stage"`
	Rule      string            `json:"rule"`
	Digest    provenance.Digest `json:"digest,omitzero"`
	Reason    string            `json:"reason"`
	Until     time.Time         `json:"until"`
	Approvers []policy.Person   `json:"approvers"`
	Revoked   bool              `json:"revoked,omitempty"`
	// Revocation says who revoked it and why.
	Revocation *Revocation `json:"revocation,omitempty"`
	Act
}

// Revocation ends a waiver before its time.
type Revocation struct {
	Reason string `json:"reason"`
	Act
}

// Labels are what a registry's owner says about a repository.
type Labels struct {
	Labels map[string]string `json:"labels"`
	Act
}

// Context is what an organisation publishes for conditions.
type Context struct {
	Values map[string]policy.Value `json:"values"`
	Act
}

// Gate stands before a release. Every release of the subject writes it, and
// its key-level endorsement policy asks for the peers of Orgs.
type Gate struct {
	Subject
	Orgs    []string       `json:"orgs"` // the key-level policy, sorted
	Policy  policy.Version `json:"policy"`
	Attempt int            `json:"attempt"`
	Opened  bool           `json:"opened,omitempty"` // a release went through
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
	Attempt   int  `json:"attempt"`
	Withdrawn bool `json:"withdrawn,omitempty"` // by the approver or an admin of the same organisation, before the release
	// WithdrawnFor and WithdrawnBy say why, and by whom and when.
	WithdrawnFor string `json:"withdrawnFor,omitempty"`
	WithdrawnBy  *Act   `json:"withdrawnBy,omitempty"`
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
	// EvidenceSet is the hash of the evidence it rests on.
	EvidenceSet string       `json:"evidenceSet,omitempty"`
	Debt        *policy.Debt `json:"debt,omitempty"`   // a break-glass release
	Review      string       `json:"review,omitempty"` // what the reviewer of the debt wrote
	Auto        bool         `json:"auto,omitempty"`   // submitted by a gateway
	Act
}

// Current is a stage's current image in a repository.
type Current struct {
	Digest provenance.Digest `json:"digest"`
	// Pinned: a rollback put it there, and no gateway releases here by itself
	// until a person releases or resumes.
	Pinned bool `json:"pinned,omitempty"`
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
	Since  time.Time         `json:"since,omitzero"` // when it was set, once it is lifted
	Act
}

// Encode writes a record as it stands on the ledger; equal records have equal
// bytes on every peer.
func Encode(record any) ([]byte, error) {
	var b []byte
	var err error
	if m, ok := record.(encoding.BinaryMarshaler); ok {
		b, err = m.MarshalBinary()
	} else {
		b, err = json.Marshal(record)
	}
	if err != nil {
		return nil, provenance.Wrap(provenance.Internal, err, "encode %T", record)
	}
	return b, nil
}

// Answer writes a record, or anything built of records, as JSON: what a
// transaction returns.
func Answer(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, provenance.Wrap(provenance.Internal, err, "encode %T", v)
	}
	return b, nil
}

// Decode reads a record. Bytes that are no such record are an Internal error:
// only the contract writes them.
func Decode(b []byte, record any) error {
	var err error
	if m, ok := record.(encoding.BinaryUnmarshaler); ok {
		err = m.UnmarshalBinary(b)
	} else {
		err = json.Unmarshal(b, record)
	}
	if err != nil {
		return provenance.Wrap(provenance.Internal, err, "decode %T", record)
	}
	return nil
}
