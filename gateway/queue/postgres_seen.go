package queue

import (
	"context"
	"database/sql"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

func (*postgresBackend) markKnown(b *batch, ids []provenance.EventID) error {
	all := make([][]byte, len(ids))
	for i := range ids {
		all[i] = ids[i][:]
	}
	_, err := b.w.conn.ExecContext(b.ctx, `INSERT INTO seen (id, body, at) SELECT id, '', $2 FROM unnest($1::bytea[]) AS id ON CONFLICT (id) DO NOTHING`, all, b.now.Unix())
	return sqldb.Wrap(err, "note event ids")
}

func (e *postgresBackend) each(ctx context.Context, q *Queue, f func(provenance.EventID) error) error {
	for last, more := []byte{}, true; more; {
		n := 0
		reading, cancel := q.limit(ctx)
		rows, err := e.readers.QueryContext(reading, `SELECT id FROM seen WHERE id > $1 ORDER BY id LIMIT $2`, last, auditPage)
		err = rowsOf(rows, err)(func(rows *sql.Rows) error {
			var id []byte
			if err := rows.Scan(&id); err != nil {
				return err
			}
			n, last = n+1, id
			if len(id) != len(provenance.EventID{}) {
				return provenance.Errorf(provenance.Internal, "id %x is not one of an event", id)
			}
			return f(provenance.EventID(id))
		})
		cancel()
		if err != nil {
			return err
		}
		more = n == auditPage
	}
	return nil
}

// expire goes slice by slice: an id is a hash, so 4,096 slices of the range of
// ids hold about as much each, and a pass needs neither an index on the time
// nor a long transaction.
//
// The time is fixed for the pass, so the exceptions are too: an event accepted
// later is younger, and one that is recorded meanwhile only waits for the next
// pass. A pass starts anywhere, for the sake of a process restarted often.
func (e *postgresBackend) expire(ctx context.Context, q *Queue, before time.Time, next func() bool) (int, error) {
	queued, err := q.unexpirable(ctx, before)
	if err != nil {
		return 0, err
	}
	total, first := 0, rand.IntN(idSlices)
	for i := range idSlices {
		if i > 0 && !next() {
			return total, nil
		}
		n, err := e.expireSlice(ctx, q, (first+i)%idSlices, before, queued)
		if err != nil {
			return total, err
		}
		total += n
	}
	return total, nil
}

func (e *postgresBackend) expireSlice(ctx context.Context, q *Queue, slice int, before time.Time, queued map[provenance.EventID]bool) (int, error) {
	from := binary.BigEndian.AppendUint16(nil, uint16(slice<<4))
	to := binary.BigEndian.AppendUint16(nil, uint16((slice+1)<<4))
	if slice == idSlices-1 {
		to = []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff} // no hash comes after
	}
	old, err := e.expired(ctx, q, from, to, before, queued)
	if err != nil || len(old) == 0 {
		return 0, err
	}
	err = q.writer.do(ctx, &op{rows: len(old), run: func(b *batch) error { return e.forgetIDs(b, old) }})
	return len(old), err
}

func (e *postgresBackend) expired(ctx context.Context, q *Queue, from, to []byte, before time.Time, queued map[provenance.EventID]bool) ([][]byte, error) {
	ctx, cancel := q.limit(ctx)
	defer cancel()
	rows, err := e.readers.QueryContext(ctx, `SELECT id FROM seen WHERE id >= $1 AND id < $2 AND at < $3`, from, to, before.Unix())
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
		if len(id) != len(provenance.EventID{}) || !queued[provenance.EventID(id)] {
			old = append(old, id)
		}
	}
	return old, sqldb.Wrap(rows.Err(), "read old ids")
}
