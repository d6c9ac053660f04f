package queue

import (
	"context"
	"database/sql"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// DeadLetter sets an item aside as a dead letter, with the reason an operator will
// read. It fails with WB_CONFLICT when the item is no longer waiting, or with
// ErrLaneLost. A crash before: the item is handed out again, and set aside again.
func (q *Queue) DeadLetter(ctx context.Context, item Item, reason string) error {
	n, err := q.DeadLetterAll(ctx, []Item{item}, []string{reason})
	if err == nil && n == 0 {
		return provenance.Errorf(provenance.Conflict, "the item has moved on")
	}
	return err
}

// DeadLetterAll is DeadLetter for many items at once, each with its reason. Those that are
// no longer waiting are left out; it returns how many were set aside.
func (q *Queue) DeadLetterAll(ctx context.Context, items []Item, why []string) (int, error) {
	if len(items) == 0 {
		return 0, nil
	}
	return q.setAside(ctx, items, why, func(*batch) error { return nil })
}

// Supersede is Skip, and sets the items that were to be in the segment aside
// with the reason, in one commit: after a crash between the two, whatever comes
// next would be set aside as well. Items that are no longer waiting are left out.
func (q *Queue) Supersede(ctx context.Context, lane int, seq uint64, items []Item, reason string) error {
	_, err := q.setAside(ctx, items, reasons(items, reason), func(b *batch) error { return q.skip(b, lane, seq) })
	return err
}

// setAside sets items aside, and does what else belongs to it in the same commit.
func (q *Queue) setAside(ctx context.Context, items []Item, why []string, also func(*batch) error) (int, error) {
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

// Dead lists dead letters with an id greater than after, in the order of their
// ids, which is that of arrival within a lane: at most limit (1 to 1,000).
func (q *Queue) Dead(ctx context.Context, after int64, limit int) ([]delivery.DeadLetter, error) {
	if limit < 1 || limit > 1000 {
		return nil, provenance.Errorf(provenance.Invalid, "list dead letters: want a limit of 1 to 1000, not %d", limit)
	}
	ctx, cancel := q.limit(ctx)
	defer cancel()
	rows, err := q.reads.dead.QueryContext(ctx, after, limit)
	if err != nil {
		return nil, sqldb.Wrap(err, "list dead letters")
	}
	defer rows.Close()
	var letters []delivery.DeadLetter
	for rows.Next() {
		var reason string
		it, err := scanItem(rows, &reason)
		if err != nil {
			return nil, err
		}
		if it.Event.Digest == delivery.Placeholder() {
			it.Event.Digest = provenance.Digest{}
		}
		letters = append(letters, delivery.DeadLetter{
			ID: it.ID, Host: it.Host, Connector: it.Connector, Event: it.Event, Attempts: it.Attempts, Reason: reason, ReceivedAt: it.ReceivedAt,
		})
	}
	return letters, sqldb.Wrap(rows.Err(), "list dead letters")
}

// Retry puts dead letters back to waiting, all of them when no id is given,
// and returns how many there were. A letter keeps its place in the order of
// arrival, but newer events of its repository may have been recorded since.
func (q *Queue) Retry(ctx context.Context, ids ...int64) (int, error) {
	var total int64
	var by map[string]int64
	err := q.writer.do(ctx, &op{
		rows: max(1, len(ids)),
		run: func(b *batch) (err error) {
			total, by = 0, map[string]int64{}
			if len(ids) == 0 {
				by, total, err = b.retry(b.w.stmts.allDead, b.w.stmts.retryAll)
				return err
			}
			for _, id := range ids {
				one, n, err := b.retry(b.w.stmts.deadOf, b.w.stmts.retry, id)
				if err != nil {
					return err
				}
				total += n
				for connector := range one {
					by[connector] += n
				}
			}
			return nil
		},
		after: func() {
			q.dead.Add(-total)
			q.waiting.Add(total)
			q.countPending(by, 1)
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

func (b *batch) retry(count, update *sql.Stmt, args ...any) (map[string]int64, int64, error) {
	by, _, err := b.connectors(count, args...)
	if err != nil {
		return nil, 0, err
	}
	result, err := update.ExecContext(b.ctx, args...)
	if err != nil {
		return nil, 0, sqldb.Wrap(err, "retry dead letters")
	}
	n, err := result.RowsAffected()
	return by, n, sqldb.Wrap(err, "retry dead letters")
}

// clip bounds a reason, part of which a registry has said, and makes it readable;
// the log has the whole.
func clip(s string) string {
	const limit = 500
	return clipTo(s, limit)
}

func clipTo(s string, limit int) string {
	return provenance.CleanText(strings.ReplaceAll(s, "\n", "; "), limit)
}
