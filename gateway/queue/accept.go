package queue

import (
	"context"
	"slices"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// MaxDeliveries is how many deliveries one Accept takes.
const MaxDeliveries = maxBatchRows

// dedupBody is how much of a body's hash is kept for ever: enough to tell two
// bodies apart, half of it to keep the table of ids small.
const dedupBody = 16

// newItem is a row of items in the making.
type newItem struct {
	delivery *delivery.Delivery
	event    []byte
	repo     repo
}

// Accept stores deliveries, all or none, and returns after they are on disk.
// A delivery whose Event.ID is known, recorded already or not, counts as a
// duplicate and changes nothing. An unresolved push is stored under
// delivery.Placeholder, and listed without a digest where it is a dead letter.
//
// Errors: WB_INVALID for a malformed event or more than MaxDeliveries;
// WB_CONFLICT when an Event.ID is known with another BodyHash; WB_FULL when
// the queue, the connector's share of it or its disk is full (answer 503 and
// Retry-After); WB_UNAVAILABLE when ctx ends before the writer takes the call,
// the queue is closed or its server does not answer; WB_INTERNAL when the
// commit failed. After any error nothing may be acknowledged.
func (q *Queue) Accept(ctx context.Context, deliveries []delivery.Delivery) (delivery.Accepted, error) {
	if len(deliveries) == 0 {
		return delivery.Accepted{}, nil
	}
	if q.admit != nil {
		if err := q.admit(ctx); err != nil {
			return delivery.Accepted{}, err
		}
	}
	deliveries = withPlaceholders(deliveries)
	events, err := q.encodeAll(deliveries)
	if err != nil {
		return delivery.Accepted{}, err
	}
	var accepted delivery.Accepted
	var repos map[repoKey]repo
	var lanes map[int]bool
	var added map[string]int64
	err = q.writer.do(ctx, &op{
		rows: len(deliveries), bare: true, deliveries: deliveries,
		run: func(b *batch) (err error) {
			before := len(b.items)
			accepted, err = q.accept(b, deliveries, events)
			repos, lanes, added = b.repos, b.lanes(before), byConnector(b.items[before:])
			return err
		},
		after: func() {
			q.waiting.Add(int64(accepted.New))
			q.countPending(added, 1)
			for k, r := range repos {
				q.repos[k] = r
			}
			for lane := range lanes {
				q.announce(lane)
			}
		},
	})
	if err != nil {
		return delivery.Accepted{}, err
	}
	return accepted, nil
}

// withPlaceholders gives pushes that name a tag only the digest that a row needs.
func withPlaceholders(deliveries []delivery.Delivery) []delivery.Delivery {
	if !slices.ContainsFunc(deliveries, delivery.Delivery.Unresolved) {
		return deliveries
	}
	out := slices.Clone(deliveries)
	for i, d := range out {
		if d.Unresolved() {
			out[i].Event.Digest = delivery.Placeholder()
		}
	}
	return out
}

// accept adds one caller's deliveries to the transaction. A refusal takes back
// what this caller added, and only that.
func (q *Queue) accept(b *batch, deliveries []delivery.Delivery, events [][]byte) (delivery.Accepted, error) {
	var accepted delivery.Accepted
	var noted [][]byte
	before := len(b.items)
	for i := range deliveries {
		d := &deliveries[i]
		fresh, err := q.backend.noteID(b, d.Event.ID[:], d.BodyHash[:dedupBody], dedupTime(b.now, d))
		if err == nil && fresh {
			noted = append(noted, d.Event.ID[:])
			err = q.room(b, d.Connector)
		}
		if err == nil && fresh {
			var r repo
			if r, err = q.repository(b, repoKey{d.Host, d.Event.Repository}); err == nil {
				b.items = append(b.items, newItem{delivery: d, event: events[i], repo: r})
				b.added[d.Connector]++
			}
		}
		if err != nil {
			if !isDatabase(err) {
				for _, it := range b.items[before:] {
					b.added[it.delivery.Connector]--
				}
				b.items = b.items[:before]
				err = firstError(q.backend.forgetIDs(b, noted), err)
			}
			return delivery.Accepted{}, err
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

func otherBody(id []byte) error {
	return provenance.Errorf(provenance.Conflict, "event %x was accepted before with another body", id)
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
	lane := laneOf(k.host, k.name, q.options.Lanes)
	if err := b.w.stmts.addRepo.QueryRowContext(b.ctx, string(k.host), string(k.name), lane).Scan(&r.id, &r.lane); err != nil {
		return repo{}, sqldb.Wrap(err, "add repository")
	}
	if b.repos == nil {
		b.repos = map[repoKey]repo{}
	}
	b.repos[k] = r
	return r, nil
}
