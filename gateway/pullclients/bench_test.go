package pullclients

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/readmodel"
	"github.com/waybill-dev/waybill/gateway/record/recordtest"
	"github.com/waybill-dev/waybill/gateway/wait"
)

// drain records n events.
func drain(b *recordtest.Bench, n int) {
	b.T.Helper()
	b.Run(b.T.Context(), func(s delivery.Stats) bool { return s.Done == int64(n) })
}

// storing runs a keeper over the bench's queue until no client is pending.
func storing(b *recordtest.Bench, c *collection) *wait.Reasons {
	b.T.Helper()
	w := &wait.Reasons{}
	k := &Store{Queue: b.Queue, Ledger: c, Waits: w, Log: slog.New(slog.DiscardHandler), Woken: make(chan struct{}, 1), limits: storeLimits{
		page: 2, parallel: 2, poll: time.Millisecond, backoff: time.Millisecond, backoffMax: 2 * time.Millisecond,
	}}
	ctx, cancel := context.WithTimeout(b.T.Context(), 20*time.Second)
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	for ctx.Err() == nil {
		left, err := b.Queue.PendingClients(ctx, nil, 1)
		if err != nil {
			b.T.Fatal(err)
		}
		if len(left) == 0 && w.Longest().Reason == "" { // the wait ends a moment after the row
			break
		}
		_ = wait.For(ctx, time.Millisecond)
	}
	if ctx.Err() != nil {
		b.T.Errorf("not kept in time; it waits for %q", w.Longest().Reason)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		b.T.Errorf("keeper: %v", err)
	}
	return w
}

// lookedUp asks for every hidden pull that is on the ledger.
func lookedUp(b *recordtest.Bench, c *collection, want int) {
	b.T.Helper()
	var pulls []readmodel.Pull
	for key, segment := range b.Ledger.Segments {
		events, err := provenance.DecodeSegment(segment)
		if err != nil {
			b.T.Fatal(err)
		}
		nth := 0
		for _, e := range events {
			if e.Blind.IsZero() {
				continue
			}
			fields := strings.Fields(strings.Trim(key, "[]"))
			var n uint64
			if _, err := fmt.Sscan(fields[2], &n); err != nil {
				b.T.Fatal(err)
			}
			pulls = append(pulls, readmodel.Pull{Host: provenance.Host(fields[0]), Lane: fields[1], Number: n, Nth: nth, ID: e.ID, Blind: e.Blind})
			nth++
		}
	}
	clients, errs := Lookup{Ledger: c}.Lookup(b.T.Context(), pulls)
	seen := map[string]bool{}
	for i, who := range clients {
		if errs[i] != nil || who.Address != "10.2.3.4" || seen[who.Actor] {
			b.T.Errorf("pull %d: %+v, %v", i, who, errs[i])
		}
		seen[who.Actor] = true
	}
	if len(seen) != want {
		b.T.Errorf("%d clients, want %d", len(seen), want)
	}
	pulls[0].Blind = provenance.SHA256Of([]byte("another"))
	pulls[1].Number = 999
	_, errs = Lookup{Ledger: c}.Lookup(b.T.Context(), pulls[:2])
	if provenance.CodeOf(errs[0]) != provenance.Internal || provenance.CodeOf(errs[1]) != provenance.NotFound {
		b.T.Errorf("what does not hash to the channel, and what is not kept: %v", errs)
	}
}
