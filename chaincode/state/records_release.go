package state

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// PromotionLife is how long a promotion stays open.
const PromotionLife = 30 * 24 * time.Hour

// Gate stands before a release. Every release of the subject writes it, and
// its key-level endorsement policy asks for the peers of Orgs.
type Gate struct {
	Subject
	Orgs    []string       `json:"orgs"` // the key-level policy, sorted
	Policy  policy.Version `json:"policy"`
	Attempt int            `json:"attempt"`
	Opened  bool           `json:"opened,omitempty"` // a release went through
}

// PromotionStatus is where a promotion stands.
type PromotionStatus string

// The statuses of a promotion.
const (
	PromotionOpen     PromotionStatus = "open"
	PromotionReleased PromotionStatus = "released"
	PromotionRejected PromotionStatus = "rejected"
	// PromotionWithdrawn: whoever asked for it took it back.
	PromotionWithdrawn PromotionStatus = "withdrawn"
)

// Promotion is a request to release one image of one repository to one stage.
type Promotion struct {
	Subject
	Attempt   int             `json:"attempt"` // counts requests; old approvals stay with theirs
	Requester policy.Person   `json:"requester"`
	At        time.Time       `json:"at"`
	Status    PromotionStatus `json:"status"`
	// Also are others who asked for it while it was open, one of each organisation:
	// whoever asked first does not end it for them.
	Also []policy.Person `json:"also,omitempty"`
	// Withdrawal says who took it back and why.
	Withdrawal *Revocation `json:"withdrawal,omitempty"`
}

// Asked are those who ask for it, the requester first.
func (p Promotion) Asked() []policy.Person { return append([]policy.Person{p.Requester}, p.Also...) }

// AskedBy tells whether an organisation asks for it.
func (p Promotion) AskedBy(msp string) bool {
	return slices.ContainsFunc(p.Asked(), func(who policy.Person) bool { return who.MSP == msp })
}

// Expires is when an open promotion ends by itself.
func (p Promotion) Expires() time.Time { return p.At.Add(PromotionLife) }

// OpenAt tells whether it is open at a time.
func (p Promotion) OpenAt(now time.Time) bool {
	return p.Status == PromotionOpen && now.Before(p.Expires())
}

// Requests are the promotions that one organisation asked for and that may be
// open still; what has ended is dropped when there is no more room.
type Requests struct {
	Open []Subject `json:"open"`
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
	Approvers []Approver        `json:"approvers"`
	Rollback  bool              `json:"rollback,omitempty"`
	// First is, of a rollback, when the image was released by a decision: what has
	// to stay true has been failing since then, however often somebody rolls back.
	First time.Time `json:"first,omitzero"`
	// EvidenceSet is the hash of the evidence it rests on.
	EvidenceSet string       `json:"evidenceSet,omitempty"`
	Debt        *policy.Debt `json:"debt,omitempty"`   // a break-glass release
	Review      string       `json:"review,omitempty"` // what the reviewer of the debt wrote
	Auto        bool         `json:"auto,omitempty"`   // submitted by a gateway
	// Tick and Clock are the ledger's clock when it was endorsed: Clock.Seq and
	// Clock.At. It was committed before the next tick, or it would be invalid.
	Tick  uint64    `json:"tick,omitempty"`
	Clock time.Time `json:"clock,omitzero"`
	Act
}

// Begun is when the image was released by a decision; a rollback is none.
func (r Release) Begun() time.Time {
	if r.First.IsZero() {
		return r.At
	}
	return r.First
}

// Approver is one on whose approval a release or a waiver rests.
type Approver struct {
	policy.Person
	At time.Time `json:"at,omitzero"` // when the approval was given
}

// Since is when it was committed at the latest: what its act claims, or the end
// of the tick that it was endorsed in. gap is what stands under GapKey(Tick), nil
// for nothing: then the clock stood still after that tick.
func (r Release) Since(gap *Gap) time.Time {
	at := r.At
	if end := r.Clock.Add(policy.ClockTick); !r.Clock.IsZero() && end.After(at) {
		at = end
	}
	if gap != nil && gap.At.After(at) {
		at = gap.At
	}
	return at
}

// Hash is the hex SHA-256 over the release as it was made, without a review:
// what a reviewer of a break-glass release agrees to.
func (r Release) Hash() string {
	r.Review = ""
	if r.Debt != nil {
		debt := *r.Debt
		debt.Reviewed, debt.ReviewAt = nil, time.Time{}
		r.Debt = &debt
	}
	b, _ := json.Marshal(r) // strings, times and numbers only: cannot fail
	return hashOf("release 1", string(b))
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
	// Proposal is the vote that lifted it, where its organisation did not.
	Proposal string `json:"proposal,omitempty"`
	Act
}
