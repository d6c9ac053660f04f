package recordtest

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
	"github.com/waybill-dev/waybill/gateway/record"
	"github.com/waybill-dev/waybill/gateway/registry"
	"github.com/waybill-dev/waybill/gateway/wait"
)

// FakeRegistry answers Manifest by a function.
type FakeRegistry func(repo provenance.Repository, d provenance.Digest) (registry.Facts, error)

// Resolve asks for the zero digest; the config of the answer is what the tag names.
func (f FakeRegistry) Resolve(_ context.Context, repo provenance.Repository, _ provenance.Tag) (provenance.Digest, error) {
	facts, err := f(repo, provenance.Digest{})
	return facts.Config, err
}

// Manifest answers by the function.
func (f FakeRegistry) Manifest(_ context.Context, repo provenance.Repository, d provenance.Digest) (registry.Facts, error) {
	return f(repo, d)
}

// ManifestBytes answers by the function, without bytes.
func (f FakeRegistry) ManifestBytes(ctx context.Context, repo provenance.Repository, d provenance.Digest) (registry.Facts, []byte, error) {
	facts, err := f.Manifest(ctx, repo, d)
	return facts, nil, err
}

// Host is the registry that events are of.
const Host = provenance.Host("registry.example.com")

// Event is the nth delivery of a repository.
func Event(repo string, n int, action provenance.Action) delivery.Delivery {
	name := fmt.Sprintf("%s/%d", repo, n)
	tag := provenance.Tag("v1")
	if action == provenance.Delete {
		tag = "" // with one it would be a deletion for the tag's sake
	}
	return delivery.Delivery{Host: Host, Connector: "main", ReceivedAt: time.UnixMilli(1_700_000_000_000), Event: provenance.Event{
		ID: provenance.NewEventID("test", "main", name, action.String()), Action: action, Source: "distribution",
		Repository: provenance.Repository(repo), Tag: tag, Digest: provenance.SHA256Of([]byte(name)), OccurredAt: time.UnixMilli(1_700_000_000_000 + int64(n)).UTC(),
	}}
}

// Pushes are the first n pushes to a repository.
func Pushes(repo string, n int) []delivery.Delivery {
	var ds []delivery.Delivery
	for i := range n {
		ds = append(ds, Event(repo, i, provenance.Push))
	}
	return ds
}

// Bench is a queue on disk and a submitter that can be run, crashed and run again.
type Bench struct {
	T        *testing.T
	Path     string
	Queue    *queue.Queue
	Ledger   *ledgertest.Ledger
	Readers  func(provenance.Host) (record.Registry, bool)
	Limits   record.Limits
	Recorder *record.Recorder
}

// New returns a bench whose registry is not read back.
func New(t *testing.T) *Bench {
	t.Helper()
	b := &Bench{T: t, Path: filepath.Join(t.TempDir(), "queue.db"), Ledger: ledgertest.New(), Limits: record.Limits{
		Events: 5, Linger: time.Millisecond, Wait: 5 * time.Millisecond, Poll: 2 * time.Millisecond, Lease: time.Minute,
		Reads: 4, Places: 8, Again: time.Second, Look: time.Second, Patience: time.Hour, ReadAttempts: 3, Status: 100 * time.Millisecond, Lost: 5 * time.Millisecond, Recover: 20 * time.Millisecond,
		Backoff: time.Millisecond, BackoffMax: 4 * time.Millisecond,
	}}
	b.Readers = func(provenance.Host) (record.Registry, bool) { return nil, true }
	if err := queue.Create(t.Context(), b.Path); err != nil {
		t.Fatal(err)
	}
	b.Open()
	t.Cleanup(func() { _ = b.Queue.Close() })
	return b
}

// Open opens the queue, with a recorder that has not run.
func (b *Bench) Open() {
	b.T.Helper()
	q, err := queue.Open(b.T.Context(), b.Path, queue.Options{Lanes: 2, MinFreeBytes: 1})
	if err != nil {
		b.T.Fatal(err)
	}
	b.Queue = q
	b.Recorder = &record.Recorder{Queue: q, Ledger: b.Ledger, Readers: b.Readers, Log: slog.New(slog.DiscardHandler), Limits: b.Limits}
}

// Reopen is the restart after a crash.
func (b *Bench) Reopen() {
	b.T.Helper()
	if err := b.Queue.Close(); err != nil {
		b.T.Fatal(err)
	}
	b.Open()
}

// Accept puts deliveries into the queue.
func (b *Bench) Accept(ds ...delivery.Delivery) {
	b.T.Helper()
	if _, err := b.Queue.Accept(b.T.Context(), ds); err != nil {
		b.T.Fatal(err)
	}
}

// Run lets the submitter work until done says so, or fails the test.
func (b *Bench) Run(ctx context.Context, done func(delivery.Stats) bool) {
	b.T.Helper()
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	var err error
	wg.Go(func() { err = b.Recorder.Run(ctx) })
	deadline := time.Now().Add(time.Minute)
	for ctx.Err() == nil {
		s, serr := b.Queue.Stats(context.WithoutCancel(ctx))
		if serr != nil || time.Now().After(deadline) {
			b.T.Errorf("not done: %+v, %v, %+v", s, serr, b.Recorder.State())
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
		b.T.Errorf("run: %v", err)
	}
}

// Empty tells whether nothing is left to record.
func Empty(s delivery.Stats) bool { return s.Pending == 0 && s.Sealed == 0 }

// WantOnce wants these deliveries on the ledger once each, and no other.
func (b *Bench) WantOnce(ds []delivery.Delivery) {
	b.T.Helper()
	got := b.Ledger.Recordings(b.T)
	for _, d := range ds {
		if got[d.Event.ID] != 1 {
			b.T.Errorf("event %s of %s stands %d times on the ledger, want once", d.Event.Digest.Short(), d.Event.Repository, got[d.Event.ID])
		}
	}
	if len(got) != len(ds) {
		b.T.Errorf("%d events on the ledger, want %d", len(got), len(ds))
	}
}
