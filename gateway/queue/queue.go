package queue

import (
	"context"
	"database/sql"
	"fmt"
	"hash/fnv"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Options say how a queue is opened.
type Options struct {
	// Lanes is the number of independent orders of recording, 1 to 64 (default
	// 4). Repositories are spread over lanes; inside a lane everything happens
	// one after the other. It may change between runs while no segment is open.
	Lanes int
	// MaxPending bounds the items that are not yet recorded (default 1,000,000).
	MaxPending int
	// MinFreeBytes is the free disk space under which nothing is accepted
	// (default 64 MiB), so that the disk never fills in the middle of a commit.
	MinFreeBytes int64
	// Log receives what an operator should know; nil discards it.
	Log *slog.Logger
}

// Delivery is one event as intake hands it over.
type Delivery struct {
	Host       provenance.Host
	Connector  string
	Event      provenance.Event
	BodyHash   [32]byte // of the bytes the event was read from
	ReceivedAt time.Time
}

// Item is a delivery on its way to the ledger.
type Item struct {
	ID       int64
	Lane     int
	Attempts int // how often it was released after a failure
	Delivery

	repo int64
}

// Queue is an open queue. Its methods may be called from many goroutines.
type Queue struct {
	options Options
	name    string
	log     *slog.Logger
	now     func() time.Time
	unlock  func() error
	writerD *sql.DB
	readers *sql.DB
	writer  *writer
	reads   reads
	disk    diskWatch

	repos map[repoKey]repo // touched by the writer's goroutine only

	leasing [maxLanes]sync.Mutex // one Lease per lane at a time
	mu      sync.Mutex
	held    map[int64]time.Time       // repository -> not before: an item of it waits for a retry
	leases  map[int]map[int64]leasing // lane -> item

	waiting, sealed, dead, done atomic.Int64
	arrived                     [maxLanes]chan struct{}
}

type repoKey struct {
	host provenance.Host
	name provenance.Repository
}

type repo struct {
	id   int64
	lane int
}

type leasing struct {
	repo    int64
	expires time.Time
}

// Lanes returns the number of lanes.
func (q *Queue) Lanes() int { return q.options.Lanes }

// LaneName returns the lane's name on the ledger, unique per database: a
// second queue can never write under the keys of the first.
func (q *Queue) LaneName(lane int) string { return fmt.Sprintf("%s-%d", q.name, lane) }

// Arrived returns a channel that receives after items came to wait in a lane;
// several arrivals may share one receipt. Items whose hold ran out are not
// announced: lease now and then in any case.
func (q *Queue) Arrived(lane int) <-chan struct{} { return q.arrived[lane] }

func (q *Queue) announce(lane int) {
	select {
	case q.arrived[lane] <- struct{}{}:
	default: // a receipt is pending already
	}
}

// Close stops the writer after the commit in hand and closes the file. Calls
// that come later fail with WB_UNAVAILABLE.
func (q *Queue) Close() error {
	q.writer.stop()
	err := q.readers.Close()
	if werr := q.writerD.Close(); err == nil {
		err = werr
	}
	if uerr := q.unlock(); err == nil {
		err = uerr
	}
	if err != nil {
		return provenance.Wrap(provenance.Internal, err, "close queue")
	}
	return nil
}

// Stats are the queue's counts.
type Stats struct {
	Pending int64 // waiting for a segment
	Sealed  int64 // in a segment that is not yet known to be recorded
	Dead    int64
	Done    int64 // recorded since the database was created
	// OldestPending is when the oldest waiting item was received; zero when none waits.
	OldestPending time.Time
}

// Stats returns the counts as of the last commit.
func (q *Queue) Stats(ctx context.Context) (Stats, error) {
	s := Stats{Pending: q.waiting.Load(), Sealed: q.sealed.Load(), Dead: q.dead.Load(), Done: q.done.Load()}
	var at sql.NullInt64
	if err := q.reads.oldest.QueryRowContext(ctx).Scan(&at); err != nil && err != sql.ErrNoRows {
		return Stats{}, fail(err, "read queue stats")
	}
	if at.Valid {
		s.OldestPending = time.UnixMilli(at.Int64).UTC()
	}
	return s, nil
}

// laneOf spreads repositories over lanes; all events of one repository share
// one lane, and so one order.
func laneOf(host provenance.Host, name provenance.Repository, lanes int) int {
	h := fnv.New64a()
	_, _ = h.Write([]byte(string(host) + "/" + string(name))) // hash.Hash never fails
	return int(h.Sum64() % uint64(lanes))
}
