package api

import (
	"context"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// Index is the read model the server answers from.
type Index interface {
	// View calls read with the index as it stands at one height.
	View(ctx context.Context, read func(height uint64, r Reads) error) error
}

// Reads is the index at one height. Lists return the token of the next page,
// "" on the last; a bad page or filter is an Invalid error.
type Reads interface {
	state.Scanner
	History(HistoryFilter, Page) ([]Record, string, error)
	Promotions(PromotionFilter, Page) ([]state.Promotion, string, error)
	Proposals(ProposalFilter, Page) ([]state.Proposal, string, error)
	// Releases lists releases after the first skip, the newest first.
	Releases(skip, limit int) ([]state.Release, error)
	// ScanAfter is Scan of the keys that come after one.
	ScanAfter(after string, limit int, objectType string, attributes ...string) ([]state.Entry, error)
	// Askers lists the organisations that wait for something of a kind.
	Askers(kind string) ([]string, error)
	// Waits lists what one of them waits for and what has not ended, the newest
	// first, after one that was listed before.
	Waits(kind, msp string, after *Waiting, now time.Time, limit int) ([]Waiting, error)
	// Referrers lists the images of a repository that name subject as theirs.
	Referrers(subject provenance.Digest, host provenance.Host, repo provenance.Repository, limit int) ([]provenance.Digest, error)
	// Pulls counts pulls from one repository, or from all when host is empty.
	Pulls(d provenance.Digest, host provenance.Host, repo provenance.Repository) (count int64, last time.Time, err error)
	// PullList lists pulls of an image, the last recorded first.
	PullList(PullFilter, Page) ([]Pull, string, error)
	// Tags lists the tags of a repository that name the image now.
	Tags(d provenance.Digest, host provenance.Host, repo provenance.Repository) ([]provenance.Tag, error)
}

// Page asks for one page of a list.
type Page struct {
	Token       string
	Size        int // 0: the default
	NewestFirst bool
}

// HistoryFilter says whose history is asked for: an image, a tag or a repository.
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
	// Since leaves out what was asked for before, Before what was not.
	Since, Before time.Time
}

// ProposalFilter narrows a list of proposals; empty fields match all.
type ProposalFilter struct {
	Status state.ProposalStatus
	Closed bool // those that are not open
}

// Waiting is one thing that an organisation asked of the others and has not
// got: an open promotion or proposal, a waiver, or a break-glass release
// without a review.
type Waiting struct {
	Kind  string // type of the key
	Key   string // of the record
	ID    string // of a waiver, in its record
	MSP   string // who asked
	Since time.Time
	Until time.Time // when it ends by itself; zero: never
}

// PullFilter says which pulls of an image are asked for: those from one
// repository, or (host empty) from all, not before Since.
type PullFilter struct {
	Digest     provenance.Digest
	Host       provenance.Host
	Repository provenance.Repository
	Since      time.Time
}

// Clients knows who made the pulls whose clients this gateway's organisation
// keeps to itself.
type Clients interface {
	// Reveal returns the client of each pull, or why it cannot: NotFound where
	// nothing is kept of it, not yet or not any more.
	Reveal(ctx context.Context, pulls []Pull) ([]provenance.Client, []error)
}

// Pull is one pull as it stands on the ledger. Address and UserAgent are there
// only where the registry's owner put them on the channel. With a Blind, it
// keeps them and the actor to itself.
type Pull struct {
	Block      uint64
	Tx, Seq    int
	TxID       string
	Time       time.Time
	By         policy.Person // the gateway that recorded it
	Host       provenance.Host
	Repository provenance.Repository
	Tag        provenance.Tag
	Digest     provenance.Digest
	Source     string
	Actor      string
	Address    string
	UserAgent  string
	OccurredAt time.Time
	ID         provenance.EventID
	Blind      provenance.Digest
	// The segment, and which of its blinded pulls it is.
	Lane   string
	Number uint64
	Nth    int
}

// Record is an event or an act as it stands on the ledger.
type Record struct {
	Block      uint64
	Tx, Seq    int
	TxID       string
	Time       time.Time
	By         policy.Person
	Kind       string
	Host       provenance.Host
	Repository provenance.Repository
	Tag        provenance.Tag
	Digest     provenance.Digest
	Previous   provenance.Digest
	Stage      string
	MediaType  string
	Actor      string
	OccurredAt time.Time
	Detail     string
	JSON       []byte
}

// Queue is this gateway's outbox, for its operators.
type Queue interface {
	Stats(ctx context.Context) (QueueStats, error)
	// Dead lists dead letters with ids greater than after, in order.
	Dead(ctx context.Context, after int64, limit int) ([]DeadLetter, error)
	// Retry puts dead letters back, all of them when no id is given.
	Retry(ctx context.Context, ids ...int64) (int, error)
}

// QueueStats counts the events of the queue.
type QueueStats struct {
	Pending, Sealed, Dead, Done int64
	OldestPending               time.Time // zero when nothing is pending
}

// DeadLetter is an event the gateway gave up on.
type DeadLetter struct {
	ID         int64
	Host       provenance.Host
	Connector  string
	Event      provenance.Event
	Attempts   int
	Reason     string
	ReceivedAt time.Time
}

// Freshness is how well the gateway follows its peer.
type Freshness struct {
	// Stale: the block stream is silent or behind, so answers may be old.
	Stale bool
	// Ready: the index has caught up with the peer and the stream is alive.
	Ready bool
	// PeerHeight is what the peer said when it was last asked: the index may have passed it since.
	PeerHeight uint64
	// LastBlock is when the stream last spoke; zero before that.
	LastBlock time.Time
	// Waiting says why recorded events do not reach the ledger; "" when they do.
	Waiting string
}

// Organisation is a member of the channel; the certificates and revocation
// lists are PEM.
type Organisation struct {
	MSPID             string
	RootCerts         [][]byte
	IntermediateCerts [][]byte
	RevocationLists   [][]byte
}
