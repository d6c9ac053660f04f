package record_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/gateway/record"
	"github.com/waybill-dev/waybill/gateway/record/recordtest"
	"github.com/waybill-dev/waybill/gateway/registry"
)

// A push whose sender named a tag only is recorded under the digest that the
// registry has for the tag; a tag that is gone is set aside.
func TestReadBackResolves(t *testing.T) {
	b := recordtest.New(t)
	image := provenance.SHA256Of([]byte("named by the tag"))
	var mu sync.Mutex
	resolved := map[provenance.Repository]int{}
	b.Readers = func(host provenance.Host) (record.Registry, bool) {
		if host != recordtest.Host {
			return nil, true // not read back
		}
		return recordtest.FakeRegistry(func(repo provenance.Repository, d provenance.Digest) (registry.Facts, error) {
			mu.Lock()
			defer mu.Unlock()
			switch {
			case repo == "gone":
				return registry.Facts{}, provenance.Errorf(provenance.NotFound, "tag is gone")
			case d.IsZero():
				resolved[repo]++
				return registry.Facts{Config: image}, nil
			case d != image:
				return registry.Facts{}, provenance.Errorf(provenance.NotFound, "asked for %s", d)
			}
			return registry.Facts{MediaType: "application/vnd.oci.image.manifest.v1+json", Size: 42}, nil
		}), true
	}
	b.Reopen()
	tagOnly := func(repo string) delivery.Delivery {
		d := recordtest.Event(repo, 0, provenance.Push)
		d.Event.Digest = provenance.Digest{}
		return d
	}
	good, gone, blind := tagOnly("good"), tagOnly("gone"), tagOnly("blind")
	blind.Host = "blind.example.com"
	if _, err := b.Queue.Accept(t.Context(), []delivery.Delivery{good, gone, blind}); err != nil {
		t.Fatal(err)
	}
	b.Run(t.Context(), recordtest.Empty)
	b.WantOnce([]delivery.Delivery{good})
	for _, events := range b.Ledger.Endorsed {
		for _, e := range events {
			if e.Digest != image || e.Size != 42 {
				t.Errorf("recorded %+v", e)
			}
		}
	}
	if resolved["good"] != 1 {
		t.Errorf("the tag was resolved %d times", resolved["good"])
	}
	dead, err := b.Queue.Dead(t.Context(), 0, 10)
	if err != nil || len(dead) != 2 || !dead[0].Event.Digest.IsZero() {
		t.Errorf("%d dead letters, %v; want the tag that is gone and the one nobody can ask for", len(dead), err)
	}
}

// flakyQueue fails now and then as a queue on a server does: the lane is lost,
// or the server does not answer, before or after the change was made.
type flakyQueue struct {
	*queue.Queue
	fault func() (before, after error)
}

func (q flakyQueue) try(do func() error) error {
	before, after := q.fault()
	if before != nil {
		return before
	}
	if err := do(); err != nil {
		return err
	}
	return after
}

func (q flakyQueue) Sealed(ctx context.Context, lane int) (s *queue.Segment, err error) {
	err = q.try(func() error { s, err = q.Queue.Sealed(ctx, lane); return err })
	return s, err
}

func (q flakyQueue) Seal(ctx context.Context, s queue.Segment, items []queue.Item) error {
	err := q.try(func() error { return q.Queue.Seal(ctx, s, items) })
	if err != nil {
		q.Return(items) // as the queue does
	}
	return err
}

func (q flakyQueue) Recorded(ctx context.Context, s queue.Segment, block uint64) error {
	return q.try(func() error { return q.Queue.Recorded(ctx, s, block) })
}

func TestFlakyQueue(t *testing.T) {
	b := recordtest.New(t)
	var mu sync.Mutex
	random, faults := rand.New(rand.NewPCG(1, 2)), 0
	b.Recorder.Queue = flakyQueue{b.Queue, func() (before, after error) {
		mu.Lock()
		defer mu.Unlock()
		n := random.IntN(8)
		if n < 4 {
			faults++
		}
		lost := provenance.Wrap(provenance.Conflict, queue.ErrLaneLost, "lane")
		away := provenance.Errorf(provenance.Unavailable, "connection refused")
		return []error{lost, away, nil, nil, nil, nil, nil, nil}[n], []error{nil, nil, lost, away, nil, nil, nil, nil}[n]
	}}
	var all []delivery.Delivery
	for r := range 6 {
		all = append(all, recordtest.Pushes(fmt.Sprintf("repo%d", r), 20)...)
	}
	b.Accept(all...)
	b.Run(t.Context(), recordtest.Empty)
	b.WantOnce(all)
	if faults < 10 {
		t.Errorf("only %d faults", faults)
	}
}
