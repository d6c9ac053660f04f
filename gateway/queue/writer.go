package queue

import (
	"context"
	"database/sql"
	"errors"
	"sync"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// maxBatchRows bounds one transaction, and so how long its callers wait.
const maxBatchRows = 4096

// insertRows is how many rows one INSERT of a large batch carries.
const insertRows = 32

// writer owns the one connection that changes the file.
type writer struct {
	conn *sql.Conn
	ops  chan *op
	quit chan struct{}
	idle sync.WaitGroup
	once sync.Once

	stmts stmts
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
	err  error
	done chan struct{}
}

// batch is the transaction in hand.
type batch struct {
	w     *writer
	items []newItem
	repos map[repoKey]repo
}

func newWriter(ctx context.Context, db *sql.DB) (*writer, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, fail(err, "open queue")
	}
	w := &writer{conn: conn, ops: make(chan *op, 1024), quit: make(chan struct{})}
	if err := w.stmts.prepare(ctx, conn); err != nil {
		return nil, err
	}
	w.idle.Go(w.loop)
	return w, nil
}

func (w *writer) stop() {
	w.once.Do(func() { close(w.quit) })
	w.idle.Wait()
	_ = w.conn.Close() // hands the connection back to its pool
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
func (w *writer) commit(ops []*op) {
	err := w.Broken()
	b := &batch{w: w}
	if err == nil {
		err = w.transact(b, ops)
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

func (w *writer) transact(b *batch, ops []*op) (err error) {
	// One caller's cancellation must not tear the others' transaction, so no caller's ctx is used here.
	if err := w.exec(`BEGIN IMMEDIATE`); err != nil {
		return fail(err, "queue: begin")
	}
	defer func() {
		if err != nil {
			_ = w.exec(`ROLLBACK`) // SQLite may have rolled back by itself
		}
	}()
	for _, o := range ops {
		if o.err, err = w.runOne(b, o); err != nil {
			return err
		}
	}
	if err := b.flush(); err != nil {
		return err
	}
	if w.commitFault != nil {
		if err := w.commitFault(); err != nil {
			return w.breakIfDamaged(err)
		}
	}
	if err := w.exec(`COMMIT`); err != nil {
		return w.breakIfDamaged(err)
	}
	return nil
}

// runOne tells apart an op that is refused (opErr: only its caller hears) from
// a transaction that cannot go on (err: everybody hears).
func (w *writer) runOne(b *batch, o *op) (opErr, err error) {
	if !o.bare {
		if err := w.exec(`SAVEPOINT op`); err != nil {
			return nil, fail(err, "queue: savepoint")
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
		if err := w.exec(`ROLLBACK TO op`); err != nil {
			return nil, fail(err, "queue: roll back")
		}
	}
	return opErr, fail(w.exec(`RELEASE op`), "queue: release savepoint")
}

// breakIfDamaged stops the queue after an I/O error in a commit. After a
// failed fsync the kernel may have dropped the pages and report success next
// time; only reopening the file shows what really stands.
func (w *writer) breakIfDamaged(err error) error {
	coded := fail(err, "queue: commit")
	if provenance.CodeOf(coded) == provenance.Internal {
		w.mu.Lock()
		w.broken = provenance.Wrap(provenance.Internal, err, "queue stopped after a failed commit; check the disk and restart")
		w.mu.Unlock()
	}
	return coded
}

// Broken returns why the writer has stopped accepting work, or nil.
func (w *writer) Broken() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.broken
}

func (w *writer) exec(query string) error {
	_, err := w.conn.ExecContext(context.Background(), query)
	return err
}

// fail gives a database error its code: WB_FULL for a full disk,
// WB_UNAVAILABLE for a lock that was not given in time or a caller that left, else WB_INTERNAL.
func fail(err error, what string) error {
	if err == nil {
		return nil
	}
	var coded *provenance.Error
	if errors.As(err, &coded) {
		return err
	}
	code := provenance.Internal
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		code = provenance.Unavailable
	}
	var db *sqlite.Error
	if errors.As(err, &db) {
		switch db.Code() & 0xff {
		case sqlite3.SQLITE_FULL:
			code = provenance.Full
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
			code = provenance.Unavailable
		}
	}
	return provenance.Wrap(code, err, "%s", what)
}

// isDatabase tells whether err came from SQLite rather than from a check.
func isDatabase(err error) bool {
	var coded *provenance.Error
	return !errors.As(err, &coded) || coded.Code == provenance.Internal || coded.Err != nil
}
