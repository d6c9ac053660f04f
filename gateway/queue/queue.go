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
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// Item is a delivery on its way to the ledger.
type Item struct {
	ID       int64
	Lane     int
	Attempts int // how often it was released after a failure
	delivery.Delivery

	repo  int64
	epoch int64 // of this process's hold of the lane; 0 on SQLite
}

// Queue is an open queue. Its methods may be called from many goroutines.
type Queue struct {
	options Options
	name    string
	secret  []byte
	replica string // this process among those that share a database; "" on SQLite
	log     *slog.Logger
	now     func() time.Time
	unlock  func() error
	backend backend
	writerD *sql.DB
	readers *sql.DB
	writer  *writer
	reads   reads
	tasks   *Tasks
	disk    *diskWatch // nil on PostgreSQL
	// admit waits until there is room in memory for the ids of more events; nil on PostgreSQL.
	admit func(context.Context) error

	cancel context.CancelFunc // ends the loops
	loops  sync.WaitGroup

	// Touched by the writer's goroutine only.
	repos   map[repoKey]repo
	pending map[string]int64 // waiting and sealed items by connector

	leasing    [maxLanes]sync.Mutex // one Lease per lane at a time
	turns      [maxLanes]turns      // of the lane whose leasing is held
	mu         sync.Mutex
	retryAfter map[int64]time.Time         // repository -> not before: an item of it waits for a retry
	deferred   map[int]map[int64]time.Time // lane -> item -> not before: it waits alone
	leases     map[int]map[int64]leasing   // lane -> item
	laneHolds  map[int]laneHold            // the lanes this replica holds; empty on SQLite

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

// Close stops the writer after the commit in hand and closes the database. On
// PostgreSQL other replicas can take this one's lanes at once: stop what works
// on them first. Calls that come later fail with WB_UNAVAILABLE.
func (q *Queue) Close() error {
	q.cancel()
	q.loops.Wait()
	q.tasks.save(context.Background())
	if q.shared() {
		q.freeLanes()
	}
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

// limit bounds how long a read waits for a server that hangs. A file's reads
// wait for nothing but the disk.
func (q *Queue) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if !q.shared() {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, serverTimeout)
}

// Stats returns the counts as of the last commit, of all replicas.
func (q *Queue) Stats(ctx context.Context) (delivery.Stats, error) {
	ctx, cancel := q.limit(ctx)
	defer cancel()
	s := delivery.Stats{Pending: q.waiting.Load(), Sealed: q.sealed.Load(), Dead: q.dead.Load(), Done: q.done.Load()}
	if q.shared() {
		c, err := readCounts(q.reads.counts.QueryContext(ctx))
		if err == nil {
			err = sqldb.Wrap(q.reads.done.QueryRowContext(ctx).Scan(&s.Done), "read queue stats")
		}
		if err != nil {
			return delivery.Stats{}, err
		}
		s.Pending, s.Sealed, s.Dead = c.waiting, c.sealed, c.dead
	}
	var at sql.NullInt64
	if err := q.reads.oldest.QueryRowContext(ctx).Scan(&at); err != nil && err != sql.ErrNoRows {
		return delivery.Stats{}, sqldb.Wrap(err, "read queue stats")
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
