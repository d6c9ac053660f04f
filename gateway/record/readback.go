package record

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/gateway/registry"
)

// imageKey is one question to a registry: which bytes are under a digest, or,
// where that is zero, what a tag names; named asks for no more than its digest.
type imageKey struct {
	repository provenance.Repository
	digest     provenance.Digest
	tag        provenance.Tag
	named      bool
}

// questionOf is what must be asked about an event before it may be recorded.
// Some registries name a tag only when they report a push: then the digest is
// what the tag names when it is read. Pulls are recorded as reported: what was
// pulled need not be there any more.
func questionOf(e provenance.Event) (key imageKey, ok bool) {
	switch {
	case e.Action == provenance.Push && e.Digest == delivery.Placeholder() && e.Tag != "":
		return imageKey{repository: e.Repository, tag: e.Tag}, true
	case e.Action == provenance.Push, e.Action == provenance.Delete:
		return imageKey{repository: e.Repository, digest: e.Digest}, true
	case e.Action == provenance.TagDelete:
		return imageKey{repository: e.Repository, tag: e.Tag, named: true}, true
	}
	return imageKey{}, false
}

// reading is what came of one question.
type reading struct {
	digest provenance.Digest
	facts  registry.Facts
	err    error
}

// What becomes of an item after its registry was asked.
type outcome int

const (
	stands outcome = iota // it may be recorded
	wrong                 // the registry says otherwise, as of now
	silent                // the registry says nothing
	unread                // it was not asked yet
	never                 // asking again is useless
	none                  // it is no fact: the image outlives the tag that was deleted
)

// readBack replaces what an event claims by what the registry itself serves,
// and returns the items that may be recorded now. Of a push the manifest must be
// there, and its bytes give the facts; of a deletion the image must be gone, or
// the tag name nothing.
//
// What the registry contradicts is looked at three times, a moment apart, and
// then set aside. Meanwhile only later events of the same tag or digest wait for
// it, and what is contradicted in one batch is looked at together and ends
// together: one question serves all events that it is about. Where the registry
// does not answer, later events of the repository wait too, so that tags keep
// their order.
//
// A look takes a bounded time, and goes round the repositories in turn: what it
// did not come to waits for the next one, and what it came to is recorded.
func (l *lane) readBack(ctx context.Context, items []queue.Item, carried *manifests) (ready, repeated []queue.Item, err error) {
	if len(items) == 0 {
		return nil, nil, nil
	}
	if err := l.current(ctx, items); err != nil {
		return nil, nil, err
	}
	host := items[0].Host
	reader, configured := l.Readers(host)
	readings, err := l.lookUp(ctx, reader, items, carried)
	if err != nil {
		return nil, nil, err
	}
	b := &batchReading{
		lane: l, host: host, reader: reader, configured: configured, readings: readings, now: time.Now(),
		held: map[provenance.Repository]bool{}, waiting: map[queue.Name]bool{}, attempts: map[imageKey]int{}, gone: map[imageKey]int64{},
	}
	b.shareLooks(items)
	for _, it := range items {
		b.classify(ctx, it)
	}
	return b.ready, b.repeated, b.finish(ctx)
}

// batchReading sorts the items of a batch by what their registry said.
type batchReading struct {
	*lane
	host       provenance.Host
	reader     Registry
	configured bool
	readings   map[imageKey]reading
	now        time.Time

	held     map[provenance.Repository]bool // whose registry said nothing
	waiting  map[queue.Name]bool            // of what waits alone
	attempts map[imageKey]int               // of the most tried event that asks this
	gone     map[imageKey]int64             // the last deletion of this batch that is true

	ahead pushes // of ready

	ready, repeated, served []queue.Item
	back, later, silent     []queue.Item
	deferred, dead          []queue.Item
	deferredWhy, deadWhy    []string
	silentWhy               string
}

// shareLooks shares looks: the events of one question have had as many as the one
// that had most, once they have waited as long as those took; and where an
// image is deleted for good, an earlier push of it need not be looked for again.
func (b *batchReading) shareLooks(items []queue.Item) {
	for _, it := range items {
		key, asks := questionOf(it.Event)
		if !asks {
			continue
		}
		b.attempts[key] = max(b.attempts[key], it.Attempts)
		if r, done := b.readings[key]; done && it.Event.Action == provenance.Delete && provenance.CodeOf(r.err) == provenance.NotFound {
			b.gone[key] = it.ID
		}
	}
}

// looks is how often the question of an item was asked, as far as it counts for it.
func (b *batchReading) looks(it queue.Item, key imageKey) int {
	looks := it.Attempts
	if b.now.Sub(it.ReceivedAt) > b.Limits.delay(b.Limits.ReadAttempts) {
		looks = max(looks, b.attempts[key])
	}
	return looks + 1
}

// classify puts one item where it belongs. Items come in their order.
func (b *batchReading) classify(ctx context.Context, it queue.Item) {
	if b.held[it.Event.Repository] {
		b.back = append(b.back, it)
		return
	}
	hint := it.Event.Action == provenance.Push && it.Event.Digest == delivery.Placeholder()
	what, why := b.decide(&it)
	key, _ := questionOf(it.Event)
	waits := false
	for _, name := range it.Names() {
		waits = waits || b.waiting[name]
	}
	switch {
	case what == wrong && b.looks(it, key) < b.Limits.ReadAttempts && !(it.Event.Action == provenance.Push && b.gone[key] > it.ID):
		b.deferred, b.deferredWhy = append(b.deferred, it), append(b.deferredWhy, why)
		b.wait(it)
	case what == wrong || what == never:
		b.dead, b.deadWhy = append(b.dead, it), append(b.deadWhy, why)
		if named := b.readings[key].digest; what == wrong && it.Event.Action == provenance.TagDelete && !named.IsZero() && b.OnContradicted != nil {
			b.OnContradicted(ctx, it, named)
		}
	case what == none && b.reader != nil && b.looks(it, key) < b.Limits.ReadAttempts: // it may take a moment to go
		b.deferred, b.deferredWhy = append(b.deferred, it), append(b.deferredWhy, "still served")
		b.wait(it)
	case what == none:
		b.served = append(b.served, it)
	case what == silent:
		b.held[it.Event.Repository] = true
		b.silent, b.silentWhy = append(b.silent, it), why
	case what == unread:
		b.held[it.Event.Repository] = true
		b.later = append(b.later, it)
	case waits: // for an earlier one of its tag or digest
		b.back = append(b.back, it)
		b.wait(it)
	case hint && b.repeats(it):
		b.repeated = append(b.repeated, it)
	default:
		b.ready = append(b.ready, it)
		b.ahead.event(b.host, it.Event)
	}
}

func (b *batchReading) wait(it queue.Item) {
	for _, name := range it.Names() {
		b.waiting[name] = true
	}
}

// decide compares an item with what its registry said, and fills the facts in.
func (b *batchReading) decide(it *queue.Item) (what outcome, why string) {
	key, asks := questionOf(it.Event)
	push := it.Event.Action == provenance.Push
	switch {
	case push && !b.configured:
		return never, "registry " + string(b.host) + " is not configured in this gateway: its bytes cannot be read back"
	case push && b.reader == nil && it.Event.Digest == delivery.Placeholder():
		return never, "the sender named a tag and no digest, and registry " + string(b.host) + " is not read back"
	case b.reader == nil && delivery.IfGone(it.Event):
		return none, ""
	case !asks || b.reader == nil:
		return stands, ""
	}
	r, done := b.readings[key]
	code := provenance.CodeOf(r.err)
	switch {
	case !done:
		return unread, ""
	case code == "" && push:
		return b.facts(it, r)
	case code == "" && delivery.IfGone(it.Event):
		return none, ""
	case code == "" && it.Event.Action == provenance.Delete:
		return wrong, "still served: the sender reports that the image was deleted, and the registry serves it"
	case code == "":
		return wrong, fmt.Sprintf("still served: the sender reports that the tag was deleted, and at the registry it names %s", r.digest)
	case code == provenance.NotFound && !push:
		return stands, ""
	case code == provenance.NotFound && b.gone[key] > it.ID:
		return wrong, "gone: deleted since, as the sender reports as well: " + r.err.Error()
	case code == provenance.NotFound, code == provenance.Invalid:
		return wrong, r.err.Error()
	case !push && b.now.Sub(it.ReceivedAt) > b.Limits.Patience:
		// It holds up its repository, and the next sweep sees what is.
		return never, "whether it was deleted cannot be found out, for " + b.Limits.Patience.String() + ": " + r.err.Error()
	}
	return silent, r.err.Error()
}

func (b *batchReading) facts(it *queue.Item, r reading) (what outcome, why string) {
	e := &it.Event
	e.Digest = r.digest
	e.MediaType, e.ArtifactType, e.Size = r.facts.MediaType, r.facts.ArtifactType, r.facts.Size
	e.Config, e.Subject, e.Children = r.facts.Config, r.facts.Subject, r.facts.Children
	if err := e.Check(); err != nil {
		return never, err.Error()
	}
	return stands, ""
}

// finish tells the queue, each sort in one commit.
func (b *batchReading) finish(ctx context.Context) error {
	source := "registry " + string(b.host)
	answered := false
	for _, r := range b.readings {
		switch provenance.CodeOf(r.err) {
		case "", provenance.NotFound, provenance.Invalid:
			answered = true
		}
	}
	if answered {
		b.Waits.End(source)
	}
	if len(b.silent) > 0 && b.Waits.Begin(source, provenance.Errorf(provenance.Unavailable, "%s", b.silentWhy)) {
		b.Log.WarnContext(ctx, "reading back waits", slog.String("registry", string(b.host)), slog.String("error", b.silentWhy))
	}
	b.Queue.Return(b.back)
	if len(b.readings) > 0 && !answered {
		// Others of this lane go first, and then those that it was not asked for.
		b.Queue.Postpone(b.later, time.Now().Add(b.Limits.Backoff))
	} else {
		b.Queue.Return(b.later)
	}
	if err := b.deadLetters(ctx, b.dead, b.deadWhy); err != nil {
		return err
	}
	if err := b.discard(ctx, b.served, "the image outlives the tag that was deleted"); err != nil {
		return err
	}
	if len(b.deferred) > 0 {
		most := 0
		for _, it := range b.deferred {
			most = max(most, it.Attempts)
		}
		if err := b.Queue.Defer(ctx, b.deferred, time.Now().Add(b.Limits.delay(most)), b.deferredWhy); err != nil {
			return err
		}
	}
	// Those tried as often wait as long.
	by := map[int][]queue.Item{}
	for _, it := range b.silent {
		by[it.Attempts] = append(by[it.Attempts], it)
	}
	for attempts, items := range by {
		if err := b.Queue.Release(ctx, items, time.Now().Add(b.Limits.delay(attempts)), b.silentWhy); err != nil {
			return err
		}
	}
	return nil
}
