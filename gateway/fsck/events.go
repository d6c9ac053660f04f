package fsck

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/queue"
)

// examples is how many of many things are named.
const examples = 3

// eventCheck walks three lists in step, each in the order of event ids: the
// events on the ledger, the items of the queue, and the ids the queue knows. An
// event that was accepted is either an item or on the ledger, once, and known.
type eventCheck struct {
	segments []written
	ledger   []standing
	items    []queue.AuditItem
	known    int64

	lost, forgotten []provenance.EventID
	twice           map[provenance.EventID][]string // where they stand
	repeated        map[queue.State][]int64         // items that stand on the ledger
	where           map[int64]string                // ... and in which segment
	doubled         []int64                         // items whose event is an earlier item too
}

// newEventCheck sorts what it is given. Items that the repairs before this one
// take away are left out by the caller, and states are those after them.
func newEventCheck(segments []written, ledger []standing, items []queue.AuditItem) *eventCheck {
	slices.SortStableFunc(ledger, func(a, b standing) int { return bytes.Compare(a.id[:], b.id[:]) })
	slices.SortFunc(items, func(a, b queue.AuditItem) int {
		return cmp.Or(bytes.Compare(a.Event[:], b.Event[:]), cmp.Compare(a.ID, b.ID))
	})
	return &eventCheck{
		segments: segments, ledger: ledger, items: items,
		twice: map[provenance.EventID][]string{}, repeated: map[queue.State][]int64{}, where: map[int64]string{},
	}
}

// knows takes the next id that the queue knows, in ascending order.
func (c *eventCheck) knows(id provenance.EventID) error {
	c.known++
	for {
		next, more := c.next()
		if !more || bytes.Compare(next[:], id[:]) >= 0 {
			break
		}
		c.step(next, false)
	}
	c.step(id, true)
	return nil
}

// end takes what is left after the last known id.
func (c *eventCheck) end() {
	for {
		next, more := c.next()
		if !more {
			return
		}
		c.step(next, false)
	}
}

func (c *eventCheck) next() (id provenance.EventID, more bool) {
	switch {
	case len(c.ledger) == 0 && len(c.items) == 0:
		return id, false
	case len(c.ledger) == 0:
		return c.items[0].Event, true
	case len(c.items) == 0 || bytes.Compare(c.ledger[0].id[:], c.items[0].Event[:]) < 0:
		return c.ledger[0].id, true
	}
	return c.items[0].Event, true
}

// step compares what the three say of one event. Registries may share an id by
// accident of their formats: only the same host's is the same event.
func (c *eventCheck) step(id provenance.EventID, known bool) {
	var rows []standing
	for len(c.ledger) > 0 && c.ledger[0].id == id {
		rows, c.ledger = append(rows, c.ledger[0]), c.ledger[1:]
	}
	var items []queue.AuditItem
	for len(c.items) > 0 && c.items[0].Event == id {
		items, c.items = append(items, c.items[0]), c.items[1:]
	}
	owed := len(items) > 0
	at := map[provenance.Host][]string{}
	for _, r := range rows {
		s := c.segments[r.segment]
		at[s.host] = append(at[s.host], s.String())
		owed = owed || s.ours && !r.old
	}
	for _, places := range at {
		if len(places) > 1 {
			c.twice[id] = places
		}
	}
	switch {
	case known && len(rows) == 0 && len(items) == 0:
		c.lost = append(c.lost, id)
	case !known && owed:
		c.forgotten = append(c.forgotten, id)
	}
	for i, it := range items {
		if places := at[it.Host]; len(places) > 0 {
			c.repeated[it.State] = append(c.repeated[it.State], it.ID)
			c.where[it.ID] = places[0]
		} else if i > 0 && it.Host == items[0].Host && it.State != queue.StateSealed {
			c.doubled = append(c.doubled, it.ID)
		}
	}
}

// differences puts the outcome into words and repairs.
func (c *eventCheck) differences() []difference {
	var found []difference
	for _, s := range slices.Sorted(maps.Keys(c.repeated)) {
		ids := c.repeated[s]
		slices.Sort(ids)
		thing := fmt.Sprintf("item %d", ids[0])
		if s == queue.StateSealed { // in an open segment that is not on the ledger, so that it may be on its way
			found = append(found, differs(QueueSegmentRepeats, thing, "%d events of open segments stand on the ledger already, the first in segment %s", len(ids), c.where[ids[0]]))
			continue
		}
		found = append(found, differs(QueueItemRecorded, thing, "%d %s events stand on the ledger already, the first in segment %s", len(ids), s, c.where[ids[0]]).
			by("take them out of the queue", dropItems(ids)))
	}
	if n := len(c.doubled); n > 0 {
		slices.Sort(c.doubled)
		found = append(found, differs(QueueItemTwice, fmt.Sprintf("item %d", c.doubled[0]), "%d events are in the queue a second time, and would be recorded twice", n).
			by("take the later ones out of the queue", dropItems(c.doubled)))
	}
	if n := len(c.lost); n > 0 {
		found = append(found, differs(QueueEventLost, "event "+c.lost[0].String(), "%d events were accepted and are neither in the queue nor on the ledger: %s", n, some(c.lost)))
	}
	if n := len(c.forgotten); n > 0 {
		found = append(found, differs(QueueEventForgotten, "event "+c.forgotten[0].String(), "%d events are in the queue or on the ledger, and not known: delivered again they would be recorded again: %s", n, some(c.forgotten)).
			by("note their ids", func(ctx context.Context, q *queue.Queue) error {
				for chunk := range slices.Chunk(c.forgotten, queue.MaxDeliveries) {
					if err := q.MarkKnown(ctx, chunk); err != nil {
						return err
					}
				}
				return nil
			}))
	}
	for _, id := range slices.SortedFunc(maps.Keys(c.twice), func(a, b provenance.EventID) int { return bytes.Compare(a[:], b[:]) }) {
		found = append(found, differs(LedgerTwice, "event "+id.String(), "it stands %d times on the ledger, in segments %s", len(c.twice[id]), some(c.twice[id])))
	}
	return found
}

func dropItems(ids []int64) func(context.Context, *queue.Queue) error {
	return func(ctx context.Context, q *queue.Queue) error {
		for chunk := range slices.Chunk(ids, queue.MaxDeliveries) {
			if _, err := q.Confirm(ctx, chunk); err != nil {
				return err
			}
		}
		return nil
	}
}

// some names the first few of many.
func some[T any](all []T) string {
	text := fmt.Sprint(all[:min(len(all), examples)])
	if len(all) > examples {
		text += " and others"
	}
	return text
}
