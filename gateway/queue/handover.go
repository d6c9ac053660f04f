package queue

import (
	"context"
	"log/slog"
	"slices"

	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// handOver frees surplus lanes that are quiet and marks the rest as draining.
func (q *Queue) handOver(b *batch, held map[int]int64, surplus int) error {
	var order []int
	for lane := range held {
		order = append(order, lane)
	}
	slices.Sort(order)
	for i, lane := range order {
		drain := i >= len(order)-surplus
		if !q.drain(lane, drain) || !drain {
			continue
		}
		result, err := b.w.conn.ExecContext(b.ctx, `UPDATE lanes SET owner = '', expires = '-infinity'
			WHERE lane = $1 AND owner = $2 AND NOT EXISTS (SELECT 1 FROM segments s WHERE s.lane = lanes.lane)`, lane, q.replica)
		if err != nil {
			return sqldb.Wrap(err, "hand lane over")
		}
		if n, err := result.RowsAffected(); err != nil || n == 1 {
			if err != nil {
				return sqldb.Wrap(err, "hand lane over")
			}
			delete(held, lane)
		}
	}
	return nil
}

// drain sets or lifts the mark and tells, when set, whether nothing of the lane is leased.
func (q *Queue) drain(lane int, on bool) (quiet bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	t, ok := q.laneHolds[lane]
	if !ok {
		return true
	}
	t.draining = on
	q.laneHolds[lane] = t
	if !on {
		return false
	}
	// A Lease that began before the mark holds this lock until its leases are noted.
	if !q.leasing[lane].TryLock() {
		return false
	}
	q.leasing[lane].Unlock()
	for _, l := range q.leases[lane] {
		if l.expires.After(q.now()) {
			return false
		}
	}
	return true
}

// freeLanes frees this replica's lanes. When it fails they expire.
func (q *Queue) freeLanes() {
	ctx, cancel := context.WithTimeout(context.Background(), serverTimeout)
	defer cancel()
	err := q.writer.do(ctx, &op{rows: 1, run: func(b *batch) error {
		for _, query := range []string{
			`UPDATE lanes SET owner = '', expires = '-infinity' WHERE owner = $1`,
			`UPDATE tasks SET owner = '' WHERE owner = $1`,
			`DELETE FROM replicas WHERE id = $1`,
		} {
			if _, err := b.w.conn.ExecContext(b.ctx, query, q.replica); err != nil {
				return sqldb.Wrap(err, "free lanes")
			}
		}
		return nil
	}})
	if err != nil {
		q.log.WarnContext(ctx, "queue: lanes stay taken until they expire", slog.Any("error", err))
	}
}
