package queue

import (
	"bytes"
	"context"
	"strconv"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// sameBody compares a delivery's body with the one that is known of its id. An
// empty one stands for a body that is not known (see MarkKnown).
func sameBody(known, body []byte) bool { return len(known) == 0 || bytes.Equal(known, body) }

// Confirm takes waiting and dead items out of the queue because their events
// stand on the ledger; their ids stay known. Call it only when a block was seen
// that holds them. Items that are gone or sealed are left out. It returns how
// many it took. They are not counted as done: that this queue had recorded them
// is what it has forgotten (see SetDone), or another one did.
// A crash before: nothing changed, the ledger still has them.
func (q *Queue) Confirm(ctx context.Context, ids []int64) (int, error) {
	if len(ids) > maxBatchRows {
		return 0, provenance.Errorf(provenance.Invalid, "confirm %d items: at most %d at once", len(ids), maxBatchRows)
	}
	if len(ids) == 0 {
		return 0, nil
	}
	var waiting, dead int64
	var by map[string]int64
	// No fence: a replica that leased one of them cannot seal it any more, and asks again.
	err := q.writer.do(ctx, &op{
		rows: len(ids),
		run: func(b *batch) (err error) {
			if by, waiting, err = b.drop(ids, stateWaiting); err != nil {
				return err
			}
			_, dead, err = b.drop(ids, stateDead)
			return err
		},
		after: func() {
			q.waiting.Add(-waiting)
			q.dead.Add(-dead)
			q.countPending(by, -1)
		},
	})
	if err != nil {
		return 0, err
	}
	return int(waiting + dead), nil
}

// drop deletes those of the items that are in the state, and counts them by connector.
func (b *batch) drop(ids []int64, state int) (by map[string]int64, total int64, err error) {
	where := ` FROM items WHERE state = ` + strconv.Itoa(state) + ` AND id IN (` + list(ids) + `)`
	stmt, err := b.w.conn.PrepareContext(b.ctx, `SELECT connector, count(*)`+where+` GROUP BY connector`)
	if err != nil {
		return nil, 0, sqldb.Wrap(err, "confirm items")
	}
	defer stmt.Close() //nolint:errcheck // it was only read from
	if by, total, err = b.connectors(stmt); err != nil {
		return nil, 0, err
	}
	_, err = b.w.conn.ExecContext(b.ctx, `DELETE`+where)
	return by, total, sqldb.Wrap(err, "confirm items")
}

// Bind makes exactly these items the sealed ones of a lane, and the lane's
// others wait: what holds for the items of the open segment, and for none where
// there is no open segment. Dead letters and items of other lanes are left alone.
// A crash before: nothing changed. ErrLaneLost: as a crash before.
func (q *Queue) Bind(ctx context.Context, lane int, ids []int64) error {
	var freed, bound int64
	return q.writer.do(ctx, &op{
		rows: max(1, len(ids)),
		run: func(b *batch) (err error) {
			if err := q.fence(b, lane); err != nil {
				return err
			}
			if len(ids) > 0 && b.checkOpen(lane) == nil {
				return provenance.Errorf(provenance.Conflict, "lane %d: no segment is open", lane)
			}
			these := list(append([]int64{0}, ids...)) // no item has the id 0, and a list has members
			of := ` WHERE lane = ` + strconv.Itoa(lane) + ` AND state = `
			if freed, err = b.update(`UPDATE items SET state = 0` + of + `1 AND id NOT IN (` + these + `)`); err != nil {
				return err
			}
			bound, err = b.update(`UPDATE items SET state = 1` + of + `0 AND id IN (` + these + `)`)
			return err
		},
		after: func() {
			q.waiting.Add(freed - bound)
			q.sealed.Add(bound - freed)
			q.announce(lane)
		},
	})
}

func (b *batch) update(query string) (int64, error) {
	result, err := b.w.conn.ExecContext(b.ctx, query)
	if err != nil {
		return 0, sqldb.Wrap(err, "repair items")
	}
	n, err := result.RowsAffected()
	return n, sqldb.Wrap(err, "repair items")
}

// MarkKnown notes ids of events that stand on the ledger or in this queue and are
// not known here: a delivery of one of them is then a duplicate, whatever its
// body. Ids that are known are left as they are.
// A crash before: nothing changed.
func (q *Queue) MarkKnown(ctx context.Context, ids []provenance.EventID) error {
	if len(ids) > maxBatchRows {
		return provenance.Errorf(provenance.Invalid, "note %d ids: at most %d at once", len(ids), maxBatchRows)
	}
	return q.writer.do(ctx, &op{
		rows: len(ids),
		run:  func(b *batch) error { return q.backend.markKnown(b, ids) },
	})
}

// SetDone corrects how many events of this queue were recorded. It is a count
// for people; nothing else follows from it.
func (q *Queue) SetDone(ctx context.Context, n int64) error {
	return q.writer.do(ctx, &op{
		rows: 1,
		run: func(b *batch) error {
			_, err := b.update(`UPDATE meta SET done = ` + strconv.FormatInt(n, 10))
			return err
		},
		after: func() { q.done.Store(n) },
	})
}
