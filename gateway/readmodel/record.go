package readmodel

import (
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// Record is an event or an act as it stands on the ledger.
type Record struct {
	Block      uint64
	Tx, Seq    int // in the block, and in the transaction
	TxID       string
	Time       time.Time     // of the transaction
	By         policy.Person // who signed it
	Kind       string        // of an act, or an event's action
	Host       provenance.Host
	Repository provenance.Repository
	Tag        provenance.Tag
	Digest     provenance.Digest
	Previous   provenance.Digest // what the tag, or the stage, named before
	Stage      string
	MediaType  string
	Actor      string    // of an event: the registry's word
	OccurredAt time.Time // of an event: the registry's clock
	Detail     string    // one line for people
	JSON       []byte    // of an act: the ledger's record
}

// HistoryFilter says whose history is asked for; the fields that are set must
// all match. Acts on an image in every repository (quarantine) belong to the
// history of its digest, whichever repository is named with it.
type HistoryFilter struct {
	Digest     provenance.Digest
	Host       provenance.Host
	Repository provenance.Repository
	Tag        provenance.Tag
}

// PromotionFilter narrows a list of promotions; empty fields match all.
type PromotionFilter struct {
	Stage      string
	Host       provenance.Host
	Repository provenance.Repository
	Digest     provenance.Digest
	Status     state.PromotionStatus
	// Since leaves out what was asked for before, Before what was not; both may
	// move on between two pages.
	Since, Before time.Time
}

// ProposalFilter narrows a list of proposals; empty fields match all.
type ProposalFilter struct {
	Status state.ProposalStatus
	Closed bool // those that are not open
}

// Waiting is one thing that an organisation asked of the others and has not
// got: an open promotion or proposal, a waiver that is not revoked, or a
// break-glass release without a review.
type Waiting struct {
	Kind  string // type of the key: state.TypePromotion, TypeProposal, TypeWaivers, TypeReleased
	Key   string // of the record
	ID    string // of a waiver, in its record
	MSP   string // who asked
	Since time.Time
	Until time.Time // when it ends by itself; zero: never
}
