package queue

import (
	"context"
	"slices"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// MaxDeliveries is how many deliveries one Accept takes.
const MaxDeliveries = maxBatchRows

// seenBody is how much of a body's hash is kept for ever: enough to tell two
// bodies apart, half of it to keep the table of ids small.
const seenBody = 16

// Accepted counts what Accept did.
type Accepted struct{ New, Duplicate int }

// newItem is a row of items in the making.
type newItem struct {
	delivery *Delivery
	event    []byte
	repo     repo
}

// Accept stores deliveries, all or none, and returns after they are on disk.
// A delivery whose Event.ID is known, recorded already or not, counts as a
// duplicate and changes nothing.
//
// Errors: WB_INVALID for a malformed event or more than MaxDeliveries;
// WB_CONFLICT when an Event.ID is known with another BodyHash; WB_FULL when
// the queue or its disk is full (answer 503 and Retry-After); WB_UNAVAILABLE
// when ctx ends before the writer takes the call or the queue is closed;
// WB_INTERNAL when the commit failed, and then nothing may be acknowledged.
func (q *Queue) Accept(ctx context.Context, deliveries []Delivery) (Accepted, error) {
	if len(deliveries) == 0 {
		return Accepted{}, nil
	}
	if len(deliveries) > MaxDeliveries {
		return Accepted{}, provenance.Errorf(provenance.Invalid, "accept %d deliveries: at most %d at once", len(deliveries), MaxDeliveries)
	}
	events := make([][]byte, len(deliveries))
	for i, d := range deliveries {
		var err error
		if events[i], err = provenance.EncodeSegment([]provenance.Event{d.Event}); err != nil {
			return Accepted{}, err
		}
	}
	if err := q.disk.check(q.now()); err != nil {
		return Accepted{}, err
	}
	var accepted Accepted
	var repos map[repoKey]repo
	var lanes map[int]bool
	err := q.writer.do(ctx, &op{
		rows: len(deliveries), bare: true,
		run: func(b *batch) (err error) {
			before := len(b.items)
			accepted, err = q.accept(b, deliveries, events)
			repos, lanes = b.repos, b.lanes(before)
			return err
		},
		after: func() {
			q.waiting.Add(int64(accepted.New))
			for k, r := range repos {
				q.repos[k] = r
			}
			for lane := range lanes {
				q.announce(lane)
			}
		},
	})
	if err != nil {
		return Accepted{}, err
	}
	return accepted, nil
}

// accept adds one caller's deliveries to the transaction. A refusal takes back
// what this caller added, and only that.
func (q *Queue) accept(b *batch, deliveries []Delivery, events [][]byte) (Accepted, error) {
	var accepted Accepted
	var added [][]byte
	before := len(b.items)
	for i := range deliveries {
		d := &deliveries[i]
		fresh, err := b.see(d.Event.ID[:], d.BodyHash[:seenBody])
		if err == nil && fresh {
			added = append(added, d.Event.ID[:])
			err = q.room(b)
		}
		if err == nil && fresh {
			var r repo
			if r, err = q.repository(b, repoKey{d.Host, d.Event.Repository}); err == nil {
				b.items = append(b.items, newItem{delivery: d, event: events[i], repo: r})
			}
		}
		if err != nil {
			if !isDatabase(err) {
				b.items = b.items[:before]
				err = firstError(b.unsee(added), err)
			}
			return Accepted{}, err
		}
		if fresh {
			accepted.New++
		} else {
			accepted.Duplicate++
		}
	}
	return accepted, nil
}

// lanes returns the lanes of the items from the given one on.
func (b *batch) lanes(from int) map[int]bool {
	lanes := map[int]bool{}
	for _, it := range b.items[from:] {
		lanes[it.repo.lane] = true
	}
	return lanes
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (q *Queue) room(b *batch) error {
	if q.waiting.Load()+q.sealed.Load()+int64(len(b.items)) >= int64(q.options.MaxPending) {
		return provenance.Errorf(provenance.Full, "queue holds %d items that are not yet recorded; that is its limit", q.options.MaxPending)
	}
	return nil
}

// see notes an event id; fresh is false for one that is known with the same body.
func (b *batch) see(id, body []byte) (fresh bool, err error) {
	ctx := context.Background()
	result, err := b.w.stmts.see.ExecContext(ctx, id, body)
	if err != nil {
		return false, fail(err, "accept event")
	}
	if n, err := result.RowsAffected(); err != nil || n == 1 {
		return n == 1, fail(err, "accept event")
	}
	var known []byte
	if err := b.w.stmts.seen.QueryRowContext(ctx, id).Scan(&known); err != nil {
		return false, fail(err, "accept event")
	}
	if !slices.Equal(known, body) {
		return false, provenance.Errorf(provenance.Conflict, "event %x was accepted before with another body", id)
	}
	return false, nil
}

func (b *batch) unsee(ids [][]byte) error {
	for _, id := range ids {
		if _, err := b.w.stmts.unsee.ExecContext(context.Background(), id); err != nil {
			return fail(err, "take back event")
		}
	}
	return nil
}

// repository finds or makes the row of a repository. A row made for a caller
// that is refused stays: it says nothing about any event.
func (q *Queue) repository(b *batch, k repoKey) (repo, error) {
	if r, ok := b.repos[k]; ok {
		return r, nil
	}
	r, ok := q.repos[k]
	if ok {
		return r, nil
	}
	r.lane = laneOf(k.host, k.name, q.options.Lanes)
	result, err := b.w.stmts.addRepo.ExecContext(context.Background(), string(k.host), string(k.name), r.lane)
	if err != nil {
		return repo{}, fail(err, "add repository")
	}
	if r.id, err = result.LastInsertId(); err != nil {
		return repo{}, fail(err, "add repository")
	}
	if b.repos == nil {
		b.repos = map[repoKey]repo{}
	}
	b.repos[k] = r
	return r, nil
}

// flush writes the batch's items, many rows to a statement where there are many.
func (b *batch) flush() error {
	ctx := context.Background()
	args := make([]any, 0, insertRows*itemColumns)
	for rest := b.items; len(rest) > 0; {
		n, stmt := 1, b.w.stmts.addOne
		if len(rest) >= insertRows {
			n, stmt = insertRows, b.w.stmts.addMany
		}
		args = args[:0]
		for _, it := range rest[:n] {
			args = append(args, it.repo.lane, it.repo.id, it.delivery.Connector, it.event, it.delivery.BodyHash[:], it.delivery.ReceivedAt.UnixMilli())
		}
		if _, err := stmt.ExecContext(ctx, args...); err != nil {
			return fail(err, "accept events")
		}
		rest = rest[n:]
	}
	return nil
}
