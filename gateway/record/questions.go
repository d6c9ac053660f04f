package record

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/queue"
)

// lookUp puts each question of a batch once, by turns of the repositories, until
// the look's time is over, the segment can carry no more, or the registry
// answers nothing. What was not asked then has no reading.
func (l *lane) lookUp(ctx context.Context, reader Registry, items []queue.Item, carried *manifests) (map[imageKey]reading, error) {
	readings := map[imageKey]reading{}
	if reader == nil {
		return readings, nil
	}
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(l.Limits.Reads)
	began, dumb := time.Now(), 0 // answers that were none, before any that was one
	for _, q := range questions(items) {
		mu.Lock()
		enough := dumb >= l.Limits.Reads
		mu.Unlock()
		if enough || !carried.room() || l.Limits.Look > 0 && time.Since(began) > l.Limits.Look || ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			leave, err := l.reading(ctx, q.connector)
			if err != nil {
				return nil //nolint:nilerr // it is ctx's, and returned below
			}
			defer leave()
			r, body := read(ctx, reader, q.imageKey)
			if r.err == nil && q.bytes && !carried.take(r.digest, body) {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			readings[q.imageKey] = r
			switch provenance.CodeOf(r.err) {
			case "", provenance.NotFound, provenance.Invalid:
				dumb = -len(items)
			default:
				dumb++
			}
			return nil
		})
	}
	_ = group.Wait() // what failed stands in the readings
	return readings, ctx.Err()
}

// question is what is asked for the events of a batch.
type question struct {
	imageKey
	connector string // of the first that asks
	bytes     bool   // some push wants them recorded
}

// questions lists what a batch asks, each once: of each repository in the order
// of its events, and the first of every repository before the second of any. A
// thousand events of one keep the others' waiting no longer than one.
func questions(items []queue.Item) []question {
	by := map[imageKey]*question{}
	of := map[provenance.Repository][]*question{}
	var repositories []provenance.Repository
	for _, it := range items {
		key, asks := questionOf(it.Event)
		if !asks {
			continue
		}
		q := by[key]
		if q == nil {
			q = &question{imageKey: key, connector: it.Connector}
			by[key] = q
			if len(of[key.repository]) == 0 {
				repositories = append(repositories, key.repository)
			}
			of[key.repository] = append(of[key.repository], q)
		}
		q.bytes = q.bytes || it.Event.Action == provenance.Push
	}
	out := make([]question, 0, len(by))
	for round := 0; len(out) < len(by); round++ {
		for _, repo := range repositories {
			if round < len(of[repo]) {
				out = append(out, *of[repo][round])
			}
		}
	}
	return out
}

func read(ctx context.Context, reader Registry, key imageKey) (r reading, body []byte) {
	r.digest = key.digest
	if r.digest.IsZero() {
		if r.digest, r.err = reader.Resolve(ctx, key.repository, key.tag); r.err != nil || key.named {
			return r, nil
		}
	}
	r.facts, body, r.err = reader.ManifestBytes(ctx, key.repository, r.digest)
	return r, body
}

// readingShare is the part of all places that one connector may hold, in
// quarters: whoever sends much keeps a place free for the others.
const readingShare = 3

// reading waits for one of the places in which manifests are read, of all lanes
// together: each may be as large as MaxManifest while it is read.
func (s *Recorder) reading(ctx context.Context, connector string) (leave func(), err error) {
	share := s.shareOf(connector)
	if err := share.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	if err := s.places.Acquire(ctx, 1); err != nil {
		share.Release(1)
		return nil, err
	}
	return func() {
		s.places.Release(1)
		share.Release(1)
	}, nil
}
