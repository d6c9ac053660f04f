package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// private is a pull whose client must not come to the channel.
func private(repo string, n int) delivery.Delivery {
	d := event(repo, n, provenance.Pull)
	d.Event.Actor, d.Event.Address, d.Event.UserAgent, d.Event.Blind = fmt.Sprintf("client-%d", n), "10.2.3.4", "containerd/2", provenance.Unblinded()
	return d
}

// collection is our organisation's private data: like the contract, it takes
// only what hashes to the segment on the ledger.
type collection struct {
	mu     sync.Mutex
	ledger *fakeLedger
	kept   map[string][]byte
	calls  int
	fault  func(call int) error
	after  func(call int) error // of a transaction that stands all the same
}

func (c *collection) SubmitPrivate(_ context.Context, transient map[string][]byte, fn string, args ...string) (ledger.Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	if err := call(c.fault, c.calls); err != nil {
		return ledger.Result{}, err
	}
	key := fmt.Sprint(args)
	c.ledger.mu.Lock()
	segment := c.ledger.segments[key]
	c.ledger.mu.Unlock()
	events, err := provenance.DecodeSegment(segment)
	if err != nil || fn != "record:Clients" {
		return ledger.Result{}, provenance.Errorf(provenance.NotFound, "%s of segment %s: %v", fn, key, err)
	}
	clients, err := provenance.DecodeClients(transient["clients"])
	if err == nil {
		err = clients.Check(events)
	}
	if err == nil && c.kept[key] != nil && !bytes.Equal(c.kept[key], transient["clients"]) {
		err = provenance.Errorf(provenance.Conflict, "others are kept")
	}
	if err != nil {
		return ledger.Result{}, err
	}
	c.kept[key] = transient["clients"]
	return ledger.Result{}, call(c.after, c.calls)
}

func (c *collection) EvaluateOwn(_ context.Context, _ string, args ...string) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, ok := c.kept[fmt.Sprint(args)]
	if !ok {
		return nil, provenance.Errorf(provenance.NotFound, "nothing is kept")
	}
	return json.Marshal(map[string][]byte{"clients": b})
}

// drain records n events.
func (b *bench) drain(n int) {
	b.t.Helper()
	b.run(b.t.Context(), func(s delivery.Stats) bool { return s.Done == int64(n) })
}

// keeping runs a keeper over the bench's queue until nothing is unkept.
func (b *bench) keeping(c *collection) *waits {
	b.t.Helper()
	w := &waits{}
	k := &keeper{queue: b.queue, ledger: c, waits: w, log: slog.New(slog.DiscardHandler), woken: make(chan struct{}, 1), limits: keepLimits{
		page: 2, parallel: 2, poll: time.Millisecond, backoff: time.Millisecond, backoffMax: 2 * time.Millisecond,
	}}
	ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
	done := make(chan error, 1)
	go func() { done <- k.run(ctx) }()
	for ctx.Err() == nil {
		left, err := b.queue.Unkept(ctx, nil, 1)
		if err != nil {
			b.t.Fatal(err)
		}
		if len(left) == 0 && w.state().Reason == "" { // the wait ends a moment after the row
			break
		}
		_ = pauseFor(ctx, time.Millisecond)
	}
	if ctx.Err() != nil {
		b.t.Errorf("not kept in time; it waits for %q", w.state().Reason)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		b.t.Errorf("keeper: %v", err)
	}
	return w
}

// What is to be hidden never is in what the ledger is sent, and is all in what
// is kept, through failures before and after the transaction.
func TestHiddenClients(t *testing.T) {
	b := newBench(t)
	var ds []delivery.Delivery
	for i := range 12 {
		ds = append(ds, private("team/app", i), event("team/app", 100+i, provenance.Pull))
	}
	b.accept(ds...)
	b.drain(len(ds))
	public := b.ledger.segments
	for key, segment := range public {
		for _, text := range []string{"client-", "10.2.3.4", "containerd"} {
			if strings.Contains(string(segment), text) {
				t.Errorf("segment %s shows %q", key, text)
			}
		}
	}
	c := &collection{ledger: b.ledger, kept: map[string][]byte{}}
	c.fault = func(n int) error {
		if n%3 == 0 {
			return provenance.Errorf(provenance.Unavailable, "the peer is down")
		}
		return nil
	}
	c.after = func(n int) error {
		if n%4 == 0 {
			return provenance.Errorf(provenance.Unavailable, "no answer")
		}
		return nil
	}
	w := b.keeping(c)
	if got := w.state(); got.Reason != "" {
		t.Errorf("still waits: %+v", got)
	}
	if len(c.kept) != len(public) || c.calls <= len(public) {
		t.Errorf("%d of %d segments kept in %d calls", len(c.kept), len(public), c.calls)
	}
	b.revealed(c, 12)
}

// revealed asks for every hidden pull that is on the ledger.
func (b *bench) revealed(c *collection, want int) {
	b.t.Helper()
	var pulls []readmodel.Pull
	for key, segment := range b.ledger.segments {
		events, err := provenance.DecodeSegment(segment)
		if err != nil {
			b.t.Fatal(err)
		}
		nth := 0
		for _, e := range events {
			if e.Blind.IsZero() {
				continue
			}
			fields := strings.Fields(strings.Trim(key, "[]"))
			var n uint64
			if _, err := fmt.Sscan(fields[2], &n); err != nil {
				b.t.Fatal(err)
			}
			pulls = append(pulls, readmodel.Pull{Host: provenance.Host(fields[0]), Lane: fields[1], Number: n, Nth: nth, ID: e.ID, Blind: e.Blind})
			nth++
		}
	}
	clients, errs := revealer{c}.Reveal(b.t.Context(), pulls)
	seen := map[string]bool{}
	for i, who := range clients {
		if errs[i] != nil || who.Address != "10.2.3.4" || seen[who.Actor] {
			b.t.Errorf("pull %d: %+v, %v", i, who, errs[i])
		}
		seen[who.Actor] = true
	}
	if len(seen) != want {
		b.t.Errorf("%d clients, want %d", len(seen), want)
	}
	pulls[0].Blind = provenance.SHA256Of([]byte("another"))
	pulls[1].Number = 999
	_, errs = revealer{c}.Reveal(b.t.Context(), pulls[:2])
	if provenance.CodeOf(errs[0]) != provenance.Internal || provenance.CodeOf(errs[1]) != provenance.NotFound {
		b.t.Errorf("what does not hash to the channel, and what is not kept: %v", errs)
	}
}

// A segment that cannot be kept does not keep the others from it, and stays.
func TestKeeperGoesOn(t *testing.T) {
	b := newBench(t)
	for i := range 11 {
		b.accept(private("team/app", i))
	}
	b.drain(11)
	c := &collection{ledger: b.ledger, kept: map[string][]byte{}}
	var bad string
	k := &keeper{queue: b.queue, ledger: refusing{c, &bad}, waits: &waits{}, log: slog.New(slog.DiscardHandler), woken: make(chan struct{}, 1), limits: keepLimits{page: 1, parallel: 1}}
	all, err := b.queue.Unkept(t.Context(), nil, 99)
	if err != nil || len(all) < 2 {
		t.Fatalf("%d segments hide something, %v", len(all), err)
	}
	bad = fmt.Sprint(all[0].Seq)
	if err := k.pass(t.Context()); provenance.CodeOf(err) != provenance.Forbidden {
		t.Errorf("pass: %v", err)
	}
	left, err := b.queue.Unkept(t.Context(), nil, 99)
	if err != nil || len(left) != 1 || left[0].Seq != all[0].Seq || len(c.kept) != len(all)-1 {
		t.Errorf("%d left, %d kept of %d, %v", len(left), len(c.kept), len(all), err)
	}
}

type refusing struct {
	*collection
	seq *string
}

func (r refusing) SubmitPrivate(ctx context.Context, transient map[string][]byte, fn string, args ...string) (ledger.Result, error) {
	if args[2] == *r.seq {
		return ledger.Result{}, provenance.Errorf(provenance.Forbidden, "no grant")
	}
	return r.collection.SubmitPrivate(ctx, transient, fn, args...)
}
