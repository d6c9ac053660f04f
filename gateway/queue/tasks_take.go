package queue

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"maps"
	"time"

	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// Take is TakeSome for one task.
func (t *Tasks) Take(ctx context.Context, ready Ready) (task Task, ok bool, wait time.Duration, err error) {
	one := map[string]int{}
	for kind := range ready {
		one[kind] = 1
	}
	taken, wait, err := t.TakeSome(ctx, ready, one, 1)
	if len(taken) == 0 {
		return Task{}, false, wait, err
	}
	return taken[0], true, 0, err
}

// TakeSome hands out tasks that are due, of each repository in turn, at most so many
// and of each kind at most what of says, and where there is none tells how long to
// wait for one. They are this process's until Done, Again or DeadLetter. A crash after:
// they are handed out again, on SQLite at the next start and on PostgreSQL when the
// replica is known to be dead. Where there is an error, what it hands out beside it is
// to be done all the same.
func (t *Tasks) TakeSome(ctx context.Context, ready Ready, of map[string]int, most int) (taken []Task, wait time.Duration, err error) {
	now := t.q.now()
	find := ready.query(now)
	// Mostly nothing is due, and looking costs no commit.
	reading, cancel := t.q.limit(ctx)
	defer cancel()
	var place, next sql.NullInt64
	err = sqldb.ReadAgain(func() error {
		err := t.q.readers.QueryRowContext(reading, t.q.backend.bind(find.place), find.args...).Scan(&place)
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		return t.q.readers.QueryRowContext(reading, t.q.backend.bind(`SELECT min(due) FROM tasks WHERE dead = 0 AND owner = '' AND due > ?`), now.UnixMilli()).Scan(&next)
	})
	if err != nil {
		return nil, 0, sqldb.Wrap(err, "take task")
	}
	if !place.Valid {
		wait = maxWait
		if next.Valid {
			wait = min(wait, max(0, time.UnixMilli(next.Int64).Sub(now)))
		}
		return nil, wait, nil
	}
	err = t.write(ctx, most, func(w *taskWrite) error {
		taken = nil
		ready, left := ready, maps.Clone(of)
		for len(taken) < most && len(ready) > 0 {
			some, full, err := w.takeSome(ready.query(now), t.q.owner(), left, most-len(taken))
			taken = append(taken, some...)
			if err != nil || full == "" {
				return err
			}
			ready = maps.Clone(ready)
			delete(ready, full)
		}
		return nil
	})
	return taken, 0, err // after an error they may be ours: to do them is harmless, to leave them is not
}

// takeSome takes at most so many tasks, until there are as many of a kind as left says,
// which is full then.
func (w *taskWrite) takeSome(find taskQuery, owner string, left map[string]int, most int) (taken []Task, full string, err error) {
	t, err := w.taking(find, owner)
	if err != nil {
		return nil, "", err
	}
	defer func() { err = cmp.Or(err, t.close()) }()
	for len(taken) < most {
		task, ok, err := t.next()
		if err != nil || !ok {
			return taken, "", err // another worker was faster
		}
		taken = append(taken, task)
		if left[task.Kind]--; left[task.Kind] == 0 {
			return taken, task.Kind, nil
		}
	}
	return taken, "", nil
}
