package queue

import (
	"context"
	"database/sql"
	"errors"
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
	epoch, ok := q.mayLease(lane)
	if !ok {
		return nil, nil
	}
	ctx, cancel := q.limit(ctx)
	defer cancel()
	now := q.now()
	blocked := q.blocked(lane, now)
	var items []Item
	err := readAgain(func() (err error) {
		items, err = q.due(ctx, lane, n, blocked)
		return err
	})
	if err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.shared() && q.tenures[lane].epoch != epoch {
		return nil, nil // lost meanwhile
	}
	if q.leases[lane] == nil {
		q.leases[lane] = map[int64]leasing{}
	}
	for i := range items {
		items[i].epoch = epoch
		q.leases[lane][items[i].ID] = leasing{repo: items[i].repo, expires: now.Add(d)}
	}
	return items, nil
}

// due reads without holding q.mu: the writer must not wait for a long scan.
func (q *Queue) due(ctx context.Context, lane, n int, blocked map[int64]bool) ([]Item, error) {
	rows, err := q.engine.leaseRows(ctx, lane, n, blocked)
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
		return Item{}, provenance.Wrap(provenance.Internal, err, "item %d is damaged in the queue", it.ID)
	}
	it.Event = events[0]
	copy(it.BodyHash[:], body)
	it.ReceivedAt = time.UnixMilli(received).UTC()
	return it, nil
}

// Release gives items back after a failed attempt, to be handed out again at
// the given time. Until then the later items of their repositories wait too.
// A crash before: the items are handed out at once, the attempt uncounted.
// ErrLaneLost: as a crash before, in another replica.
func (q *Queue) Release(ctx context.Context, items []Item, at time.Time, reason string) error {
	err := q.writer.do(ctx, &op{
		rows: len(items),
		run: func(b *batch) error {
			if err := b.fenceItems(items); err != nil {
				return err
			}
			for _, it := range items {
				if _, err := b.w.stmts.release.ExecContext(b.ctx, at.UnixMilli(), clip(reason), it.ID); err != nil {
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
	q.returnUnchanged(items, err)
	return err
}

// returnUnchanged ends the leases on items after a call whose outcome is not
// known, or that came too late: whoever asks next is told what stands.
func (q *Queue) returnUnchanged(items []Item, err error) {
	if q.shared() && (provenance.CodeOf(err) == provenance.Unavailable || errors.Is(err, ErrLaneLost)) {
		q.Return(items)
	}
}

// Return gives items back untouched: nothing was tried with them.
func (q *Queue) Return(items []Item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.unlease(items)
}

func (q *Queue) unlease(items []Item) {
	for _, it := range items {
		if q.tenures[it.Lane].epoch == it.epoch { // else the lease went with the lane
			delete(q.leases[it.Lane], it.ID)
		}
	}
}

// Bury sets an item aside as a dead letter, with the reason an operator will
// read. It fails with WB_CONFLICT when the item is no longer waiting, or with
// ErrLaneLost. A crash before: the item is handed out again and buried again.
func (q *Queue) Bury(ctx context.Context, item Item, reason string) error {
	err := q.writer.do(ctx, &op{
		rows: 1,
		run: func(b *batch) error {
			if err := b.fenceItems([]Item{item}); err != nil {
				return err
			}
			return affect(1)(b.w.stmts.bury.ExecContext(b.ctx, clip(reason), item.ID))
		},
		after: func() {
			q.waiting.Add(-1)
			q.dead.Add(1)
			q.countPending(map[string]int64{item.Connector: 1}, -1)
			q.mu.Lock()
			defer q.mu.Unlock()
			q.unlease([]Item{item})
		},
	})
	q.returnUnchanged([]Item{item}, err)
	return err
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

// clip bounds a reason and leaves out what is no text; the log has the whole.
func clip(s string) string {
	const limit = 500
	if len(s) > limit {
		s = s[:limit] + "…"
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, ""), "\x00", "")
}
