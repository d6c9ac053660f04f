package queue

import (
	"context"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// DeadLetter is an item that was set aside, and why.
type DeadLetter struct {
	Item
	Reason string
}

// Dead lists dead letters with an id greater than after, oldest first, at most
// limit (1 to 1,000).
func (q *Queue) Dead(ctx context.Context, after int64, limit int) ([]DeadLetter, error) {
	if limit < 1 || limit > 1000 {
		return nil, provenance.Errorf(provenance.Invalid, "list dead letters: want a limit of 1 to 1000, not %d", limit)
	}
	rows, err := q.reads.dead.QueryContext(ctx, after, limit)
	if err != nil {
		return nil, fail(err, "list dead letters")
	}
	defer rows.Close()
	var letters []DeadLetter
	for rows.Next() {
		var letter DeadLetter
		if letter.Item, err = scanItem(rows, &letter.Reason); err != nil {
			return nil, err
		}
		letters = append(letters, letter)
	}
	return letters, fail(rows.Err(), "list dead letters")
}

// Retry puts dead letters back to waiting, all of them when no id is given,
// and returns how many there were. A letter keeps its place in the order of
// arrival, but newer events of its repository may have been recorded since.
func (q *Queue) Retry(ctx context.Context, ids ...int64) (int, error) {
	var total int64
	err := q.writer.do(ctx, &op{
		rows: max(1, len(ids)),
		run: func(b *batch) error {
			ctx := context.Background()
			total = 0
			if len(ids) == 0 {
				result, err := b.w.stmts.retryAll.ExecContext(ctx)
				if err != nil {
					return fail(err, "retry dead letters")
				}
				total, err = result.RowsAffected()
				return fail(err, "retry dead letters")
			}
			for _, id := range ids {
				result, err := b.w.stmts.retry.ExecContext(ctx, id)
				if err != nil {
					return fail(err, "retry dead letters")
				}
				n, err := result.RowsAffected()
				if err != nil {
					return fail(err, "retry dead letters")
				}
				total += n
			}
			return nil
		},
		after: func() {
			q.dead.Add(-total)
			q.waiting.Add(total)
			for lane := range q.options.Lanes {
				q.announce(lane)
			}
		},
	})
	if err != nil {
		return 0, err
	}
	return int(total), nil
}
