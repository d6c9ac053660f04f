package record

import (
	"context"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/gateway/registry"
)

// Queue is the queue as the recorder uses it.
type Queue interface {
	lanes
	leases
	returns
	setAside
	sealing
	sealed
}

// lanes names and numbers.
type lanes interface {
	Lanes() int
	LaneName(lane int) string
	NextSeq(ctx context.Context, lane int) (uint64, error)
}

// leases hands items out, and takes them back untouched.
type leases interface {
	Arrived(lane int) <-chan struct{}
	Lease(ctx context.Context, lane, n int, d time.Duration) ([]queue.Item, error)
	Return(items []queue.Item)
}

// returns takes items back that have to wait: with their repository, with what
// shares their tag or digest only, or without having been tried.
type returns interface {
	Release(ctx context.Context, items []queue.Item, at time.Time, reason string) error
	Defer(ctx context.Context, items []queue.Item, at time.Time, why []string) error
	Postpone(items []queue.Item, at time.Time)
}

// setAside takes what is given up on, and what is no fact.
type setAside interface {
	Discard(ctx context.Context, items []queue.Item) (int, error)
	DeadLetterAll(ctx context.Context, items []queue.Item, why []string) (int, error)
	Supersede(ctx context.Context, lane int, seq uint64, items []queue.Item, reason string) error
}

// sealing keeps the open segment of each lane.
type sealing interface {
	Seal(ctx context.Context, s queue.Segment, items []queue.Item) error
	Reseal(ctx context.Context, s queue.Segment) error
	Unseal(ctx context.Context, s queue.Segment) error
}

// sealed gives the open segment back, and ends it.
type sealed interface {
	Sealed(ctx context.Context, lane int) (*queue.Segment, error)
	Recorded(ctx context.Context, s queue.Segment, block uint64) error
}

// Ledger is the ledger as the recorder uses it.
type Ledger interface {
	Endorse(ctx context.Context, fn string, args []string, transient map[string][]byte) (ledger.Endorsed, error)
	SubmitEndorsed(ctx context.Context, e ledger.Endorsed) error
	CommitStatus(ctx context.Context, txID string) (ledger.Commit, error)
}

// Registry reads one registry back.
type Registry interface {
	Manifest(ctx context.Context, repo provenance.Repository, d provenance.Digest) (registry.Facts, error)
	ManifestBytes(ctx context.Context, repo provenance.Repository, d provenance.Digest) (registry.Facts, []byte, error)
	Resolve(ctx context.Context, repo provenance.Repository, tag provenance.Tag) (provenance.Digest, error)
}
