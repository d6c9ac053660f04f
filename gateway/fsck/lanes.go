package fsck

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/queue"
)

// laneCheck compares the lanes of a queue with what the ledger holds under
// their names. It goes before the comparison of single events, and leaves the
// items as they are after its repairs.
type laneCheck struct {
	journal *journal
	audit   queue.Audit
	usable  int    // lanes that this configuration works on
	height  uint64 // of the peer
	items   []queue.AuditItem

	open  int64 // events of open segments that stand on the ledger
	notes []string
}

// compare returns the differences in the order in which they are to be
// repaired, those of single events not among them.
func (c *laneCheck) compare() (segments, numbers []difference) {
	lanes := map[string]queue.AuditLane{}
	for _, l := range c.audit.Lanes {
		lanes[l.Name] = l
	}
	for name := range c.journal.lanes {
		if _, known := lanes[name]; !known {
			n, _ := c.journal.number(name) // it is one of ours by its name
			lanes[name] = queue.AuditLane{Lane: n, Name: name, Next: 1}
		}
	}
	for _, it := range c.items { // a lane whose row is gone may have sealed items
		name := fmt.Sprintf("%s-%d", c.journal.queue, it.Lane)
		if _, known := lanes[name]; !known && it.State == queue.StateSealed {
			lanes[name] = queue.AuditLane{Lane: it.Lane, Name: name, Next: 1}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(lanes)) {
		l := lanes[name]
		segments = append(segments, c.bound(l)...)
		if l.Open != nil {
			segments = append(segments, c.fate(&l)...)
		}
		numbers = append(numbers, c.numbers(l)...)
	}
	return segments, numbers
}

// bound compares the items that say they are sealed with the open segment.
func (c *laneCheck) bound(l queue.AuditLane) []difference {
	in := map[provenance.EventID]bool{}
	if l.Open != nil {
		events, err := provenance.DecodeSegment(l.Open.Bytes)
		if err != nil {
			if _, on := c.journal.at(l.Name, l.Open.Seq); on {
				return nil // what is on the ledger decides
			}
			return []difference{differs(QueueSegmentUnreadable, segmentName(l), "%v", err)}
		}
		for _, e := range events {
			in[e.ID] = true
		}
	}
	var want []int64
	missing, tooMuch := 0, 0
	for i, it := range c.items {
		if it.Lane != l.Lane || it.State == queue.StateDead {
			continue
		}
		sealed := it.State == queue.StateSealed
		switch belongs := in[it.Event] && (l.Open == nil || it.Host == l.Open.Host); {
		case belongs:
			want = append(want, it.ID)
			if !sealed {
				missing++
			}
			c.items[i].State = queue.StateSealed
		case sealed:
			tooMuch++
			c.items[i].State = queue.StateWaiting
		}
	}
	if missing == 0 && tooMuch == 0 {
		return nil
	}
	text := fmt.Sprintf("%d items say they are sealed and are not in it, %d are in it and wait: the first would be lost, the second recorded twice", tooMuch, missing)
	if l.Open == nil {
		text = fmt.Sprintf("%d items say they are sealed, and no segment is open: nobody would record them", tooMuch)
	}
	return []difference{differs(QueueSegmentTorn, segmentName(l), "%s", text).
		by("make its items those that it holds", func(ctx context.Context, q *queue.Queue) error { return q.Bind(ctx, l.Lane, want) })}
}

func segmentName(l queue.AuditLane) string {
	if l.Open == nil {
		return "lane " + l.Name
	}
	return fmt.Sprintf("segment %s/%d", l.Name, l.Open.Seq)
}

// fate compares an open segment with the ledger. One that the ledger does not
// have is no difference: the gateway asks for its transaction when it starts,
// and sends the same one again. It leaves the lane as it is after the repair.
func (c *laneCheck) fate(l *queue.AuditLane) []difference {
	s, name := *l.Open, segmentName(*l)
	w, on := c.journal.at(l.Name, s.Seq)
	if on {
		l.Open = nil
	}
	switch {
	case !on:
		c.notes = append(c.notes, fmt.Sprintf("segment %s/%d is open, and its transaction %s is not on the ledger: the gateway sends it again", l.Name, s.Seq, s.TxID))
		return nil
	case w.host == s.Host && w.sum == sha256.Sum256(s.Bytes):
		c.open += int64(w.events)
		l.Next = max(l.Next, s.Seq+1)
		c.items = slices.DeleteFunc(c.items, func(it queue.AuditItem) bool { return it.Lane == l.Lane && it.State == queue.StateSealed })
		return []difference{differs(QueueSegmentRecorded, name, "it is open, and stands on the ledger in block %d (transaction %s; the stored envelope is that of %s)", w.block, w.tx, s.TxID).
			by("close it as recorded", func(ctx context.Context, q *queue.Queue) error { return q.Recorded(ctx, s, w.block) })}
	default:
		for i, it := range c.items {
			if it.Lane == l.Lane && it.State == queue.StateSealed {
				c.items[i].State = queue.StateWaiting
			}
		}
		// Its transaction read an absent key, so it can never be valid now.
		return []difference{differs(QueueSegmentSuperseded, name, "it is open, and the ledger holds other bytes under its name in block %d: this queue is an old copy of one that went on", w.block).
			by("dissolve it", func(ctx context.Context, q *queue.Queue) error { return q.Unseal(ctx, s) })}
	}
}

// numbers compares the lane's numbers with those on the ledger.
func (c *laneCheck) numbers(l queue.AuditLane) []difference {
	on := c.journal.lanes[l.Name]
	var last uint64
	for seq := range on {
		last = max(last, seq)
	}
	thing := "lane " + l.Name
	var found []difference
	var gaps []uint64
	for seq := uint64(1); seq < last && len(gaps) <= examples; seq++ {
		if _, ok := on[seq]; !ok {
			gaps = append(gaps, seq)
		}
	}
	if len(gaps) > 0 {
		found = append(found, differs(LedgerGap, thing, "segments up to %d stand on the ledger, and not %s", last, some(gaps)))
	}
	next := l.Next
	switch {
	case next > last+1 && l.Block >= c.height:
		found = append(found, differs(LedgerBehind, thing, "segment %d was recorded in block %d, and the peer holds %d blocks: it was rolled back, or has not caught up", next-1, l.Block, c.height))
	case next > last+1:
		found = append(found, differs(LedgerBehind, thing, "the queue counts segments up to %d as recorded, and the last on the ledger is %d", next-1, last))
	case next <= last:
		d := differs(QueueNumber, thing, "its next segment is %d, and the ledger holds them up to %d: this queue is an old copy of one that went on", next, last)
		switch {
		case l.Lane >= c.usable:
			d.Next = "nobody works on this lane: run fsck --repair with the queue.lanes of that time before it is used again"
		case l.Open != nil:
			d.Next = "start the gateway, which asks what became of the open segment, and run fsck again"
		default:
			d = d.by("go on after the last", func(ctx context.Context, q *queue.Queue) error { return q.Skip(ctx, l.Lane, last) })
		}
		found = append(found, d)
	}
	return found
}

// count compares how many events are done with the ledger. sure says that the
// ledger is a measure.
func (c *laneCheck) count(sure bool) []difference {
	own := c.journal.own
	if c.audit.Done == own-c.open {
		return nil
	}
	d := differs(QueueCount, "queue "+c.journal.queue, "it counts %d events as done, and the ledger holds %d of its events in closed segments", c.audit.Done, own-c.open)
	d.Next = "the ledger is no measure before its own differences are settled"
	if sure {
		d = d.by("correct the count", func(ctx context.Context, q *queue.Queue) error { return q.SetDone(ctx, own) })
	}
	return []difference{d}
}
