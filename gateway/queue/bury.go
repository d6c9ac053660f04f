package queue

import (
	"context"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// Bury sets an item aside as a dead letter, with the reason an operator will
// read. It fails with WB_CONFLICT when the item is no longer waiting, or with
// ErrLaneLost. A crash before: the item is handed out again and buried again.
func (q *Queue) Bury(ctx context.Context, item Item, reason string) error {
	n, err := q.BuryAll(ctx, []Item{item}, []string{reason})
	if err == nil && n == 0 {
		return provenance.Errorf(provenance.Conflict, "the item has moved on")
	}
	return err
}

// BuryAll is Bury for many items at once, each with its reason. Those that are
// no longer waiting are left out; it returns how many were set aside.
func (q *Queue) BuryAll(ctx context.Context, items []Item, why []string) (int, error) {
	if len(items) == 0 {
		return 0, nil
	}
	return q.bury(ctx, items, why, func(*batch) error { return nil })
}

// Supersede is Skip, and sets the items that were to be in the segment aside
// with the reason, in one commit: after a crash between the two, whatever comes
// next would be set aside as well. Items that are no longer waiting are left out.
func (q *Queue) Supersede(ctx context.Context, lane int, seq uint64, items []Item, reason string) error {
	_, err := q.bury(ctx, items, reasons(items, reason), func(b *batch) error { return q.skip(b, lane, seq) })
	return err
}

// bury sets items aside, and does what else belongs to it in the same commit.
func (q *Queue) bury(ctx context.Context, items []Item, why []string, also func(*batch) error) (int, error) {
	var by map[string]int64
	var total int64
	err := q.writer.do(ctx, &op{
		rows: len(items) + 1,
		run: func(b *batch) error {
			by, total = map[string]int64{}, 0
			if err := b.fenceItems(items); err != nil {
				return err
			}
			for i, it := range items {
				result, err := b.w.stmts.bury.ExecContext(b.ctx, clip(why[i]), it.ID)
				if err != nil {
					return sqldb.Wrap(err, "set item aside")
				}
				n, err := result.RowsAffected()
				if err != nil {
					return sqldb.Wrap(err, "set item aside")
				}
				by[it.Connector] += n
				total += n
			}
			return also(b)
		},
		after: func() {
			q.waiting.Add(-total)
			q.dead.Add(total)
			q.countPending(by, -1)
			q.mu.Lock()
			defer q.mu.Unlock()
			q.unlease(items)
		},
	})
	q.returnUnchanged(items, err)
	return int(total), err
}
