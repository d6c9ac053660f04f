package queue

import (
	"context"
	"log/slog"
	"sort"

	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// taskLimits bound the list. Whoever floods one repository keeps out nobody
// else's tasks: it is the repositories with most of them that give way.
type taskLimits struct {
	waiting int64
	dead    int64
	places  int64 // that are remembered, whether or not they have tasks
}

func defaultTaskLimits() taskLimits {
	return taskLimits{waiting: 20_000, dead: 10_000, places: 40_000}
}

// makeRoom sets waiting tasks aside where there are too many: those that were
// tried most often, and among equals the oldest. One registry that is gone must
// not keep the others waiting.
func (w *taskWrite) makeRoom() error {
	waiting, err := w.number(`SELECT coalesce(sum(waiting), 0) FROM task_places WHERE waiting > 0`)
	if err != nil {
		return err
	}
	excess, err := w.excess(waiting-w.limits.waiting, `dead = 0 AND owner = ''`, `t.attempts DESC, t.id`)
	if err != nil {
		return err
	}
	for _, t := range excess {
		t.Reason = clipTo("too many tasks wait, most of them of this repository; last: "+t.Reason, taskReason)
		if _, err := w.exec(`UPDATE tasks SET dead = 1, reason = ? WHERE id = ?`, t.Reason, t.ID); err != nil {
			return err
		}
		if err := w.count(t.place, -1); err != nil {
			return err
		}
		w.killed = append(w.killed, t)
	}
	if err := w.forgetDead(); err != nil {
		return err
	}
	return w.forgetPlaces()
}

// forgetDead drops tasks that were set aside where there are too many, the
// oldest first.
func (w *taskWrite) forgetDead() error {
	dead, err := w.number(`SELECT count(*) FROM tasks WHERE dead = 1`)
	if err != nil {
		return err
	}
	excess, err := w.excess(dead-w.limits.dead, `dead = 1`, `t.id`)
	if err != nil {
		return err
	}
	for _, t := range excess {
		if _, err := w.exec(`DELETE FROM tasks WHERE id = ?`, t.ID); err != nil {
			return err
		}
		w.dropped = append(w.dropped, t)
	}
	return nil
}

// forgetPlaces forgets whose turn it was, of those that have no tasks.
func (w *taskWrite) forgetPlaces() error {
	n, err := w.number(`SELECT count(*) FROM task_places`)
	if err != nil || n <= w.limits.places {
		return err
	}
	_, err = w.exec(`DELETE FROM task_places WHERE waiting = 0 AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.place = task_places.id)`)
	return err
}

func (w *taskWrite) number(query string) (n int64, err error) {
	err = w.w.conn.QueryRowContext(w.ctx, query).Scan(&n)
	return n, sqldb.Wrap(err, "count tasks")
}

// excess returns as many tasks as are too many, of the places that have most of
// those that a condition takes; of each the first in order.
func (w *taskWrite) excess(many int64, where, order string) ([]Task, error) {
	if many <= 0 {
		return nil, nil
	}
	held, err := w.places(`SELECT place, count(*) FROM tasks WHERE ` + where + ` GROUP BY place`)
	if err != nil {
		return nil, err
	}
	most := int64(0)
	for _, n := range held {
		most = max(most, n)
	}
	// The least that every place may keep so that no more than many go.
	keep := int64(sort.Search(int(most), func(level int) bool {
		n := int64(0)
		for _, of := range held {
			n += max(0, of-int64(level))
		}
		return n <= many
	}))
	ranked := `WITH ranked AS (SELECT t.id AS rid, row_number() OVER (PARTITION BY t.place ORDER BY ` + order + `) AS rank, count(*) OVER (PARTITION BY t.place) AS n
		FROM tasks t WHERE ` + where + `) ` + selectTasks + ` JOIN ranked r ON r.rid = t.id WHERE `
	out, err := w.read(ranked + `r.rank <= r.n - ` + number(keep))
	if err != nil || int64(len(out)) >= many {
		return out, err
	}
	// One more of each place that keeps as much.
	next, err := w.read(ranked + `r.rank = r.n - ` + number(keep) + ` + 1 ORDER BY ` + order + ` LIMIT ` + number(many-int64(len(out))))
	return append(out, next...), err
}

// tell logs what was set aside and forgotten.
func (t *Tasks) tell(ctx context.Context, w *taskWrite) {
	about := func(t Task) []any {
		return []any{slog.String("kind", t.Kind), slog.String("registry", string(t.Host)), slog.String("repository", string(t.Repository)), slog.String("digest", t.Digest.String()), slog.String("reason", t.Reason)}
	}
	for _, one := range w.killed {
		t.q.log.WarnContext(ctx, "task set aside", about(one)...)
	}
	for _, one := range w.dropped {
		t.q.log.ErrorContext(ctx, "too many tasks are set aside; the oldest of the repository with most of them is forgotten", about(one)...)
	}
}
