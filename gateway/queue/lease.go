package queue

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// Lease hands out up to n due items of one lane for d, oldest first and all of
// one registry host. It returns none when nothing is due.
//
// Order holds where it means something: while an item waits for its retry, or
// is leased and not yet sealed, released or returned, Lease hands out no other
// item of that repository; while one waits that was set back alone (Defer), no
// later one of the same tag or digest. When d runs out the items may be handed
// out again; Seal then lets only one of the two holders have them.
//
// A backlog keeps nobody out: where one repository has more than half of what
// is oldest, a quarter is given to the others; where one host has a full batch,
// the next one is another host's, if there is any.
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
	want := q.wanted(lane, n, now)
	var items []Item
	err := sqldb.ReadAgain(func() (err error) {
		items, err = q.fair(ctx, lane, want, now)
		return err
	})
	if err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.shared() && q.laneHolds[lane].epoch != epoch {
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

// wanted is what a lease asks for.
type wanted struct {
	n        int
	blocked  map[int64]bool // repositories
	deferred map[int64]bool // items
	notHost  provenance.Host
	host     provenance.Host // only of this one; "": of the oldest item's
	after    int64           // an item; only later ones
}

// turns is whose turn it is in a lane: state of one Lease to the next, under leasing.
type turns struct {
	host provenance.Host // had a full batch last
	// Until when no other host, and no other repository, is looked for: none was
	// found. The one says nothing about the other.
	hostOnlyUntil, repoOnlyUntil time.Time
}

// fewItems is how many are read before a backlog is thought of.
const fewItems = 512

// lookAgain is how long it is believed that nobody else waits: to find out, a
// whole backlog is walked over.
const lookAgain = time.Second

// fair reads what is oldest, and makes room in it for those that a backlog
// would keep waiting.
func (q *Queue) fair(ctx context.Context, lane int, want wanted, now time.Time) ([]Item, error) {
	last := &q.turns[lane]
	if last.host != "" && !now.Before(last.hostOnlyUntil) {
		other := want
		other.notHost = last.host
		items, err := q.due(ctx, lane, other)
		if err != nil || len(items) > 0 {
			if last.host = ""; len(items) == want.n {
				last.host = items[0].Host
			}
			return items, err
		}
		last.hostOnlyUntil = now.Add(lookAgain)
	}
	items, err := q.due(ctx, lane, want)
	if err != nil || len(items) < want.n || want.n < 4 {
		last.host = ""
		return items, err
	}
	last.host = items[0].Host
	count := map[int64]int{}
	var most int64
	for _, it := range items {
		if count[it.repo]++; count[it.repo] > count[most] {
			most = it.repo
		}
	}
	if count[most] <= want.n/2 || now.Before(last.repoOnlyUntil) {
		return items, nil
	}
	others := wanted{n: want.n / 4, host: items[0].Host, blocked: maps.Clone(want.blocked), deferred: want.deferred}
	others.blocked[most] = true
	if len(want.deferred) == 0 {
		others.after = items[len(items)-1].ID // what comes before is among the items
	} else {
		others.n += want.n - count[most] // what those are behind may come before
	}
	rest, err := q.due(ctx, lane, others)
	if err != nil {
		return nil, err
	}
	return mixed(items, rest, most, last, now), nil
}

// mixed puts the items of other repositories in the place of the newest of the
// one that has most. Of each repository what it had first stays, without a gap.
func mixed(items, rest []Item, most int64, last *turns, now time.Time) []Item {
	known := map[int64]bool{}
	for _, it := range items {
		known[it.ID] = true
	}
	fresh := slices.DeleteFunc(rest, func(it Item) bool { return known[it.ID] || it.Host != items[0].Host })
	if len(fresh) == 0 {
		last.repoOnlyUntil = now.Add(lookAgain)
		return items
	}
	stay := -len(fresh) // of the one that has most
	for _, it := range items {
		if it.repo == most {
			stay++
		}
	}
	items = slices.DeleteFunc(items, func(it Item) bool {
		if it.repo != most {
			return false
		}
		stay--
		return stay < 0
	})
	items = append(items, fresh...)
	slices.SortFunc(items, func(a, b Item) int { return cmp.Compare(a.ID, b.ID) })
	return items
}

// due reads without holding q.mu: the writer must not wait for a long scan.
func (q *Queue) due(ctx context.Context, lane int, want wanted) ([]Item, error) {
	rows, err := q.backend.leaseRows(ctx, lane, want)
	if err != nil {
		return nil, sqldb.Wrap(err, "lease items")
	}
	defer rows.Close()
	var items []Item
	behind := map[Name]bool{} // names of what waits
	for len(items) < want.n && rows.Next() {
		it, err := scanItem(rows)
		if err != nil {
			return nil, err
		}
		if len(want.deferred) > 0 {
			names := it.Names()
			if want.deferred[it.ID] || slices.ContainsFunc(names, func(n Name) bool { return behind[n] }) {
				for _, n := range names {
					behind[n] = true
				}
				continue
			}
		}
		if len(items) > 0 && it.Host != items[0].Host {
			continue
		}
		if len(items) == cap(items) && len(items) >= fewItems {
			items = slices.Grow(items, want.n-len(items)) // there will be as many, and they are large
		}
		items = append(items, it)
	}
	return items, sqldb.Wrap(rows.Err(), "lease items")
}

// Name is what an event is about, as far as order matters: two events of one
// repository that share a tag or a digest stay in their order.
type Name struct {
	repository int64
	digest     provenance.Digest
	tag        provenance.Tag
}

// Names returns an item's names: its digest and its tag, as far as it has them.
func (it Item) Names() []Name {
	names := make([]Name, 0, 2)
	if !it.Event.Digest.IsZero() {
		names = append(names, Name{repository: it.repo, digest: it.Event.Digest})
	}
	if it.Event.Tag != "" {
		names = append(names, Name{repository: it.repo, tag: it.Event.Tag})
	}
	return names
}

// wanted notes the repositories and items whose turn has not come, and forgets
// holds and leases that have run out.
func (q *Queue) wanted(lane, n int, now time.Time) wanted {
	q.mu.Lock()
	defer q.mu.Unlock()
	want := wanted{n: n, blocked: map[int64]bool{}, deferred: map[int64]bool{}}
	for id, at := range q.retryAfter {
		if !at.After(now) {
			delete(q.retryAfter, id)
			continue
		}
		want.blocked[id] = true
	}
	for id, at := range q.deferred[lane] {
		if !at.After(now) {
			delete(q.deferred[lane], id)
			continue
		}
		want.deferred[id] = true
	}
	for id, l := range q.leases[lane] {
		if !l.expires.After(now) {
			delete(q.leases[lane], id)
			continue
		}
		want.blocked[l.repo] = true
	}
	return want
}

func scanItem(rows *sql.Rows, more ...any) (Item, error) {
	var it Item
	// Not sql.RawBytes: rows left early would keep their lock, and a context that
	// ends meanwhile waits for it while Rows.Err waits for the context.
	var event, body []byte
	var received int64
	fields := []any{&it.ID, &it.Lane, &it.Attempts, &it.repo, &it.Connector, &event, &body, &received, &it.Host}
	if err := rows.Scan(append(fields, more...)...); err != nil {
		return Item{}, sqldb.Wrap(err, "read item")
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
	return q.release(ctx, items, reasons(items, reason), at, func(it Item) {
		if at.After(q.retryAfter[it.repo]) {
			q.retryAfter[it.repo] = at
		}
	})
}

// Defer is Release for items whose repository's others need not wait: until
// the given time only later ones of the same tag or digest do. Each has a reason
// of its own. After a restart the repository waits, until then.
func (q *Queue) Defer(ctx context.Context, items []Item, at time.Time, why []string) error {
	return q.release(ctx, items, why, at, func(it Item) {
		if q.deferred[it.Lane] == nil {
			q.deferred[it.Lane] = map[int64]time.Time{}
		}
		q.deferred[it.Lane][it.ID] = at
	})
}

func reasons(items []Item, reason string) []string {
	return slices.Repeat([]string{reason}, len(items))
}

func (q *Queue) release(ctx context.Context, items []Item, why []string, at time.Time, hold func(Item)) error {
	if len(items) == 0 {
		return nil
	}
	err := q.writer.do(ctx, &op{
		rows: len(items),
		run: func(b *batch) error {
			if err := b.fenceItems(items); err != nil {
				return err
			}
			for i, it := range items {
				if _, err := b.w.stmts.release.ExecContext(b.ctx, at.UnixMilli(), clip(why[i]), it.ID); err != nil {
					return sqldb.Wrap(err, "release item")
				}
			}
			return nil
		},
		after: func() {
			q.mu.Lock()
			defer q.mu.Unlock()
			for _, it := range items {
				hold(it)
			}
			q.unlease(items)
		},
	})
	q.returnUnchanged(items, err)
	return err
}

// Postpone gives items back untouched, and with them their repositories wait
// until the given time, in this process: nothing was tried with them, because
// what they need is known to be away.
func (q *Queue) Postpone(items []Item, at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, it := range items {
		if at.After(q.retryAfter[it.repo]) {
			q.retryAfter[it.repo] = at
		}
	}
	q.unlease(items)
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
		if q.laneHolds[it.Lane].epoch == it.epoch { // else the lease went with the lane
			delete(q.leases[it.Lane], it.ID)
		}
	}
}

// affect checks that a statement changed as many rows as its caller holds.
func affect(want int) func(sql.Result, error) error {
	return func(result sql.Result, err error) error {
		if err != nil {
			return sqldb.Wrap(err, "change items")
		}
		n, err := result.RowsAffected()
		if err != nil {
			return sqldb.Wrap(err, "change items")
		}
		if n != int64(want) {
			return provenance.Errorf(provenance.Conflict, "%d of %d items have moved on", int64(want)-n, want)
		}
		return nil
	}
}
