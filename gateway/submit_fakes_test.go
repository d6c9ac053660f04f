package gateway

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/gateway/registry"
)

// fakeLedger behaves as Fabric and the contract do, in one mutex: a
// transaction is judged when it is ordered, by what its endorsement had read;
// the same id is ordered once; a fate is asked until ctx ends.
type fakeLedger struct {
	mu       sync.Mutex
	segments map[string][]byte // state: key -> bytes
	fates    map[string]string // txID -> validation code
	txs      int
	resent   int // submits of a transaction that was ordered before
	endorsed [][]provenance.Event
	carried  []map[provenance.Digest][]byte // the manifests of each endorsement

	// Faults. Each is called without the lock, n counts the calls of its kind.
	onEndorse, onSubmit, afterSubmit, onStatus func(n int) error
	endorses, submits, statuses                int
	refuse                                     func(e provenance.Event) error // the contract's word on one event
	invalid                                    func(n int) string             // code of the nth ordered transaction
}

type fakeTx struct {
	ID, Key string
	Bytes   []byte
	Absent  bool // the key was absent when it was endorsed
}

func newFakeLedger() *fakeLedger {
	return &fakeLedger{segments: map[string][]byte{}, fates: map[string]string{}}
}

func call(fault func(int) error, n int) error {
	if fault == nil {
		return nil
	}
	return fault(n)
}

func (f *fakeLedger) Endorse(ctx context.Context, fn string, args []string, transient map[string][]byte) (ledger.Endorsed, error) {
	f.mu.Lock()
	f.endorses++
	n := f.endorses
	f.mu.Unlock()
	if err := call(f.onEndorse, n); err != nil {
		return ledger.Endorsed{}, err
	}
	if ctx.Err() != nil {
		return ledger.Endorsed{}, provenance.Wrap(provenance.Unavailable, ctx.Err(), "endorse")
	}
	events, err := provenance.DecodeSegment(transient["segment"])
	if err != nil || fn != "record:Segment" || len(args) != 4 {
		return ledger.Endorsed{}, provenance.Errorf(provenance.Internal, "bad call of %s%v: %v", fn, args, err)
	}
	for _, e := range events {
		if f.refuse != nil {
			if err := f.refuse(e); err != nil {
				return ledger.Endorsed{}, err
			}
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.endorsed = append(f.endorsed, events)
	carried, err := decodeManifests(transient["manifests"])
	if err != nil {
		return ledger.Endorsed{}, err
	}
	f.carried = append(f.carried, carried)
	f.txs++
	tx := fakeTx{ID: fmt.Sprintf("tx%d", f.txs), Key: fmt.Sprint(args[:3]), Bytes: transient["segment"]}
	known, exists := f.segments[tx.Key]
	tx.Absent = !exists
	if exists && string(known) != string(tx.Bytes) {
		return ledger.Endorsed{}, provenance.Errorf(provenance.Conflict, "segment %s is on the ledger with other bytes", tx.Key)
	}
	b, err := json.Marshal(tx)
	return ledger.Endorsed{TxID: tx.ID, Bytes: b}, err
}

// decodeManifests reads the transient field as the contract does: each once,
// together at most provenance.MaxManifests.
func decodeManifests(b []byte) (map[provenance.Digest][]byte, error) {
	if len(b) > provenance.MaxManifests {
		return nil, provenance.Errorf(provenance.Invalid, "%d bytes of manifests", len(b))
	}
	out := map[provenance.Digest][]byte{}
	for len(b) > 0 {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > provenance.MaxManifest || uint64(len(b)-n) < size {
			return nil, provenance.Errorf(provenance.Invalid, "manifests are cut")
		}
		body := b[n : n+int(size)]
		if d := provenance.SHA256Of(body); out[d] != nil {
			return nil, provenance.Errorf(provenance.Invalid, "manifest %s twice", d)
		} else {
			out[d] = body
		}
		b = b[n+int(size):]
	}
	return out, nil
}

func (f *fakeLedger) SubmitEndorsed(ctx context.Context, e ledger.Endorsed) error {
	f.mu.Lock()
	f.submits++
	n := f.submits
	f.mu.Unlock()
	if err := call(f.onSubmit, n); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return provenance.Wrap(provenance.Unavailable, ctx.Err(), "submit")
	}
	if err := f.order(e); err != nil {
		return err
	}
	return call(f.afterSubmit, n)
}

func (f *fakeLedger) order(e ledger.Endorsed) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var tx fakeTx
	if err := json.Unmarshal(e.Bytes, &tx); err != nil {
		return err
	}
	if _, ok := f.fates[tx.ID]; ok {
		f.resent++ // already processed: no failure, no second effect
		return nil
	}
	code := "VALID"
	if f.invalid != nil {
		code = f.invalid(len(f.fates) + 1)
	}
	if _, exists := f.segments[tx.Key]; exists && tx.Absent {
		code = "MVCC_READ_CONFLICT"
	}
	f.fates[tx.ID] = code
	if code == "VALID" {
		f.segments[tx.Key] = tx.Bytes
	}
	return nil
}

func (f *fakeLedger) CommitStatus(ctx context.Context, txID string) (ledger.Commit, error) {
	f.mu.Lock()
	f.statuses++
	n := f.statuses
	f.mu.Unlock()
	if err := call(f.onStatus, n); err != nil {
		return ledger.Commit{}, err
	}
	for {
		f.mu.Lock()
		code, ok := f.fates[txID]
		f.mu.Unlock()
		if ok {
			return ledger.Commit{Valid: code == "VALID", Code: code, Block: 7}, nil
		}
		if err := pauseFor(ctx, time.Millisecond); err != nil {
			return ledger.Commit{}, provenance.Wrap(provenance.Unavailable, err, "commit status of %s", txID)
		}
	}
}

// recordings counts how often each event stands on the ledger.
func (f *fakeLedger) recordings(t *testing.T) map[provenance.EventID]int {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	count := map[provenance.EventID]int{}
	for key, b := range f.segments {
		events, err := provenance.DecodeSegment(b)
		if err != nil {
			t.Fatalf("segment %s: %v", key, err)
		}
		for _, e := range events {
			count[e.ID]++
		}
	}
	return count
}

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
	ledger  *fakeLedger
	readers func(provenance.Host) (manifestReader, bool)
	limits  submitLimits
	sub     *submitter
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, path: filepath.Join(t.TempDir(), "queue.db"), ledger: newFakeLedger(), limits: submitLimits{
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
		_ = pauseFor(ctx, time.Millisecond)
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
	got := b.ledger.recordings(b.t)
	for _, d := range ds {
		if got[d.Event.ID] != 1 {
			b.t.Errorf("event %s of %s stands %d times on the ledger, want once", d.Event.Digest.Short(), d.Event.Repository, got[d.Event.ID])
		}
	}
	if len(got) != len(ds) {
		b.t.Errorf("%d events on the ledger, want %d", len(got), len(ds))
	}
}
