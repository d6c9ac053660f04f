package pullclients

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/gateway/ledger/ledgertest"
	"github.com/waybill-dev/waybill/gateway/record/recordtest"
	"github.com/waybill-dev/waybill/gateway/wait"
)

// private is a pull whose client must not come to the channel.
func private(repo string, n int) delivery.Delivery {
	d := recordtest.Event(repo, n, provenance.Pull)
	d.Event.Actor, d.Event.Address, d.Event.UserAgent, d.Event.Blind = fmt.Sprintf("client-%d", n), "10.2.3.4", "containerd/2", provenance.Unblinded()
	return d
}

// collection is our organisation's private data: like the contract, it takes
// only what hashes to the segment on the ledger.
type collection struct {
	mu     sync.Mutex
	ledger *ledgertest.Ledger
	kept   map[string][]byte
	calls  int
	fault  func(call int) error
	after  func(call int) error // of a transaction that stands all the same
}

func (c *collection) SubmitPrivate(_ context.Context, transient map[string][]byte, fn string, args ...string) (ledger.Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	if err := ledgertest.Call(c.fault, c.calls); err != nil {
		return ledger.Result{}, err
	}
	key := fmt.Sprint(args)
	c.ledger.Mu.Lock()
	segment := c.ledger.Segments[key]
	c.ledger.Mu.Unlock()
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
	return ledger.Result{}, ledgertest.Call(c.after, c.calls)
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

// What is to be hidden never is in what the ledger is sent, and is all in what
// is kept, through failures before and after the transaction.
func TestHiddenClients(t *testing.T) {
	b := recordtest.New(t)
	var ds []delivery.Delivery
	for i := range 12 {
		ds = append(ds, private("team/app", i), recordtest.Event("team/app", 100+i, provenance.Pull))
	}
	b.Accept(ds...)
	drain(b, len(ds))
	public := b.Ledger.Segments
	for key, segment := range public {
		for _, text := range []string{"client-", "10.2.3.4", "containerd"} {
			if strings.Contains(string(segment), text) {
				t.Errorf("segment %s shows %q", key, text)
			}
		}
	}
	c := &collection{ledger: b.Ledger, kept: map[string][]byte{}}
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
	w := storing(b, c)
	if got := w.Longest(); got.Reason != "" {
		t.Errorf("still waits: %+v", got)
	}
	if len(c.kept) != len(public) || c.calls <= len(public) {
		t.Errorf("%d of %d segments kept in %d calls", len(c.kept), len(public), c.calls)
	}
	lookedUp(b, c, 12)
}

// A segment that cannot be kept does not keep the others from it, and stays.
func TestKeeperGoesOn(t *testing.T) {
	b := recordtest.New(t)
	for i := range 11 {
		b.Accept(private("team/app", i))
	}
	drain(b, 11)
	c := &collection{ledger: b.Ledger, kept: map[string][]byte{}}
	var bad string
	k := &Store{Queue: b.Queue, Ledger: refusing{c, &bad}, Waits: &wait.Reasons{}, Log: slog.New(slog.DiscardHandler), Woken: make(chan struct{}, 1), limits: storeLimits{page: 1, parallel: 1}}
	all, err := b.Queue.PendingClients(t.Context(), nil, 99)
	if err != nil || len(all) < 2 {
		t.Fatalf("%d segments hide something, %v", len(all), err)
	}
	bad = fmt.Sprint(all[0].Seq)
	if err := k.pass(t.Context()); provenance.CodeOf(err) != provenance.Forbidden {
		t.Errorf("pass: %v", err)
	}
	left, err := b.Queue.PendingClients(t.Context(), nil, 99)
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
