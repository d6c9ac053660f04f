package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/ledger/ledgertest"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/gateway/registry"
	"github.com/waybill-dev/waybill/gateway/wait"
)

// fakeRegistry answers Manifest by a function.
type fakeRegistry func(repo provenance.Repository, d provenance.Digest) (registry.Facts, error)

// Resolve asks for the zero digest; the config of the answer is what the tag names.
func (f fakeRegistry) Resolve(_ context.Context, repo provenance.Repository, _ provenance.Tag) (provenance.Digest, error) {
	facts, err := f(repo, provenance.Digest{})
	return facts.Config, err
}

func (f fakeRegistry) Manifest(_ context.Context, repo provenance.Repository, d provenance.Digest) (registry.Facts, error) {
	return f(repo, d)
}

func (f fakeRegistry) ManifestBytes(ctx context.Context, repo provenance.Repository, d provenance.Digest) (registry.Facts, []byte, error) {
	facts, err := f.Manifest(ctx, repo, d)
	return facts, nil, err
}

const submitHost = provenance.Host("registry.example.com")

func event(repo string, n int, action provenance.Action) delivery.Delivery {
	name := fmt.Sprintf("%s/%d", repo, n)
	return delivery.Delivery{Host: submitHost, Connector: "main", ReceivedAt: time.UnixMilli(1_700_000_000_000), Event: provenance.Event{
		ID: provenance.NewEventID("test", "main", name, action.String()), Action: action, Source: "distribution",
		Repository: provenance.Repository(repo), Tag: "v1", Digest: provenance.SHA256Of([]byte(name)), OccurredAt: time.UnixMilli(1_700_000_000_000 + int64(n)).UTC(),
	}}
}

func pushes(repo string, n int) []delivery.Delivery {
	var ds []delivery.Delivery
	for i := range n {
		ds = append(ds, event(repo, i, provenance.Push))
	}
	return ds
}

// bench is a queue on disk and a submitter that can be run, crashed and run again.
type bench struct {
	t       *testing.T
	path    string
	queue   *queue.Queue
	ledger  *ledgertest.Ledger
	readers func(provenance.Host) (manifestReader, bool)
	limits  submitLimits
	sub     *submitter
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, path: filepath.Join(t.TempDir(), "queue.db"), ledger: ledgertest.New(), limits: submitLimits{
		events: 5, linger: time.Millisecond, wait: 5 * time.Millisecond, poll: 2 * time.Millisecond, lease: time.Minute,
		reads: 4, places: 8, again: time.Second, look: time.Second, patience: time.Hour, readAttempts: 3, status: 100 * time.Millisecond, lost: 5 * time.Millisecond, recover: 20 * time.Millisecond,
		backoff: time.Millisecond, backoffMax: 4 * time.Millisecond,
	}}
	b.readers = func(provenance.Host) (manifestReader, bool) { return nil, true }
	if err := queue.Create(t.Context(), b.path); err != nil {
		t.Fatal(err)
	}
	b.open()
	t.Cleanup(func() { _ = b.queue.Close() })
	return b
}

func (b *bench) open() {
	b.t.Helper()
	q, err := queue.Open(b.t.Context(), b.path, queue.Options{Lanes: 2, MinFreeBytes: 1})
	if err != nil {
		b.t.Fatal(err)
	}
	b.queue = q
	b.sub = &submitter{queue: q, ledger: b.ledger, readers: b.readers, log: slog.New(slog.DiscardHandler), limits: b.limits}
}

// reopen is the restart after a crash.
func (b *bench) reopen() {
	b.t.Helper()
	if err := b.queue.Close(); err != nil {
		b.t.Fatal(err)
	}
	b.open()
}

func (b *bench) accept(ds ...delivery.Delivery) {
	b.t.Helper()
	if _, err := b.queue.Accept(b.t.Context(), ds); err != nil {
		b.t.Fatal(err)
	}
}

// run lets the submitter work until done says so, or fails the test.
func (b *bench) run(ctx context.Context, done func(delivery.Stats) bool) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	var err error
	wg.Go(func() { err = b.sub.run(ctx) })
	deadline := time.Now().Add(time.Minute)
	for ctx.Err() == nil {
		s, serr := b.queue.Stats(b.t.Context())
		if serr != nil || time.Now().After(deadline) {
			b.t.Errorf("not done: %+v, %v, %+v", s, serr, b.sub.State())
			break
		}
		if done(s) {
			break
		}
		_ = wait.For(ctx, time.Millisecond)
	}
	cancel()
	wg.Wait()
	if !errors.Is(err, context.Canceled) {
		b.t.Errorf("run: %v", err)
	}
}

func empty(s delivery.Stats) bool { return s.Pending == 0 && s.Sealed == 0 }

func (b *bench) wantOnce(ds []delivery.Delivery) {
	b.t.Helper()
	got := b.ledger.Recordings(b.t)
	for _, d := range ds {
		if got[d.Event.ID] != 1 {
			b.t.Errorf("event %s of %s stands %d times on the ledger, want once", d.Event.Digest.Short(), d.Event.Repository, got[d.Event.ID])
		}
	}
	if len(got) != len(ds) {
		b.t.Errorf("%d events on the ledger, want %d", len(got), len(ds))
	}
}
