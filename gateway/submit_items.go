package gateway

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/gateway/registry"
)

// split halves a batch that cannot stand as one segment, and sets the last
// culprit aside. The halves keep their order: where the first goes back to
// waiting, the second does too.
func (l *lane) split(ctx context.Context, items []queue.Item, cause error) (settled bool, err error) {
	if len(items) == 1 {
		return true, l.bury(ctx, items[0], cause.Error())
	}
	half := len(items) / 2
	settled, err = l.record(ctx, items[:half])
	if err != nil {
		return false, err
	}
	if !settled {
		l.queue.Return(items[half:])
		return false, nil
	}
	return l.record(ctx, items[half:])
}

// superseded handles a number that the ledger holds with other bytes: this
// queue is an old copy of one that went on, so that nobody can tell here which
// of its items are recorded. They are set aside for an operator, who can, and
// the number is used up.
func (l *lane) superseded(ctx context.Context, s queue.Segment, items []queue.Item, cause error) (settled bool, err error) {
	l.log.ErrorContext(ctx, "the ledger is ahead of this queue", slog.String("lane", s.LaneName), slog.Uint64("seq", s.Seq), slog.Int("events set aside", len(items)), slog.Any("error", cause))
	return true, l.queue.Supersede(ctx, l.number, s.Seq, items, "the queue's file is older than the ledger, this event may be recorded already: "+cause.Error())
}

// hold gives a whole batch back for a reason that lies outside its items: a
// grant is missing, the registry is not on the ledger, the contract failed.
// Somebody mends it, and then nothing is lost; until then other registries of
// this lane go on.
func (l *lane) hold(ctx context.Context, items []queue.Item, cause error) error {
	l.wait(ctx, cause)
	return l.queue.Release(ctx, items, time.Now().Add(l.limits.delay(items[0].Attempts)), cause.Error())
}

func (l *lane) bury(ctx context.Context, it queue.Item, reason string) error {
	l.log.WarnContext(ctx, "event set aside", slog.Int64("item", it.ID), slog.String("registry", string(it.Host)),
		slog.String("repository", string(it.Event.Repository)), slog.String("digest", it.Event.Digest.String()), slog.String("reason", reason))
	err := l.queue.Bury(ctx, it, reason)
	if provenance.CodeOf(err) == provenance.Conflict { // it has moved on by another hand
		return nil
	}
	return err
}

// delay is the pause before another attempt with an item.
func (s submitLimits) delay(attempts int) time.Duration {
	return min(s.backoff<<min(attempts, 10), s.backoffMax)
}

// reading is what came of reading one manifest back.
type reading struct {
	digest provenance.Digest
	facts  registry.Facts
	err    error
}

// imageKey is a push to read back. Some registries name a tag only: then the
// digest is zero, and the tag is what is asked for.
type imageKey struct {
	repository provenance.Repository
	digest     provenance.Digest
	tag        provenance.Tag
}

func keyOf(e provenance.Event) imageKey {
	if e.Digest == unresolved() && e.Tag != "" {
		return imageKey{repository: e.Repository, tag: e.Tag}
	}
	return imageKey{repository: e.Repository, digest: e.Digest}
}

// readBack replaces what a push claims by what the registry's own bytes say,
// and returns the items that may be recorded now. A push whose manifest cannot
// be read yet is released, and the later items of its repository with it, so
// that tags keep their order; one whose manifest is gone or lies is set aside
// after a few attempts. Pulls and deletions are recorded as reported: their
// bytes need not be there any more. Of a push whose sender named a tag only,
// the digest is what the tag names when it is read.
func (l *lane) readBack(ctx context.Context, items []queue.Item) ([]queue.Item, error) {
	if len(items) == 0 {
		return nil, nil
	}
	host := items[0].Host
	reader, configured := l.readers(host)
	readings, err := l.readAll(ctx, reader, items)
	if err != nil {
		return nil, err
	}
	held := map[provenance.Repository]bool{}
	var ready []queue.Item
	for _, it := range items {
		push := it.Event.Action == provenance.Push
		switch {
		case held[it.Event.Repository]:
			l.queue.Return([]queue.Item{it})
			continue
		case push && !configured:
			if err := l.bury(ctx, it, "registry "+string(host)+" is not configured in this gateway: its bytes cannot be read back"); err != nil {
				return nil, err
			}
			continue
		case push && reader == nil && it.Event.Digest == unresolved():
			if err := l.bury(ctx, it, "the sender named a tag and no digest, and registry "+string(host)+" is not read back"); err != nil {
				return nil, err
			}
			continue
		case push && reader != nil:
			ok, waits, err := l.settle(ctx, &it, readings[keyOf(it.Event)])
			if err != nil {
				return nil, err
			}
			if waits {
				held[it.Event.Repository] = true
			}
			if !ok {
				continue
			}
		}
		ready = append(ready, it)
	}
	return ready, nil
}

// readAll reads the manifest of every image pushed, each once.
func (l *lane) readAll(ctx context.Context, reader manifestReader, items []queue.Item) (map[imageKey]reading, error) {
	readings := map[imageKey]reading{}
	if reader == nil {
		return readings, nil
	}
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(l.limits.reads)
	asked := map[imageKey]bool{}
	for _, it := range items {
		key := keyOf(it.Event)
		if it.Event.Action != provenance.Push || asked[key] {
			continue
		}
		asked[key] = true
		group.Go(func() error {
			r := read(ctx, reader, key)
			mu.Lock()
			defer mu.Unlock()
			readings[key] = r
			return nil
		})
	}
	_ = group.Wait() // what failed stands in the readings
	return readings, ctx.Err()
}

func read(ctx context.Context, reader manifestReader, key imageKey) reading {
	r := reading{digest: key.digest}
	if r.digest.IsZero() {
		if r.digest, r.err = reader.Resolve(ctx, key.repository, key.tag); r.err != nil {
			return r
		}
	}
	r.facts, r.err = reader.Manifest(ctx, key.repository, r.digest)
	return r
}

// settle fills the facts in, or releases or buries the item. waits says that
// the later items of its repository must wait as well.
func (l *lane) settle(ctx context.Context, it *queue.Item, r reading) (ok, waits bool, err error) {
	source := "registry " + string(it.Host)
	switch provenance.CodeOf(r.err) {
	case "":
		l.waits.end(source)
		e := &it.Event
		e.Digest = r.digest
		e.MediaType, e.ArtifactType, e.Size = r.facts.MediaType, r.facts.ArtifactType, r.facts.Size
		e.Config, e.Subject, e.Children = r.facts.Config, r.facts.Subject, r.facts.Children
		if err := e.Check(); err != nil {
			return false, false, l.bury(ctx, *it, err.Error())
		}
		return true, false, nil
	case provenance.NotFound, provenance.Invalid:
		if it.Attempts+1 >= l.limits.readAttempts {
			return false, false, l.bury(ctx, *it, r.err.Error())
		}
	default:
		if l.waits.begin(source, r.err) {
			l.log.WarnContext(ctx, "reading back waits", slog.String("registry", string(it.Host)), slog.Any("error", r.err))
		}
	}
	at := time.Now().Add(l.limits.delay(it.Attempts))
	return false, true, l.queue.Release(ctx, []queue.Item{*it}, at, r.err.Error())
}

// waitState is why recording waits, and since when.
type waitState struct {
	Reason string
	Since  time.Time
}

// waits keeps the open waits by who waits.
type waits struct {
	mu   sync.Mutex
	open map[string]waitState
}

// begin notes a wait and tells whether it is a new one. A wait that goes on
// keeps its start and takes the latest reason.
func (w *waits) begin(who string, cause error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open == nil {
		w.open = map[string]waitState{}
	}
	state, old := w.open[who]
	if !old {
		state.Since = time.Now()
	}
	state.Reason = cause.Error()
	w.open[who] = state
	return !old
}

func (w *waits) end(who string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.open, who)
}

// state returns the wait that has lasted longest.
func (w *waits) state() waitState {
	w.mu.Lock()
	defer w.mu.Unlock()
	var longest waitState
	for _, s := range w.open {
		if longest.Since.IsZero() || s.Since.Before(longest.Since) {
			longest = s
		}
	}
	return longest
}
