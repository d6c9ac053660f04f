package queue

import (
	"context"

	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// Discard takes waiting items out of the queue that turned out to say nothing that is
// not said already. Their ids are forgotten: delivered again, they are looked at again,
// and nobody takes them for lost. Items that are no longer waiting are left out; it
// returns how many went. It fails with ErrLaneLost.
// A crash before: they are handed out again, and say nothing then either.
func (q *Queue) Discard(ctx context.Context, items []Item) (int, error) {
	if len(items) == 0 {
		return 0, nil
	}
	var by map[string]int64
	var total int64
	err := q.writer.do(ctx, &op{
		rows: len(items) + 1,
		run: func(b *batch) error {
			by, total = map[string]int64{}, 0
			if err := b.fenceItems(items); err != nil {
				return err
			}
			var gone [][]byte
			for _, it := range items {
				result, err := b.w.stmts.discard.ExecContext(b.ctx, it.ID)
				if err != nil {
					return sqldb.Wrap(err, "discard item")
				}
				n, err := result.RowsAffected()
				if err != nil {
					return sqldb.Wrap(err, "discard item")
				}
				if n > 0 {
					by[it.Connector]++
					total++
					gone = append(gone, it.Event.ID[:])
				}
			}
			return q.backend.forgetIDs(b, gone)
		},
		after: func() {
			q.waiting.Add(-total)
			q.countPending(by, -1)
			q.mu.Lock()
			defer q.mu.Unlock()
			q.unlease(items)
		},
	})
	q.returnUnchanged(items, err)
	return int(total), err
}
