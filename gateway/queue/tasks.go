package queue

import (
	"context"
	"database/sql"
	"strings"
	"sync"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// What wakes a task before it is due, and brings it back when it was set aside.
const (
	WantsSubject = "subject" // a push of its subject
	WantsKey     = "key"     // new trust material
)

// Task is one thing to do about one manifest. Two of the same kind, place,
// digest and subject are one.
type Task struct {
	ID         int64
	Kind       string
	Host       provenance.Host
	Repository provenance.Repository
	Digest     provenance.Digest // of the manifest
	Tag        provenance.Tag
	Subject    provenance.Digest // of an artifact; zero for none
	Noted      time.Time         // or brought back
	Attempts   int
	Due        time.Time // zero: at once
	Wants      string
	Reason     string // of the last failure
	Dead       bool

	place, lease int64
}

// TaskBlock is what one block asks of us.
type TaskBlock struct {
	Height uint64 // blocks that are noted with it: the block's number and one
	Tasks  []Task
	// Subjects were pushed, Keys came: they wake who waits for them.
	Subjects []provenance.Digest
	Keys     bool
}

// Tasks is the durable list of tasks. The replicas that share a queue share it:
// each task is in the hands of one of them, until that one is done with it or
// is dead (see freeTasks). Doing a task twice must be harmless all the same, for
// a replica that was paused goes on with what it had.
//
// The height is the number of blocks whose tasks are noted. It is disposable
// with the tasks: from height 0 the chain is gone through again, and what was
// done is found done.
type Tasks struct {
	q       *Queue
	arrived chan struct{}
	limits  taskLimits

	mu     sync.Mutex
	height uint64 // as noted by this process
	saved  uint64 // of it, in the table
}

// heightInterval is how often the height is saved while blocks ask for nothing.
// Each of them would cost an fsync, and a crash costs a second look at them.
const heightInterval = 30 * time.Second

// Tasks returns the queue's list of tasks.
func (q *Queue) Tasks() *Tasks { return q.tasks }

// Arrived returns a channel that receives after tasks came or were woken in
// this process; several may share one receipt. Ask now and then in any case:
// tasks come due, and other replicas note some.
func (t *Tasks) Arrived() <-chan struct{} { return t.arrived }

func (t *Tasks) announce() {
	select {
	case t.arrived <- struct{}{}:
	default: // a receipt is pending already
	}
}

// Height is the number of blocks whose tasks are noted, as far as this process
// knows: begin with the block of that number.
func (t *Tasks) Height() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.height
}

// Note takes the tasks of one block, and wakes those that wait for something
// in it. Blocks come in order; one below the height was noted. The index must
// hold the block: a task that is taken after this has looked sees the block.
//
// Tasks and height are one transaction: a crash before it goes back to the older
// height, and the block is noted again. A block that another replica noted only
// wakes. One that asks for nothing writes nothing: its height is saved later.
func (t *Tasks) Note(ctx context.Context, b TaskBlock) error {
	if b.Height <= t.Height() {
		return nil
	}
	if len(b.Tasks) == 0 {
		wakes, err := t.wakesAny(ctx, b)
		if err != nil {
			return err
		}
		if !wakes {
			t.noted(b.Height)
			return nil
		}
	}
	err := t.write(ctx, len(b.Tasks)+1, func(w *taskWrite) error {
		if w.height < b.Height {
			if err := w.add(b.Tasks); err != nil {
				return err
			}
		}
		if err := w.wake(b); err != nil {
			return err
		}
		return w.saveHeight(b.Height)
	})
	if err != nil {
		return err
	}
	t.noted(b.Height)
	t.mu.Lock()
	t.saved = max(t.saved, b.Height)
	t.mu.Unlock()
	t.announce()
	return nil
}

func (t *Tasks) noted(height uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.height = max(t.height, height)
}

// Add takes tasks that no block asked for: another task led to them, say.
func (t *Tasks) Add(ctx context.Context, tasks []Task) error {
	if len(tasks) == 0 {
		return nil
	}
	err := t.write(ctx, len(tasks), func(w *taskWrite) error { return w.add(tasks) })
	if err == nil {
		t.announce()
	}
	return err
}

// Retry brings tasks back that were set aside, all of them when no id is given,
// and counts them.
func (t *Tasks) Retry(ctx context.Context, ids ...int64) (int, error) {
	n := 0
	err := t.write(ctx, max(1, len(ids)), func(w *taskWrite) (err error) {
		where := `dead = 1`
		if len(ids) > 0 {
			where += ` AND id IN (` + list(ids) + `)`
		}
		n, err = w.revive(where)
		return err
	})
	if err == nil && n > 0 {
		t.announce()
	}
	return n, err
}

// lockTasks reads the row that orders all changes of tasks.
const lockTasks = `SELECT height FROM task_height`

// taskWrite is the list inside one transaction, which no other replica's crosses.
type taskWrite struct {
	*batch
	bind   func(string) string
	height uint64
	limits taskLimits
	// killed and dropped are told of after the commit.
	killed, dropped []Task
}

// write runs f in a transaction that has the list for itself.
func (t *Tasks) write(ctx context.Context, rows int, f func(*taskWrite) error) error {
	var w *taskWrite
	return t.q.writer.do(ctx, &op{
		rows: rows,
		run: func(b *batch) error {
			w = &taskWrite{batch: b, bind: t.q.backend.bind, limits: t.limits}
			if err := w.lock(t.q.shared()); err != nil {
				return err
			}
			if err := f(w); err != nil {
				return err
			}
			b.tasks = &locked{w.height} // not before: what is rolled back keeps no lock
			return nil
		},
		after: func() { t.tell(ctx, w) },
	})
}

// locked is what a transaction knows of the list once one of its ops has it for itself.
type locked struct{ height uint64 }

func (w *taskWrite) lock(shared bool) error {
	if w.tasks != nil {
		w.height = w.tasks.height
		return nil
	}
	query := lockTasks
	if shared {
		query += ` FOR UPDATE`
	}
	var height int64
	if err := w.w.conn.QueryRowContext(w.ctx, query).Scan(&height); err != nil {
		return sqldb.Wrap(err, "lock tasks")
	}
	w.height = uint64(height)
	return nil
}

// run is exec of a statement that the writer has prepared.
func (w *taskWrite) run(stmt *sql.Stmt, args ...any) (int64, error) {
	result, err := stmt.ExecContext(w.ctx, args...)
	if err != nil {
		return 0, sqldb.Wrap(err, "write tasks")
	}
	n, err := result.RowsAffected()
	return n, sqldb.Wrap(err, "write tasks")
}

func (w *taskWrite) exec(query string, args ...any) (int64, error) {
	result, err := w.w.conn.ExecContext(w.ctx, w.bind(query), args...)
	if err != nil {
		return 0, sqldb.Wrap(err, "write tasks")
	}
	n, err := result.RowsAffected()
	return n, sqldb.Wrap(err, "write tasks")
}

func (w *taskWrite) saveHeight(height uint64) error {
	_, err := w.exec(`UPDATE task_height SET height = ?1 WHERE height < ?1`, int64(height))
	if err == nil {
		w.height = max(w.height, height)
	}
	return err
}

// wakesAny tells whether the block wakes anything at all. Whoever takes a task
// after this has read finds the block in the index.
func (t *Tasks) wakesAny(ctx context.Context, b TaskBlock) (wakes bool, err error) {
	ctx, cancel := t.q.limit(ctx)
	defer cancel()
	for i, c := range b.conditions() {
		if i == 0 { // mostly nobody waits for anything
			var any int
			err := t.q.readers.QueryRowContext(ctx, `SELECT CASE WHEN EXISTS (SELECT 1 FROM tasks WHERE wants <> '') OR EXISTS (SELECT 1 FROM tasks WHERE owner <> '') THEN 1 ELSE 0 END`).Scan(&any)
			if err != nil || any == 0 {
				return false, sqldb.Wrap(err, "read tasks")
			}
		}
		var n int
		query := t.q.backend.bind(`SELECT CASE WHEN EXISTS (SELECT 1 FROM tasks WHERE ` + c.waiting + `) OR EXISTS (SELECT 1 FROM tasks WHERE ` + c.tried + `) THEN 1 ELSE 0 END`)
		if err := t.q.readers.QueryRowContext(ctx, query, append(c.args, c.args...)...).Scan(&n); err != nil || n == 1 {
			return n == 1, sqldb.Wrap(err, "read tasks")
		}
	}
	return false, nil
}

// condition takes those that wait for something, and those that may come to.
type condition struct {
	waiting, tried string
	args           []any
}

// conditions are the block's, with as many values as a statement takes.
func (b TaskBlock) conditions() (out []condition) {
	if b.Keys {
		out = append(out, condition{waiting: `wants = 'key'`, tried: `owner <> ''`})
	}
	const most = 500
	for rest := b.Subjects; len(rest) > 0; {
		n := min(most, len(rest))
		var c condition
		for _, d := range rest[:n] {
			c.args = append(c.args, digestText(d))
		}
		in := `subject IN (?` + strings.Repeat(`, ?`, n-1) + `)`
		c.waiting, c.tried = `wants = 'subject' AND `+in, `owner <> '' AND `+in
		out, rest = append(out, c), rest[n:]
	}
	return out
}

// keepHeight saves the height now and then until ctx ends.
func (t *Tasks) keepHeight(ctx context.Context) {
	tick := time.NewTicker(heightInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			t.save(ctx)
		}
	}
}

// save writes the height. It may fail: what is lost is noted again.
func (t *Tasks) save(ctx context.Context) {
	height := t.Height()
	t.mu.Lock()
	due := height > t.saved
	t.mu.Unlock()
	if !due || t.write(ctx, 1, func(w *taskWrite) error { return w.saveHeight(height) }) != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.saved = max(t.saved, height)
}

func digestText(d provenance.Digest) string {
	if d.IsZero() {
		return ""
	}
	return d.String()
}
