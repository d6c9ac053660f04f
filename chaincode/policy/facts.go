package policy

import (
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Outcome is how one rule stands.
type Outcome string

// The outcomes.
const (
	Satisfied Outcome = "satisfied"
	Unmet     Outcome = "unmet"    // can still be met
	Violated  Outcome = "violated" // refused by what is on the ledger; only newer facts change it
	Waived    Outcome = "waived"   // a waiver in force, or a break-glass release
)

// Answer is the answer to "may this image run in this stage?".
type Answer string

// The answers.
const (
	Allowed     Answer = "allowed"
	Pending     Answer = "pending"
	Denied      Answer = "denied"
	Quarantined Answer = "quarantined"
	Unknown     Answer = "unknown"
)

// Reason is one rule's part of a verdict.
type Reason struct {
	Rule    string  `json:"rule"`
	Outcome Outcome `json:"outcome"`
	Detail  string  `json:"detail"`
	// Fix says who can do what about it; empty when nothing is needed.
	Fix string `json:"fix,omitempty"`
}

// Version names a version of a policy.
type Version struct {
	Name    string `json:"name"`
	Version int    `json:"version"`
	// Hash is Policy.Hash of the text: what is agreed on is named in full.
	Hash string `json:"hash,omitempty"`
}

// Verdict is an answer with its reasons, one per rule.
type Verdict struct {
	Image   string            `json:"image"`
	Digest  provenance.Digest `json:"digest"`
	Stage   string            `json:"stage"`
	Verdict Answer            `json:"verdict"`
	// Height is the block height the verdict is true at; the contract leaves
	// it 0, the gateway fills it in.
	Height  uint64   `json:"height"`
	Policy  *Version `json:"policy,omitempty"`
	Reasons []Reason `json:"reasons"`
	// Attempt counts the promotions to the stage: of the open or last one; 0 without.
	Attempt int `json:"attempt,omitempty"`
	// Requester asked for the promotion that is open; nil where none is.
	Requester *Person `json:"requester,omitempty"`
	// EvidenceSet is the hash of the evidence the verdict rests on
	// (EvidenceSet); an approver signs it.
	EvidenceSet string `json:"evidenceSet,omitempty"`
	// Warning and Until: allowed for now, denied from Until (a continuous rule in its grace).
	Warning string     `json:"warning,omitempty"`
	Until   *time.Time `json:"until,omitempty"`
	// Children are the verdicts of an index's platform images; filled in by state.Ask.
	Children []ChildVerdict `json:"children,omitempty"`
	// Releasable: every rule is satisfied or waived, so a release may be written now.
	Releasable bool `json:"-"`
	// Overdue: a break-glass release was not reviewed in time; whoever writes next quarantines it.
	Overdue bool `json:"-"`
	// Closed: the promotion can no longer be released and must be requested again.
	Closed bool `json:"-"`
}

// ChildVerdict is the verdict of one platform image of an index.
type ChildVerdict struct {
	Digest  provenance.Digest `json:"digest"`
	Verdict Answer            `json:"verdict"`
}

// Person is a member's person or robot: counted as (MSP id, enrolment id),
// never by certificate, so that a renewed certificate is the same person.
type Person struct {
	MSP  string `json:"msp"`
	Name string `json:"name"`
}

// String returns "name@MSP".
func (p Person) String() string { return p.Name + "@" + p.MSP }

// Approval is one person's word on one promotion. Everything below At is what
// the approver saw and signed with the transaction.
type Approval struct {
	By     Person    `json:"by"`
	Reject bool      `json:"reject,omitempty"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`

	Roles  []string `json:"roles,omitempty"` // held when it was given
	Robot  bool     `json:"robot,omitempty"`
	Policy Version  `json:"policy,omitzero"`
	// EvidenceSet is the hash of the evidence set that was approved.
	EvidenceSet string `json:"evidenceSet,omitempty"`
	// Outcomes are the outcomes of the evidence, condition and witness rules
	// when it was given (Snapshot); the approval is stale once one is worse.
	Outcomes map[string]Outcome `json:"outcomes,omitempty"`
	// TakenBack says who of the approver's organisation took the word back and
	// when, as that of a stolen identity; empty where nobody did.
	TakenBack string `json:"takenBack,omitempty"`
}

// Hold is one organisation's quarantine of an image.
type Hold struct {
	MSP    string    `json:"msp"`
	By     Person    `json:"by"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// SignerKind is how a piece of evidence is bound to its signer.
type SignerKind string

// The kinds of signer.
const (
	SignedByKey         SignerKind = "key"         // a key that MSP registered
	SignedByCertificate SignerKind = "certificate" // a certificate below a root that MSP registered
	SignedByPerson      SignerKind = "person"      // vouched for by the submitting transaction's own signature
)

// Signer is who signed a piece of evidence; MSP answers for it, and nobody where a
// root that the members share (Key) says who it is.
type Signer struct {
	Kind     SignerKind `json:"kind"`
	MSP      string     `json:"msp"`
	Key      string     `json:"key,omitempty"` // name of the registered key or root
	Identity string     `json:"identity,omitempty"`
	Issuer   string     `json:"issuer,omitempty"`
	Name     string     `json:"name,omitempty"`  // the person
	Roles    []string   `json:"roles,omitempty"` // the person's, when it was submitted
}

// Evidence is one verified piece of evidence as rules see it.
type Evidence struct {
	ID     string // hex sha256 of the envelope
	Type   string
	Signer Signer
	At     time.Time         // when it was recorded
	Facts  map[string]any    // int64, string, bool, []any, map[string]any; see package evidence
	Claims map[string]string // what the signer's certificate says besides
	On     provenance.Digest // the image it is about: this one, or an index that holds it
	// Withdrawn: its key was withdrawn, or its organisation took it back, and it
	// no longer counts, since when.
	Withdrawn time.Time
	Why       string // why it was withdrawn
	// Superseded: a newer piece of the same signer, type and subject is here. It
	// decides nothing now, but tells since when a continuous rule fails.
	Superseded bool
	// Cut: older pieces of the same signer, type and subject were dropped. What
	// that signer said before At is not known, which never counts as a pass.
	Cut bool
}

// Waiver is an approved exception to one rule of one stage.
type Waiver struct {
	ID        string
	Stage     string
	Rule      string // as reported: evidence/scan, condition/no-incident, soak, ...
	Reason    string
	Until     time.Time
	Approvers []Person
	Revoked   bool
}

// Witness is one organisation's gateway that saw the image at the registry.
type Witness struct {
	MSP string
	At  time.Time
}

// Debt is what a break-glass release owes: a review by Due.
type Debt struct {
	By       Person    `json:"by"`
	Reason   string    `json:"reason"`
	Without  []string  `json:"without"` // the rules it went without
	At       time.Time `json:"at"`
	Due      time.Time `json:"due"`
	Reviewed *Person   `json:"reviewed,omitempty"`
	ReviewAt time.Time `json:"reviewAt,omitzero"`
}

// ReleaseFact is a release of the image to a stage.
type ReleaseFact struct {
	Stage string
	At    time.Time
	// Unreviewed: by break-glass, and no other organisation has reviewed it. It
	// does not count as the release that a later stage asks for.
	Unreviewed bool
}

// Value is a context variable's value: a bool, an int64 or a string.
type Value struct {
	Value any       `json:"value"`
	At    time.Time `json:"at"` // since when it is so
	// Past is what it was before, newest first, at most MaxPast: by it a
	// continuous condition tells since when it fails. Before the first value
	// there was none.
	Past []Value `json:"past,omitempty"`
}

// Facts is everything a verdict may depend on.
type Facts struct {
	Host       provenance.Host
	Repository provenance.Repository
	Digest     provenance.Digest
	Stage      string

	Recorded bool // the image was pushed to this repository
	// Proven: the contract derived the facts below from the manifest's bytes.
	// False: the digest and its tags alone are recorded, and nothing is known.
	Proven bool
	// Tangled: what the index lists, and what that lists in turn, is more or
	// deeper than is looked at, or holds an index of which no peer has seen the
	// bytes, so that nobody knows what a hold is on.
	Tangled      bool
	PushedBy     string    // MSP id of the organisation that recorded the push
	PushedAt     time.Time // the registry's clock
	MediaType    string
	ArtifactType string
	Size         int64
	Children     []provenance.Digest
	Tags         []string // of this repository that name this image now, sorted
	TagsCut      bool     // more tags name it than Tags holds
	Labels       map[string]string
	Context      map[string]map[string]Value // by MSP id, by name
	Members      []string
	Majority     int // votes that decide; 0 means more than half of Members
	Holds        []Hold
	LastHold     time.Time // when the image was last quarantined, lifted or not
	// Clock is the ledger's clock: its last tick; zero where it has not begun.
	Clock time.Time

	Evidence  []Evidence // on this image, then inherited from indexes that hold it
	Waivers   []Waiver
	Witnesses []Witness // without the recording organisation

	Promoted  bool // a promotion to Stage is open
	Requester Person
	Approvals []Approval // of the open or last promotion
	Attempt   int        // of the open or last promotion, from 1; 0 without
	// Lapsed says why the last release or promotion counts no longer (it was
	// taken back, it expired); empty where nothing lapsed.
	Lapsed string

	Released     bool      // this image has a release to Stage
	ReleasedAt   time.Time // by a decision: a rollback is none
	Debt         *Debt
	Current      bool          // and it is the stage's current one
	ReleasedTo   []ReleaseFact // all stages this image has a release to
	ReleasedWith Version       // the policy version of the release to Stage
	ViaIndex     provenance.Digest
}
