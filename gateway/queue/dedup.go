package queue

import (
	"context"
	"log/slog"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

const (
	idSlices     = 4096             // parts of a pass, see postgresBackend.expire
	forgetPause  = 10 * time.Second // between two parts, at most
	passesWithin = 8                // passes within Options.Remember, at least
)

// dedupTime is when a delivery was seen, in seconds. It is never before the time
// that its item carries, so that an item kept back can be told from the table
// of items (noteID unexpirable).
func dedupTime(now time.Time, d *delivery.Delivery) int64 {
	return max(now.Unix(), d.ReceivedAt.Unix()+1)
}

// runExpiry drops ids older than Options.Remember, one pass after the
// other, until ctx ends. Of several replicas the holder of lane 0 does it.
func (q *Queue) runExpiry(ctx context.Context) {
	pause := min(q.options.Remember/passesWithin/idSlices, forgetPause)
	tick := time.NewTicker(pause)
	defer tick.Stop()
	wait := func() bool {
		for {
			select {
			case <-ctx.Done():
				return false
			case <-tick.C:
			}
			if q.holds(0) {
				return true
			}
		}
	}
	for wait() {
		if n, err := q.forget(ctx, q.now().Add(-q.options.Remember), wait); err != nil && ctx.Err() == nil {
			q.log.WarnContext(ctx, "old event ids are not forgotten; the next pass tries again", slog.Any("error", err))
		} else if n > 0 {
			q.log.InfoContext(ctx, "old event ids forgotten", slog.Int("ids", n))
		}
	}
}

// forget makes one pass: it drops ids seen before the given time, except those
// of events that are still in the queue, however old: forgetting these would
// let a repeated delivery in as a second event. PostgreSQL drops them all, and
// asks next before each part of the pass; SQLite drops them by the run. A crash
// anywhere leaves ids that the next pass drops.
func (q *Queue) forget(ctx context.Context, before time.Time, next func() bool) (int, error) {
	return q.backend.expire(ctx, q, before, next)
}

// unexpirable returns the ids of the events in the queue that were received
// before the given time.
func (q *Queue) unexpirable(ctx context.Context, before time.Time) (map[provenance.EventID]bool, error) {
	ctx, cancel := q.limit(ctx)
	defer cancel()
	rows, err := q.reads.unexpirable.QueryContext(ctx, before.UnixMilli())
	if err != nil {
		return nil, sqldb.Wrap(err, "read old items")
	}
	defer rows.Close()
	keep := map[provenance.EventID]bool{}
	for rows.Next() {
		var event []byte
		if err := rows.Scan(&event); err != nil {
			return nil, sqldb.Wrap(err, "read old items")
		}
		events, err := provenance.DecodeSegment(event)
		if err != nil || len(events) != 1 {
			return nil, provenance.Wrap(provenance.Internal, err, "an item is damaged in the queue")
		}
		keep[events[0].ID] = true
	}
	return keep, sqldb.Wrap(rows.Err(), "read old items")
}
