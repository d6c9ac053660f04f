package queue

import (
	"context"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// SelfTest does with deliveries what Accept does, and takes it back in the same
// transaction: their ids are looked up and noted, their rows written, the limits
// asked and the commit synced, but nothing of it stands afterwards. No row is
// ever visible to a lease, so that whatever a crash leaves, a delivery that was
// tried is never recorded.
//
// Accepted and errors are Accept's.
func (q *Queue) SelfTest(ctx context.Context, deliveries []delivery.Delivery) (delivery.Accepted, error) {
	if len(deliveries) == 0 {
		return delivery.Accepted{}, nil
	}
	deliveries = withPlaceholders(deliveries)
	events, err := q.encodeAll(deliveries)
	if err != nil {
		return delivery.Accepted{}, err
	}
	var accepted delivery.Accepted
	err = q.writer.do(ctx, &op{rows: len(deliveries), deliveries: deliveries, run: func(b *batch) (err error) {
		accepted, err = q.runSelfTest(b, deliveries, events)
		return err
	}})
	if err != nil {
		return delivery.Accepted{}, err
	}
	return accepted, nil
}

// runSelfTest runs inside a savepoint: an error takes back what it wrote.
func (q *Queue) runSelfTest(b *batch, deliveries []delivery.Delivery, events [][]byte) (delivery.Accepted, error) {
	var accepted delivery.Accepted
	var noted [][]byte
	for i := range deliveries {
		d := &deliveries[i]
		fresh, err := q.backend.noteID(b, d.Event.ID[:], d.BodyHash[:dedupBody], dedupTime(b.now, d))
		if err == nil && fresh {
			noted = append(noted, d.Event.ID[:])
			err = firstError(q.room(b, d.Connector), q.insertAndDelete(b, d, events[i]))
		}
		if err != nil {
			return delivery.Accepted{}, firstError(q.backend.forgetIDs(b, noted), err)
		}
		if fresh {
			accepted.New++
		} else {
			accepted.Duplicate++
		}
	}
	return accepted, q.backend.forgetIDs(b, noted)
}

// writeOnce writes a row as flush would, and deletes it.
func (q *Queue) insertAndDelete(b *batch, d *delivery.Delivery, event []byte) error {
	key := repoKey{d.Host, d.Event.Repository}
	r, ok := q.repos[key]
	if !ok { // a repository of samples gets no row of its own
		r = repo{lane: laneOf(key.host, key.name, q.options.Lanes)}
	}
	var id int64
	err := b.w.conn.QueryRowContext(b.ctx, q.backend.bind(`INSERT INTO items (state, lane, repo, connector, event, body, received, attempts, due, reason)
		VALUES (0, ?, ?, ?, ?, ?, ?, 0, 0, '') RETURNING id`), r.lane, r.id, d.Connector, event, d.BodyHash[:], d.ReceivedAt.UnixMilli()).Scan(&id)
	if err != nil {
		return sqldb.Wrap(err, "try event")
	}
	_, err = b.w.conn.ExecContext(b.ctx, q.backend.bind(`DELETE FROM items WHERE id = ?`), id)
	return sqldb.Wrap(err, "take back event")
}

// admissible encodes deliveries and asks whether there is disk for them.
func (q *Queue) encodeAll(deliveries []delivery.Delivery) ([][]byte, error) {
	if len(deliveries) > MaxDeliveries {
		return nil, provenance.Errorf(provenance.Invalid, "accept %d deliveries: at most %d at once", len(deliveries), MaxDeliveries)
	}
	events := make([][]byte, len(deliveries))
	for i, d := range deliveries {
		var err error
		if events[i], err = provenance.EncodeSegment([]provenance.Event{d.Event}); err != nil {
			return nil, err
		}
	}
	if q.disk != nil {
		if err := q.disk.check(q.now()); err != nil {
			return nil, err
		}
	}
	return events, nil
}
