package queue

import (
	"context"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// expire drops runs whose ids were all seen before the given time, but for ids
// of events that are still in the queue: these count as seen now. An id lives
// on for as long as its run has a younger one (see spanShare). Runs go from the
// oldest on: what an older one says of an id must not count again.
//
// A crash anywhere leaves a run that counts, or chunks of one that does not.
func (t *idTable) expire(ctx context.Context, q *Queue, before time.Time, _ func() bool) (total int, err error) {
	t.compacting.Lock()
	defer t.compacting.Unlock()
	limit := uint32(max(0, before.Unix()))
	err = t.flushOlder(ctx, limit)
	for err == nil && t.old == oldNone && len(t.runs) > 0 && t.runs[0].newest < limit {
		var n int
		n, err = t.drop(ctx, q, t.runs[0], before)
		total += n
	}
	return total, err
}

// flushOlder makes runs of what is in memory and has an id older than the limit.
func (t *idTable) flushOlder(ctx context.Context, limit uint32) error {
	for {
		if t.frozen.Load() != nil {
			if err := t.flushFrozen(ctx); err != nil {
				return err
			}
		}
		err := t.writer.between(ctx, func() error {
			if t.memtable.oldest > 0 && t.memtable.oldest < limit {
				t.freeze()
			}
			return nil
		})
		if err != nil || t.frozen.Load() == nil {
			return err
		}
	}
}

// drop drops the oldest run, and returns how many ids were forgotten.
func (t *idTable) drop(ctx context.Context, q *Queue, r *run, before time.Time) (int, error) {
	// An item accepted later has a younger mark than any in the run.
	queued, err := q.unexpirable(ctx, before)
	if err != nil {
		return 0, err
	}
	var stay []entry
	for next := r.cursor(ctx, t.readers); len(queued) > 0; {
		e, more, err := next()
		if err != nil {
			return 0, err
		}
		if !more {
			break
		}
		if queued[e.id] {
			stay = append(stay, e)
		}
	}
	for chunk := range slices.Chunk(stay, maxBatchRows) {
		err := t.writer.do(ctx, &op{rows: len(chunk), run: func(b *batch) error {
			for _, e := range chunk {
				m, known, err := t.known(b, e.id)
				if err != nil {
					return err
				}
				if known { // else it was discarded meanwhile
					m.at = max(m.at, uint32(b.now.Unix()))
					t.note(b, e.id, m)
				}
			}
			return nil
		}})
		if err != nil {
			return 0, err
		}
	}
	err = t.writer.do(ctx, &op{
		rows: 1,
		run: func(b *batch) error {
			_, err := b.w.conn.ExecContext(b.ctx, `DELETE FROM seen_runs WHERE run = ?`, r.id)
			return sqldb.Wrap(err, "forget event ids")
		},
		after: func() { t.runs = slices.Clone(t.runs[1:]) },
	})
	if err != nil {
		return 0, err
	}
	return int(r.count) - len(stay), t.dropChunks(ctx, r.id)
}
