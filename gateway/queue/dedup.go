package queue

import (
	"context"
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// Ids are forgotten slice by slice: an id is a hash, so 4,096 slices of the
// range of ids hold about as much each, and a pass needs neither an index on
// the time nor a long transaction.
const (
	idSlices     = 4096
	forgetPause  = 10 * time.Second // between two slices, at most
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

// forget makes one pass: it drops the ids seen before the given time, except
// those of events that are still in the queue, however old: forgetting these
// would let a repeated delivery in as a second event. next is asked before
// each slice. A crash anywhere leaves ids that the next pass drops.
//
// The time is fixed for the pass, so the exceptions are too: an event accepted
// later is younger, and one that is recorded meanwhile only waits for the next
// pass. A pass starts anywhere, for the sake of a process restarted often.
func (q *Queue) forget(ctx context.Context, before time.Time, next func() bool) (int, error) {
	reading, cancel := q.limit(ctx)
	defer cancel()
	keep, err := q.unexpirable(reading, before)
	if err != nil {
		return 0, err
	}
	total, first := 0, rand.IntN(idSlices)
	for i := range idSlices {
		if i > 0 && !next() {
			return total, nil
		}
		n, err := q.forgetSlice(ctx, (first+i)%idSlices, before, keep)
		if err != nil {
			return total, err
		}
		total += n
	}
	return total, nil
}

// unexpirable returns the ids of the events in the queue that were received
// before the given time.
func (q *Queue) unexpirable(ctx context.Context, before time.Time) (map[provenance.EventID]bool, error) {
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

func (q *Queue) forgetSlice(ctx context.Context, slice int, before time.Time, keep map[provenance.EventID]bool) (int, error) {
	from := binary.BigEndian.AppendUint16(nil, uint16(slice<<4))
	to := binary.BigEndian.AppendUint16(nil, uint16((slice+1)<<4))
	if slice == idSlices-1 {
		to = []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff} // no hash comes after
	}
	old, err := q.expiredIDs(ctx, from, to, before, keep)
	if err != nil || len(old) == 0 {
		return 0, err
	}
	err = q.writer.do(ctx, &op{rows: len(old), run: func(b *batch) error { return q.backend.forgetIDs(b, old) }})
	return len(old), err
}

func (q *Queue) expiredIDs(ctx context.Context, from, to []byte, before time.Time, keep map[provenance.EventID]bool) ([][]byte, error) {
	ctx, cancel := q.limit(ctx)
	defer cancel()
	rows, err := q.reads.expiredIDs.QueryContext(ctx, from, to, before.Unix())
	if err != nil {
		return nil, sqldb.Wrap(err, "read old ids")
	}
	defer rows.Close()
	var old [][]byte
	for rows.Next() {
		var id []byte
		if err := rows.Scan(&id); err != nil {
			return nil, sqldb.Wrap(err, "read old ids")
		}
		if len(id) != len(provenance.EventID{}) || !keep[provenance.EventID(id)] {
			old = append(old, id)
		}
	}
	return old, sqldb.Wrap(rows.Err(), "read old ids")
}
