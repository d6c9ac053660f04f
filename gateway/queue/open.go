package queue

import (
	"context"
	"database/sql"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// Create makes an empty queue at where: the path of a SQLite file, or the URL
// of a PostgreSQL database (postgres://...). It fails with WB_CONFLICT when
// there is one: a queue is never emptied by mistake.
//
// A SQLite file is readable by its owner only. A crash inside Create leaves a
// file that Open refuses; delete it and create again. In PostgreSQL the tables
// live in the schema waybill_queue, or in the one that the URL's search_path
// names, and appear all at once. The URL is a secret: no error repeats it.
func Create(ctx context.Context, where string) error {
	if sqldb.IsURL(where) {
		return createPostgres(ctx, where)
	}
	return createSQLite(ctx, where)
}

// Open opens a queue that Create made. A SQLite file is taken for this process
// alone. A PostgreSQL database is shared by all that open it: each is a
// replica and takes its part of the lanes.
//
// Errors: WB_NOT_FOUND when there is no such queue, WB_CONFLICT when another
// process has the file open, or other replicas run with another number of
// lanes or, with Options.Exclusive, at all, WB_INVALID for options or a database that do not fit, WB_UNAVAILABLE
// when the server does not answer.
func Open(ctx context.Context, where string, options Options) (*Queue, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	q := &Queue{
		options: options, log: options.Log, now: time.Now, unlock: func() error { return nil },
		repos: map[repoKey]repo{}, pending: map[string]int64{}, retryAfter: map[int64]time.Time{}, deferred: map[int]map[int64]time.Time{}, leases: map[int]map[int64]leasing{},
		laneHolds: map[int]laneHold{},
	}
	q.tasks = &Tasks{q: q, arrived: make(chan struct{}, 1), limits: defaultTaskLimits()}
	for lane := range q.arrived {
		q.arrived[lane] = make(chan struct{}, 1)
	}
	opening := q.openSQLite
	if sqldb.IsURL(where) {
		opening = q.openPostgres
	}
	if err := opening(ctx, where); err != nil {
		if q.writer != nil {
			q.writer.stop()
		}
		for _, db := range []*sql.DB{q.readers, q.writerD} {
			if db != nil {
				_ = db.Close() // the first error says more
			}
		}
		_ = q.unlock()
		return nil, err
	}
	q.startLoops()
	return q, nil
}

// start prepares the statements; both databases are open and their schema fits.
func (q *Queue) start(ctx context.Context) (err error) {
	if q.reads, err = prepareReads(ctx, q.readers, q.backend); err != nil {
		return err
	}
	q.writer, err = newWriter(ctx, q.writerD, q.backend)
	return err
}

// startLoops starts what goes on by itself until Close.
func (q *Queue) startLoops() {
	ctx, cancel := context.WithCancel(context.Background())
	q.cancel = cancel
	if q.shared() {
		q.loops.Go(func() { q.runLanes(ctx) })
	}
	q.loops.Go(func() { q.tasks.keepHeight(ctx) })
	if lite, ok := q.backend.transactions.(*sqliteBackend); ok {
		q.loops.Go(func() { lite.ids.compact(ctx) })
	}
	if q.options.Remember > 0 && !q.options.Exclusive {
		q.loops.Go(func() { q.runExpiry(ctx) })
	}
}

func mismatch(version, want int) error {
	return provenance.Errorf(provenance.Invalid, "open queue: it has schema version %d, this program reads %d", version, want)
}
