package queue

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// maxBatchRows bounds one transaction, and so how long its callers wait.
const maxBatchRows = 4096

// A server that hangs must not hang its callers for ever; on SQLite nothing
// but the disk is waited for, and no time limit is set.
const (
	serverTimeout = 15 * time.Second
	maxAttempts   = 3
)

// writer owns this process's one connection that changes the database.
type writer struct {
	db      *sql.DB
	backend backend
	ops     chan *op
	quit    chan struct{}
	idle    sync.WaitGroup
	once    sync.Once

	// conn and stmts belong to the writer's goroutine; conn is nil after a
	// connection to the server was lost and until the next transaction.
	conn        *sql.Conn
	stmts       stmts
	maxUnusable int
	// commitFault lets a test fail the commit as a broken disk would.
	commitFault func() error

	mu     sync.Mutex
	broken error
}

// op is one caller's part of a transaction.
type op struct {
	rows  int
	run   func(*batch) error
	after func() // after the commit, in the writer's goroutine
	// bare ops undo themselves; the others run inside a savepoint.
	bare bool
	// deliveries are what the op accepts, for the backend's prefetch.
	deliveries []delivery.Delivery
	// aside, in place of run, runs in the writer's goroutine between two transactions.
	aside func() error
	err   error
	done  chan struct{}
}

// batch is the transaction in hand.
type batch struct {
	ctx   context.Context //nolint:containedctx // of the transaction, not of any caller
	w     *writer
	now   time.Time
	items []newItem
	added map[string]int64 // items by connector
	repos map[repoKey]repo
	noted map[string]*note // PostgreSQL: what prefetch learned of the ids
	tasks *locked          // once the list of tasks is

	ids    map[provenance.EventID]mark // SQLite: what it notes of ids
	logRow int64                       // ... and in which row of the log
}

func newWriter(ctx context.Context, db *sql.DB, e backend) (*writer, error) {
	w := &writer{db: db, backend: e, ops: make(chan *op, 1024), quit: make(chan struct{}), maxUnusable: maxUnusable}
	if err := w.connect(ctx); err != nil {
		return nil, err
	}
	w.idle.Go(w.loop)
	return w, nil
}

// connect takes a connection and prepares the statements on it.
func (w *writer) connect(ctx context.Context) error {
	if w.conn != nil {
		return nil
	}
	conn, err := w.db.Conn(ctx)
	if err != nil {
		return sqldb.Wrap(err, "connect queue")
	}
	err = w.stmts.prepare(ctx, conn, w.backend)
	if err == nil {
		err = w.backend.prepare(ctx, conn)
	}
	if err != nil {
		_ = conn.Close() // the first error says more
		return err
	}
	w.conn = conn
	return nil
}

func (w *writer) disconnect() {
	if w.conn != nil {
		_ = w.conn.Close() // hands the connection back to its pool, which drops a broken one
		w.conn = nil
	}
}

func (w *writer) stop() {
	w.once.Do(func() { close(w.quit) })
	w.idle.Wait()
	w.disconnect()
}

// between runs f in the writer's goroutine while no transaction is open.
func (w *writer) between(ctx context.Context, f func() error) error {
	return w.do(ctx, &op{aside: f})
}

// do runs o in a transaction and returns after its commit. Once the writer has
// taken it, it waits for the outcome even when ctx ends: a caller must not be
// left guessing whether its change stands.
func (w *writer) do(ctx context.Context, o *op) error {
	o.done = make(chan struct{})
	select {
	case <-w.quit:
		return errClosed()
	default:
	}
	select {
	case w.ops <- o:
	case <-w.quit:
		return errClosed()
	case <-ctx.Done():
		return provenance.Wrap(provenance.Unavailable, ctx.Err(), "queue is busy")
	}
	select {
	case <-o.done:
		return o.err
	case <-w.quit:
		w.idle.Wait()
		select {
		case <-o.done:
			return o.err
		default:
			return errClosed() // never taken
		}
	}
}

func errClosed() error { return provenance.Errorf(provenance.Unavailable, "queue is closed") }

func (w *writer) loop() {
	for {
		var ops []*op
		select {
		case <-w.quit:
			return
		case o := <-w.ops:
			ops = append(ops, o)
		}
		// While the last commit was in fsync, others have queued up: they share this one.
		for rows := ops[0].rows; rows < maxBatchRows; {
			select {
			case o := <-w.ops:
				ops = append(ops, o)
				rows += o.rows
				continue
			default:
			}
			break
		}
		w.commit(ops)
		for _, o := range ops {
			if o.aside != nil {
				o.err = o.aside()
			}
			close(o.done)
		}
	}
}

// commit runs ops in one transaction.
//
// A crash before COMMIT returns: nothing of it stands, or all of it does and
// nobody was told; the callers repeat, and repeating is harmless. A crash
// after: all of it stands. Any error of the transaction itself goes to every
// caller: no one is acknowledged by a commit that may not be on disk.
func (w *writer) commit(all []*op) {
	ops := make([]*op, 0, len(all))
	for _, o := range all {
		if o.aside == nil {
			ops = append(ops, o)
		}
	}
	if len(ops) == 0 {
		return
	}
	err := w.Broken()
	if err == nil {
		err = w.transactAgain(ops)
	}
	if err != nil {
		for _, o := range ops {
			o.err = err
		}
		return
	}
	for _, o := range ops {
		if o.err == nil && o.after != nil {
			o.after()
		}
	}
}

// doubtError is an error of COMMIT itself.
type doubtError struct{ error }

func (d doubtError) Unwrap() error { return d.error }

// transactAgain repeats a transaction of which nothing stands: the server
// rolled it back because of another replica's, or the connection was lost
// before COMMIT was sent. After a connection lost in COMMIT it may stand or
// not; nobody is acknowledged, and every caller can find out by asking again:
// a sender repeats and is told "duplicate", a lane asks Sealed.
func (w *writer) transactAgain(ops []*op) error {
	for attempt := 1; ; attempt++ {
		err := w.transact(ops)
		if err == nil {
			return nil
		}
		lost := sqldb.IsDisconnected(err)
		if lost {
			w.disconnect()
		}
		if attempt == maxAttempts || !sqldb.IsContended(err) && (!lost || errors.As(err, &doubtError{})) {
			return err
		}
	}
}

func (w *writer) transact(ops []*op) (err error) {
	// One caller's cancellation must not tear the others' transaction, so no caller's ctx is used here.
	ctx := context.Background()
	if _, lite := w.backend.transactions.(*sqliteBackend); !lite {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, serverTimeout)
		defer cancel()
	}
	if err := w.connect(ctx); err != nil {
		return err
	}
	if err := w.backend.begin(ctx, w.conn); err != nil {
		return sqldb.Wrap(err, "queue: begin")
	}
	defer func() {
		if err != nil {
			w.rollback()
		}
	}()
	b := &batch{ctx: ctx, w: w, now: time.Now(), added: map[string]int64{}}
	if err := w.backend.prefetch(b, ops); err != nil {
		return err
	}
	for _, o := range ops {
		if o.err, err = w.runOne(b, o); err != nil {
			return err
		}
	}
	if err := w.backend.flush(b); err != nil {
		return err
	}
	if w.commitFault != nil {
		if err := w.commitFault(); err != nil {
			return w.breakIfDamaged(err)
		}
	}
	if err := w.backend.commit(b); err != nil {
		return w.breakIfDamaged(doubtError{err})
	}
	return nil
}

// rollback leaves no open transaction behind. SQLite may have rolled back by
// itself; a server that does not even take a ROLLBACK is left.
func (w *writer) rollback() {
	ctx, cancel := context.WithTimeout(context.Background(), serverTimeout)
	defer cancel()
	if err := w.exec(ctx, `ROLLBACK`); err != nil && sqldb.IsDisconnected(err) {
		w.disconnect()
	}
}

// runOne tells apart an op that is refused (opErr: only its caller hears) from
// a transaction that cannot go on (err: everybody hears).
func (w *writer) runOne(b *batch, o *op) (opErr, err error) {
	if !o.bare {
		if err := w.exec(b.ctx, `SAVEPOINT op`); err != nil {
			return nil, sqldb.Wrap(err, "queue: savepoint")
		}
	}
	opErr = o.run(b)
	if opErr != nil && isDatabase(opErr) {
		return nil, opErr
	}
	if o.bare {
		return opErr, nil
	}
	if opErr != nil {
		if err := w.exec(b.ctx, `ROLLBACK TO op`); err != nil {
			return nil, sqldb.Wrap(err, "queue: roll back")
		}
	}
	return opErr, sqldb.Wrap(w.exec(b.ctx, `RELEASE op`), "queue: release savepoint")
}

// breakIfDamaged stops the queue after an I/O error in a commit. After a
// failed fsync the kernel may have dropped the pages and report success next
// time; only reopening the file shows what really stands.
func (w *writer) breakIfDamaged(err error) error {
	coded := sqldb.Wrap(err, "queue: commit")
	if provenance.CodeOf(coded) == provenance.Internal {
		_ = w.breakWith(provenance.Wrap(provenance.Internal, err, "queue stopped after a failed commit; check the disk and restart"))
	}
	return coded
}

// breakWith stops the queue for good and returns why.
func (w *writer) breakWith(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = err
	return err
}

// Broken returns why the writer has stopped accepting work, or nil.
func (w *writer) Broken() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.broken
}

func (w *writer) exec(ctx context.Context, query string) error {
	_, err := w.conn.ExecContext(ctx, query)
	return err
}
