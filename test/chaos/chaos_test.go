package chaos

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/test/chaos/check"
)

var (
	chaosSeed    = flag.Uint64("chaos.seed", 0, "what the run draws from; 0 is a new one")
	chaosLength  = flag.Duration("chaos.length", 5*time.Minute, "how long things are broken")
	chaosEvents  = flag.Int("chaos.events", 10_000, "how many events are accepted at least, however short the run")
	chaosPlanted = flag.Bool("chaos.planted", false, "run the planted defects as well, each on a network of its own")
)

// How much longer than it was asked to a run may take: until enough events are
// accepted on a slow machine, and then until all is settled, swept and read.
// Together with the length in `make test` less than the timeout of its tests.
const (
	graceToSend  = 4 * time.Minute
	graceToJudge = 8 * time.Minute
)

func TestChaos(t *testing.T) {
	seed := *chaosSeed
	if seed == 0 {
		seed = 1 + rand.Uint64N(999_999)
	}
	length, events := *chaosLength, *chaosEvents
	again := fmt.Sprintf("the same choices again: make chaos SEED=%d LENGTH=%s EVENTS=%d", seed, length, events)
	t.Logf("seed %d, %d events in %s; %s", seed, events, length, again)
	ctx, cancel := context.WithTimeout(t.Context(), length+graceToSend+graceToJudge)
	defer cancel()
	r := start(t, ctx, seed, nil)
	defer func() {
		if t.Failed() {
			t.Logf("%s\n%s", again, troubles(context.WithoutCancel(ctx), r.lab, r.breaker.gateways))
		}
	}()
	began := time.Now()
	plan := schedule(seed, length, r.orgs(), r.breaker.gateways)
	t.Logf("the schedule:\n%s", listed(plan))
	if err := r.traffic(ctx, plan, length, events); err != nil {
		t.Fatal(err)
	}
	broken := time.Since(began)
	before, err := r.calm(ctx)
	if err != nil {
		t.Fatal(err)
	}
	run, err := r.judgement(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("broken for %s, settled, swept and read in %s more\n%s, %d left out, %d orderers hung, a twin recorded %d events and is unsure of %d\n%v", broken.Round(time.Second), (time.Since(began) - broken).Round(time.Second),
		summary(r.breaker.done), r.breaker.skipped, r.breaker.hung, len(r.twin.stands), len(r.twin.unsure), r.proxy)
	verdict(t, run, before, events, len(r.twin.stands))
	r.busyEnough()
}

// verdict judges the run as it was before the sweep, and after it.
// What a twin recorded was promised by the ledger and accepted by no gateway.
func verdict(t *testing.T, run check.Run, before uint64, events, twins int) {
	t.Helper()
	report, unswept := check.Judge(run), check.Judge(until(run, before))
	t.Logf("before the sweep: %vafter it: %v", unswept, report)
	lost, found := len(unswept.ToSweep), len(unswept.ToSweep)-len(report.ToSweep)
	accepted := report.Promised - twins
	t.Logf("accepted %d, recorded %d and set aside with a reason %d, %d lost, %d twice; lost webhooks %d, found by the sweep %d; %d peers read, %d indexes like their rebuild",
		accepted, unswept.Recorded-twins, report.SetAside, report.Count(check.Lost), report.Count(check.Twice), lost, found, len(run.Peers), len(run.Indexes))
	if len(report.Findings)+len(unswept.Findings) > 0 {
		t.Error("a promise was broken")
	}
	if accepted < events {
		t.Errorf("%d events were accepted, want %d at least", accepted, events)
	}
	if swept := report.Recorded - unswept.Recorded; swept != lost {
		t.Errorf("the sweep recorded %d events, and %d webhooks were lost", swept, lost)
	}
	if lost == 0 || report.SetAside == 0 || report.Refused == 0 || report.Invalid == 0 {
		t.Error("the run was too calm to prove anything")
	}
	damaged(t, run)
}

// until is the run as the peers had it at a height.
func until(run check.Run, height uint64) check.Run {
	out := check.Run{History: run.History, Outboxes: run.Outboxes}
	for _, p := range run.Peers {
		p.Blocks = p.Blocks[:min(height, uint64(len(p.Blocks)))]
		out.Peers = append(out.Peers, p)
	}
	return out
}

// damaged takes one event out of every block that one peer has of it, and then
// promises one more: had the judge been given nothing to compare, it would not
// notice.
func damaged(t *testing.T, run check.Run) {
	t.Helper()
	took := false
	peers := append([]check.Peer{}, run.Peers...)
	blocks := append([]check.Block{}, peers[len(peers)-1].Blocks...)
	for i := range blocks {
		txs := append([]check.Tx{}, blocks[i].Txs...)
		for j := range txs {
			if !took && txs[j].Valid && len(txs[j].Events) > 0 {
				took, txs[j].Events = true, txs[j].Events[1:]
			}
		}
		blocks[i].Txs = txs
	}
	peers[len(peers)-1].Blocks = blocks
	if r := check.Judge(check.Run{History: run.History, Peers: peers, Outboxes: run.Outboxes}); !took || !r.Has(check.Lost) || !r.Has(check.Fork) {
		t.Errorf("an event was taken from the last peer's blocks, and the checker says nothing: %v", r)
	}
}
