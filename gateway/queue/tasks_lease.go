package queue

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// Ready says which kinds of tasks can be done, and of each the registries that
// are left alone for now.
type Ready map[string][]provenance.Host

// taskReason bounds why a task failed, in bytes.
const taskReason = 1000

// maxWait is how long Take tells to wait where nothing will be due.
const maxWait = time.Minute

const taskFields = `t.id, t.kind, p.host, p.repository, t.digest, t.tag, t.subject, t.noted, t.attempts, t.due, t.wants, t.reason, t.dead, t.place, t.lease`

const selectTasks = `SELECT ` + taskFields + ` FROM tasks t JOIN task_places p ON p.id = t.place`

// taking takes one task after the other. Its statements are read once for all of them:
// that takes longer than what they do.
type taking struct {
	*taskWrite
	owner                          string
	args                           []any
	place, task, lease, turn, last *sql.Stmt
}

func (w *taskWrite) taking(find taskQuery, owner string) (*taking, error) {
	t := &taking{taskWrite: w, owner: owner, args: find.args}
	for query, into := range map[string]**sql.Stmt{
		find.place: &t.place,
		find.task:  &t.task,
		`UPDATE tasks SET owner = ?, lease = ?, woken = 0 WHERE id = ?`:             &t.lease,
		`UPDATE task_height SET turn = turn + 1`:                                    &t.turn,
		`UPDATE task_places SET turn = (SELECT turn FROM task_height) WHERE id = ?`: &t.last,
	} {
		stmt, err := w.w.conn.PrepareContext(w.ctx, w.bind(query)) //nolint:sqlclosecheck // close ends all of them
		if err != nil {
			return nil, errors.Join(sqldb.Wrap(err, "take task"), t.close())
		}
		*into = stmt
	}
	return t, nil
}

func (t *taking) close() error {
	var errs []error
	for _, stmt := range []*sql.Stmt{t.place, t.task, t.lease, t.turn, t.last} {
		if stmt != nil {
			errs = append(errs, stmt.Close())
		}
	}
	return sqldb.Wrap(errors.Join(errs...), "take task")
}

func (t *taking) next() (task Task, ok bool, err error) {
	var place int64
	err = t.place.QueryRowContext(t.ctx, t.args...).Scan(&place)
	if errors.Is(err, sql.ErrNoRows) {
		return Task{}, false, nil // another worker was faster
	}
	if err != nil {
		return Task{}, false, sqldb.Wrap(err, "take task")
	}
	tasks, err := scanTasks(t.task.QueryContext(t.ctx, append(slices.Clone(t.args), place)...))
	if err != nil || len(tasks) == 0 {
		return Task{}, false, err
	}
	task = tasks[0]
	task.lease++
	if _, err = t.lease.ExecContext(t.ctx, t.owner, task.lease, task.ID); err == nil {
		_, err = t.turn.ExecContext(t.ctx)
	}
	if err == nil {
		_, err = t.last.ExecContext(t.ctx, place)
	}
	return task, err == nil, sqldb.Wrap(err, "take task")
}

// taskQuery finds the place whose turn is longest ago, and with its number after the same
// values the first of its tasks that may be taken.
type taskQuery struct {
	place, task string
	args        []any
}

// query names the columns so that each kind is a step in an index: what is left
// alone, however much it is, is not walked over.
func (r Ready) query(now time.Time) (q taskQuery) {
	var exist, which, firsts []string
	for _, kind := range sortedKinds(r) {
		first := len(q.args) + 1
		due := `t.dead = 0 AND t.owner = '' AND t.kind = ?` + strconv.Itoa(first) + ` AND t.due <= ` + number(now.UnixMilli())
		q.args = append(q.args, kind)
		host := ``
		if hosts := r[kind]; len(hosts) > 0 {
			marks := make([]string, len(hosts))
			for i, h := range hosts {
				q.args = append(q.args, string(h))
				marks[i] = `?` + strconv.Itoa(len(q.args))
			}
			host = `p.host NOT IN (` + strings.Join(marks, `, `) + `) AND `
		}
		exist = append(exist, host+`EXISTS (SELECT 1 FROM tasks t WHERE t.place = p.id AND `+due+`)`)
		which = append(which, host+due)
		// Of each kind the first is where the index begins: thousands that are due are not sorted.
		firsts = append(firsts, `SELECT id FROM (SELECT t.id FROM tasks t WHERE t.place = `+placeMark+` AND `+due+` ORDER BY t.due, t.id LIMIT 1) AS `+kindAlias(len(firsts)))
	}
	if len(exist) == 0 {
		exist, which, firsts = []string{`1 = 0`}, []string{`1 = 0`}, []string{`SELECT id FROM tasks WHERE place = ` + placeMark}
	}
	q.task = selectTasks + ` WHERE t.id IN (` + strings.Join(firsts, ` UNION ALL `) + `) AND (` + strings.Join(which, ` OR `) + `) ORDER BY t.due, t.id LIMIT 1`
	q.task = strings.ReplaceAll(q.task, placeMark, `?`+strconv.Itoa(len(q.args)+1))
	q.place = `SELECT p.id FROM task_places p WHERE p.waiting > 0 AND (` + strings.Join(exist, ` OR `) + `) ORDER BY p.turn, p.id LIMIT 1`
	return q
}

// placeMark stands for the number of the place, whose parameter is the last.
const placeMark = `?place`

func kindAlias(n int) string { return `k` + strconv.Itoa(n) }

func sortedKinds(r Ready) []string {
	kinds := make([]string, 0, len(r))
	for kind := range r {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	return kinds
}

func (w *taskWrite) read(query string, args ...any) ([]Task, error) {
	rows, err := w.w.conn.QueryContext(w.ctx, w.bind(query), args...)
	return scanTasks(rows, err)
}

func scanTasks(rows *sql.Rows, err error) ([]Task, error) {
	if err != nil {
		return nil, sqldb.Wrap(err, "read tasks")
	}
	defer rows.Close()
	var out []Task
	for rows.Next() {
		var t Task
		var digest, subject string
		var noted, due int64
		var dead int
		if err := rows.Scan(&t.ID, &t.Kind, &t.Host, &t.Repository, &digest, &t.Tag, &subject, &noted, &t.Attempts, &due, &t.Wants, &t.Reason, &dead, &t.place, &t.lease); err != nil {
			return nil, sqldb.Wrap(err, "read task")
		}
		if err := errors.Join(parseDigest(&t.Digest, digest), parseDigest(&t.Subject, subject)); err != nil {
			return nil, provenance.Wrap(provenance.Internal, err, "task %d is damaged in the queue", t.ID)
		}
		t.Noted, t.Dead = time.UnixMilli(noted).UTC(), dead == 1
		if due > 0 {
			t.Due = time.UnixMilli(due).UTC()
		}
		out = append(out, t)
	}
	return out, sqldb.Wrap(rows.Err(), "read tasks")
}

func parseDigest(into *provenance.Digest, text string) (err error) {
	if text != "" {
		*into, err = provenance.ParseDigest(text)
	}
	return err
}

// Done removes a task. Like Again and DeadLetter it changes nothing where the
// task is another's by now. A crash before: it is done again.
func (t *Tasks) Done(ctx context.Context, task Task) error {
	return t.write(ctx, 1, func(w *taskWrite) error {
		n, err := w.run(w.w.stmts.doneTask, task.ID, t.q.owner(), task.lease)
		return cmp.Or(err, w.count(task.place, -n))
	})
}

// Attempt is how an attempt ended that is to be repeated.
type Attempt struct {
	Due    time.Time
	Counts bool // something was learnt about the task itself
	Wants  string
	Reason string
}

// Again puts a task back until it is due, or until what it wants comes. Where
// that came meanwhile it is due at once.
func (t *Tasks) Again(ctx context.Context, task Task, a Attempt) error {
	counts := 0
	if a.Counts {
		counts = 1
	}
	err := t.write(ctx, 1, func(w *taskWrite) error {
		_, err := w.exec(`UPDATE tasks SET owner = '', attempts = attempts + ?, due = CASE WHEN woken = 1 THEN 0 ELSE CAST(? AS BIGINT) END,
			wants = CASE WHEN woken = 1 THEN '' ELSE ? END, reason = ?, woken = 0 WHERE id = ? AND owner = ? AND lease = ?`,
			counts, milliseconds(a.Due), a.Wants, clipTo(a.Reason, taskReason), task.ID, t.q.owner(), task.lease)
		return err
	})
	if err == nil {
		t.announce()
	}
	return err
}

// DeadLetter sets a task aside for an operator, or until what it wants comes.
// Where that came meanwhile it is tried once more.
func (t *Tasks) DeadLetter(ctx context.Context, task Task, wants, reason string) error {
	err := t.write(ctx, 1, func(w *taskWrite) error {
		mine := []any{task.ID, t.q.owner(), task.lease}
		const where = ` WHERE id = ? AND owner = ? AND lease = ?`
		if wants != "" {
			n, err := w.exec(`UPDATE tasks SET owner = '', attempts = attempts + 1, due = 0, wants = '', woken = 0`+where+` AND woken = 1`, mine...)
			if err != nil || n > 0 {
				return err
			}
		}
		n, err := w.exec(`UPDATE tasks SET owner = '', attempts = attempts + 1, dead = 1, woken = 0, wants = ?, reason = ?`+where, append([]any{wants, clipTo(reason, taskReason)}, mine...)...)
		if err != nil || n == 0 {
			return err
		}
		task.Wants, task.Reason = wants, reason
		w.killed = append(w.killed, task)
		if err := w.count(task.place, -n); err != nil {
			return err
		}
		return w.forgetDead()
	})
	if err == nil {
		t.announce()
	}
	return err
}

// DeadLetters lists tasks set aside whose id is above after, oldest first.
func (t *Tasks) DeadLetters(ctx context.Context, after int64, limit int) ([]Task, error) {
	ctx, cancel := t.q.limit(ctx)
	defer cancel()
	return scanTasks(t.q.readers.QueryContext(ctx, t.q.backend.bind(selectTasks+` WHERE t.dead = 1 AND t.id > ? ORDER BY t.id LIMIT ?`), after, limit))
}

// Counts returns how many tasks wait or are being tried, and how many were set aside.
func (t *Tasks) Counts(ctx context.Context) (waiting, dead int64, err error) {
	ctx, cancel := t.q.limit(ctx)
	defer cancel()
	err = t.q.readers.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM tasks WHERE dead = 0), (SELECT count(*) FROM tasks WHERE dead = 1)`).Scan(&waiting, &dead)
	return waiting, dead, sqldb.Wrap(err, "count tasks")
}

// freeTasks makes tasks due again that the dead had. It is part of every
// heartbeat: a replica that does not say that it lives has no tasks, and what it
// says of one later changes nothing.
func (q *Queue) freeTasks(b *batch) (freed bool, err error) {
	const left = ` WHERE owner <> '' AND owner NOT IN (SELECT id FROM replicas WHERE expires > clock_timestamp())`
	if err := b.w.conn.QueryRowContext(b.ctx, `SELECT EXISTS (SELECT 1 FROM tasks`+left+`)`).Scan(&freed); err != nil || !freed {
		return false, sqldb.Wrap(err, "free tasks")
	}
	for _, query := range []string{lockTasks + ` FOR UPDATE`, `UPDATE tasks SET owner = ''` + left} {
		if _, err := b.w.conn.ExecContext(b.ctx, query); err != nil {
			return false, sqldb.Wrap(err, "free tasks")
		}
	}
	return true, nil
}

// owner is what this process's tasks are marked with. Of a file there is one.
func (q *Queue) owner() string { return cmp.Or(q.replica, "this") }

func milliseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func number(n int64) string { return strconv.FormatInt(n, 10) }
