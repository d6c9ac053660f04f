package record

import (
	"context"
	"log/slog"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/queue"
)

const (
	// repeatWindow is within which time, by the senders' clocks, hints at one push are
	// one push. Nexus sends 10 to 26 for an upload, over some seconds.
	repeatWindow = 2 * time.Minute
	// maxPushes bounds what a lane remembers of its pushes; the oldest is forgotten first.
	maxPushes = 4096
)

// tagName is a tag of a repository.
type tagName struct {
	host       provenance.Host
	repository provenance.Repository
	tag        provenance.Tag
}

// image is a manifest in a repository.
type image struct {
	host       provenance.Host
	repository provenance.Repository
	digest     provenance.Digest
}

// lastPush is what was last recorded of a tag; its digest is zero where the tag was
// deleted since.
type lastPush struct {
	digest        provenance.Digest
	source, actor string
	at            time.Time
	number        int // of pushes.count
}

// pushes remembers, in memory, what a lane recorded last of each tag. It is believed
// only as long as nobody else has recorded in the lane: the next segment's number
// tells. What is forgotten costs a push recorded once more, and never loses one.
type pushes struct {
	last  map[tagName]lastPush
	order []tagName // a ring over the keys of last
	at    int
	gone  map[image]int // deleted images, by the count of pushes before
	count int
	next  uint64 // the number of the segment that comes after those remembered
}

// recorded notes the events of a segment that stands on the ledger.
func (p *pushes) recorded(s queue.Segment, events []provenance.Event) {
	p.upTo(s.Seq)
	for _, e := range events {
		p.event(s.Host, e)
	}
	p.next = s.Seq + 1
}

// upTo forgets everything where the next segment's number is not the one after the last.
func (p *pushes) upTo(next uint64) {
	if p.next != next {
		*p = pushes{next: next}
	}
}

func (p *pushes) event(host provenance.Host, e provenance.Event) {
	switch name := (tagName{host, e.Repository, e.Tag}); e.Action {
	case provenance.Push:
		if e.Tag != "" {
			p.count++
			p.put(name, lastPush{digest: e.Digest, source: e.Source, actor: e.Actor, at: e.OccurredAt, number: p.count})
		}
	case provenance.TagDelete:
		p.put(name, lastPush{})
	case provenance.Delete:
		if len(p.gone) >= maxPushes {
			*p = pushes{next: p.next, count: p.count}
		}
		if p.gone == nil {
			p.gone = map[image]int{}
		}
		p.gone[image{host, e.Repository, e.Digest}] = p.count
	}
}

func (p *pushes) put(name tagName, push lastPush) {
	if p.last == nil {
		p.last = map[tagName]lastPush{}
	}
	if _, known := p.last[name]; !known {
		if len(p.order) < maxPushes {
			p.order = append(p.order, name)
		} else {
			delete(p.last, p.order[p.at])
			p.order[p.at] = name
			p.at = (p.at + 1) % maxPushes
		}
	}
	p.last[name] = push
}

// say tells whether the push of e, whose tag was resolved, says what was said last: the
// tag names that image already, by the same actor's push a moment ago. A tag that moved
// in between, or was deleted, is news, whoever reports it and how soon. known is false
// where nothing is remembered of tag or image.
func (p *pushes) say(host provenance.Host, e provenance.Event) (repeated, known bool) {
	was, pushed := p.last[tagName{host, e.Repository, e.Tag}]
	since, gone := p.gone[image{host, e.Repository, e.Digest}]
	if gone && since >= was.number {
		return false, true
	}
	same := was.digest == e.Digest && was.source == e.Source && was.actor == e.Actor
	return pushed && same && e.OccurredAt.Sub(was.at).Abs() <= repeatWindow, pushed
}

// repeats tells whether a resolved push only repeats one that is recorded, or will be
// with this batch.
func (b *batchReading) repeats(it queue.Item) bool {
	repeated, known := b.ahead.say(b.host, it.Event)
	if !known {
		repeated, _ = b.pushes.say(b.host, it.Event)
	}
	return repeated
}

// discardRepeated discards the hints of a batch whose push stands on the ledger by now.
// The others are handed back: what they would have repeated was not recorded.
func (l *lane) discardRepeated(ctx context.Context, items []queue.Item) error {
	var out, back []queue.Item
	for _, it := range items {
		if repeated, _ := l.pushes.say(it.Host, it.Event); repeated {
			out = append(out, it)
		} else {
			back = append(back, it)
		}
	}
	l.Queue.Return(back)
	return l.discard(ctx, out, "they repeat a push")
}

// discard takes items that are no facts out of the queue.
func (l *lane) discard(ctx context.Context, items []queue.Item, why string) error {
	if len(items) == 0 {
		return nil
	}
	l.Log.DebugContext(ctx, "events discarded", slog.String("lane", l.name), slog.Int("events", len(items)), slog.String("why", why),
		slog.String("registry", string(items[0].Host)), slog.String("repository", string(items[0].Event.Repository)))
	_, err := l.Queue.Discard(ctx, items)
	return err
}

// current drops what is remembered where somebody else has recorded in this lane since.
func (l *lane) current(ctx context.Context, items []queue.Item) error {
	for _, it := range items {
		if it.Event.Digest == delivery.Placeholder() {
			next, err := l.Queue.NextSeq(ctx, l.number)
			if err == nil {
				l.pushes.upTo(next)
			}
			return err
		}
	}
	return nil
}
