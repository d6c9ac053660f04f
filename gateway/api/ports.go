package api

import (
	"context"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// Index is the read model the server answers from.
type Index interface {
	// View calls read with the index as it stands at one height.
	View(ctx context.Context, read func(height uint64, r Reads) error) error
	// ViewAt is View of an earlier moment: Unavailable where the index does not reach it.
	ViewAt(ctx context.Context, when readmodel.When, now time.Time, read func(at readmodel.AsOf, r Reads) error) error
}

// Reads is the index at one height. Lists return the token of the next page,
// "" on the last; a bad page or filter is an Invalid error.
type Reads interface {
	recordReads
	listReads
	waitReads
	imageReads
	findReads
	pullReads
}

// recordReads reads the records as they stand.
type recordReads interface {
	state.Scanner
	// ScanAfter is Scan of the keys that come after one.
	ScanAfter(after string, limit int, objectType string, attributes ...string) ([]state.Entry, error)
	// Releases lists releases after the first skip, the newest first.
	Releases(skip, limit int) ([]state.Release, error)
}

type listReads interface {
	History(readmodel.HistoryFilter, readmodel.Page) ([]readmodel.Record, string, error)
	Promotions(readmodel.PromotionFilter, readmodel.Page) ([]state.Promotion, string, error)
	Proposals(readmodel.ProposalFilter, readmodel.Page) ([]state.Proposal, string, error)
}

type waitReads interface {
	// Askers lists the organisations that wait for something of a kind.
	Askers(kind string) ([]string, error)
	// Waits lists what one of them waits for and what has not ended, the newest
	// first, after one that was listed before.
	Waits(kind, msp string, after *readmodel.Waiting, now time.Time, limit int) ([]readmodel.Waiting, error)
}

type imageReads interface {
	// Referrers lists the images of a repository that name subject as theirs.
	Referrers(subject provenance.Digest, host provenance.Host, repo provenance.Repository, limit int) ([]provenance.Digest, error)
	// Tags lists the tags of a repository that name the image now.
	Tags(d provenance.Digest, host provenance.Host, repo provenance.Repository) ([]provenance.Tag, error)
}

type findReads interface {
	// Search lists the records that a filter takes: a page may be short and not the last.
	Search(readmodel.SearchFilter, readmodel.Page) ([]readmodel.Record, string, error)
	// FindImages lists images by how their digest begins.
	FindImages(digits string, host provenance.Host, repo provenance.Repository, limit int) ([]provenance.Reference, error)
	// Events lists records after a token, or the last so many, and returns the token that
	// comes after them.
	Events(after string, last, limit int) ([]readmodel.Record, string, error)
}

type pullReads interface {
	// Pulls counts pulls from one repository, or from all when host is empty.
	Pulls(d provenance.Digest, host provenance.Host, repo provenance.Repository) (count int64, last time.Time, err error)
	// PullList lists pulls of an image, the last recorded first.
	PullList(readmodel.PullFilter, readmodel.Page) ([]readmodel.Pull, string, error)
}

// Proofs makes files that are checked without a gateway.
type Proofs interface {
	Receipt(ctx context.Context, r readmodel.ReceiptRequest) (readmodel.Proof, error)
	Transaction(ctx context.Context, r readmodel.TransactionRequest) (readmodel.Proof, error)
}

// Clients knows who made the pulls whose clients this gateway's organisation
// keeps to itself.
type Clients interface {
	// Lookup returns the client of each pull, or why it cannot: NotFound where
	// nothing is kept of it, not yet or not any more.
	Lookup(ctx context.Context, pulls []readmodel.Pull) ([]provenance.Client, []error)
}

// Unusable is what this gateway's senders sent and nothing could be made of.
type Unusable interface {
	// Unusable lists those with ids greater than after, in order.
	Unusable(ctx context.Context, after int64, limit int) ([]delivery.Unusable, error)
	UnusableCounts(ctx context.Context) (map[string]delivery.UnusableCount, error)
	// RemoveUnusable removes some, all of them when no id is given.
	RemoveUnusable(ctx context.Context, ids ...int64) (int, error)
}

// Queue is this gateway's outbox, for its operators.
type Queue interface {
	Stats(ctx context.Context) (delivery.Stats, error)
	// Dead lists dead letters with ids greater than after, in order.
	Dead(ctx context.Context, after int64, limit int) ([]delivery.DeadLetter, error)
	// Retry puts dead letters back, all of them when no id is given.
	Retry(ctx context.Context, ids ...int64) (int, error)
}
