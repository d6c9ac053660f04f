package queue

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Lease hands out up to n due items of one lane for d, oldest first and all of
// one registry host. It returns none when nothing is due.
//
// Order per repository holds: while an item of a repository waits for its
// retry, or is leased and not yet sealed, released or returned, Lease hands out
// no other item of that repository. When d runs out the items may be handed
// out again; Seal then lets only one of the two holders have them.
func (q *Queue) Lease(ctx context.Context, lane, n int, d time.Duration) ([]Item, error) {
	if lane < 0 || lane >= q.options.Lanes || n < 1 {
		return nil, provenance.Errorf(provenance.Invalid, "lease %d items of lane %d: the queue has %d lanes", n, lane, q.options.Lanes)
	}
	if err := q.writer.Broken(); err != nil {
		return nil, err
	}
	q.leasing[lane].Lock()
	defer q.leasing[lane].Unlock()
	now := q.now()
	items, err := q.due(ctx, lane, n, q.blocked(lane, now))
	if err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.leases[lane] == nil {
		q.leases[lane] = map[int64]leasing{}
	}
	for _, it := range items {
		q.leases[lane][it.ID] = leasing{repo: it.repo, expires: now.Add(d)}
	}
	return items, nil
}

// due reads without holding q.mu: the writer must not wait for a long scan.
func (q *Queue) due(ctx context.Context, lane, n int, blocked map[int64]bool) ([]Item, error) {
	rows, err := q.leaseRows(ctx, lane, blocked)
	if err != nil {
		return nil, fail(err, "lease items")
	}
	defer rows.Close()
	var items []Item
	for len(items) < n && rows.Next() {
		it, err := scanItem(rows)
		if err != nil {
			return nil, err
		}
		if len(items) > 0 && it.Host != items[0].Host {
			continue
		}
		items = append(items, it)
	}
	return items, fail(rows.Err(), "lease items")
}

// blocked returns the repositories whose turn has not come, and forgets holds
// and leases that have run out.
func (q *Queue) blocked(lane int, now time.Time) map[int64]bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	blocked := map[int64]bool{}
	for id, at := range q.held {
		if !at.After(now) {
			delete(q.held, id)
			continue
		}
		blocked[id] = true
	}
	for id, l := range q.leases[lane] {
		if !l.expires.After(now) {
			delete(q.leases[lane], id)
			continue
		}
		blocked[l.repo] = true
	}
	return blocked
}

// leaseRows leaves blocked repositories out inside SQLite, so that a registry
// that is down for a day does not cost a walk over its backlog in Go.
func (q *Queue) leaseRows(ctx context.Context, lane int, blocked map[int64]bool) (*sql.Rows, error) {
	if len(blocked) == 0 {
		return q.reads.lease.QueryContext(ctx, lane)
	}
	ids := make([]string, 0, len(blocked))
	for id := range blocked {
		ids = append(ids, strconv.FormatInt(id, 10))
	}
	return q.readers.QueryContext(ctx, `SELECT `+itemFields+` FROM items i JOIN repositories r ON r.id = i.repo
		WHERE i.state = 0 AND i.lane = ? AND i.repo NOT IN (`+strings.Join(ids, ",")+`) ORDER BY i.id`, lane)
}

func scanItem(rows *sql.Rows, more ...any) (Item, error) {
	var it Item
	var event, body sql.RawBytes
	var received int64
	fields := []any{&it.ID, &it.Lane, &it.Attempts, &it.repo, &it.Connector, &event, &body, &received, &it.Host}
	if err := rows.Scan(append(fields, more...)...); err != nil {
		return Item{}, fail(err, "read item")
	}
	events, err := provenance.DecodeSegment(event)
	if err != nil || len(events) != 1 {
		return Item{}, provenance.Wrap(provenance.Internal, err, "item %d is damaged in the queue's file", it.ID)
	}
	it.Event = events[0]
	copy(it.BodyHash[:], body)
	it.ReceivedAt = time.UnixMilli(received).UTC()
	return it, nil
}

// Release gives items back after a failed attempt, to be handed out again at
// the given time. Until then the later items of their repositories wait too.
// A crash before: the items are handed out at once, the attempt uncounted.
func (q *Queue) Release(ctx context.Context, items []Item, at time.Time, reason string) error {
	return q.writer.do(ctx, &op{
		rows: len(items),
		run: func(b *batch) error {
			for _, it := range items {
				if _, err := b.w.stmts.release.ExecContext(context.Background(), at.UnixMilli(), clip(reason), it.ID); err != nil {
					return fail(err, "release item")
				}
			}
			return nil
		},
		after: func() {
			q.mu.Lock()
			defer q.mu.Unlock()
			for _, it := range items {
				if at.After(q.held[it.repo]) {
					q.held[it.repo] = at
				}
			}
			q.unlease(items)
		},
	})
}

// Return gives items back untouched: nothing was tried with them.
func (q *Queue) Return(items []Item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.unlease(items)
}

func (q *Queue) unlease(items []Item) {
	for _, it := range items {
		delete(q.leases[it.Lane], it.ID)
	}
}

// Bury sets an item aside as a dead letter, with the reason an operator will
// read. It fails with WB_CONFLICT when the item is no longer waiting.
// A crash before: the item is handed out again and buried again.
func (q *Queue) Bury(ctx context.Context, item Item, reason string) error {
	return q.writer.do(ctx, &op{
		rows: 1,
		run: func(b *batch) error {
			return affect(1)(b.w.stmts.bury.ExecContext(context.Background(), clip(reason), item.ID))
		},
		after: func() {
			q.waiting.Add(-1)
			q.dead.Add(1)
			q.mu.Lock()
			defer q.mu.Unlock()
			q.unlease([]Item{item})
		},
	})
}

// affect checks that a statement changed as many rows as its caller holds.
func affect(want int) func(sql.Result, error) error {
	return func(result sql.Result, err error) error {
		if err != nil {
			return fail(err, "change items")
		}
		n, err := result.RowsAffected()
		if err != nil {
			return fail(err, "change items")
		}
		if n != int64(want) {
			return provenance.Errorf(provenance.Conflict, "%d of %d items have moved on", int64(want)-n, want)
		}
		return nil
	}
}

// clip bounds a reason; the log has the full text.
func clip(s string) string {
	const limit = 500
	if len(s) > limit {
		return strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return s
}
