package clock

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/gateway/ledger/ledgertest"
	"github.com/waybill-dev/waybill/gateway/wait"
	"github.com/waybill-dev/waybill/gateway/wait/waittest"
)

// ticking is a ledger with a clock, and the gateways of its members on one time.
type ticking struct {
	state   *ledgertest.State
	time    time.Time
	tickers map[string]*Ticker
	ticks   []string // who, in order
	down    map[string]error
	counts  map[string]int
	said    strings.Builder
	age     time.Duration
}

// by is the ledger as one member's gateway uses it.
type by struct {
	*ticking
	t   *testing.T
	msp string
}

func (b by) SubmitTransient(_ context.Context, transient map[string][]byte, fn string, args ...string) (ledger.Result, error) {
	if err := b.down[b.msp]; err != nil {
		return ledger.Result{}, err
	}
	if fn != clockTick || len(args)+len(transient) > 0 {
		b.t.Errorf("%s asked for %s %q", b.msp, fn, args)
	}
	b.ticks = append(b.ticks, b.msp)
	b.tick(b.t)
	return ledger.Result{}, nil
}

// tick does what the contract does.
func (w *ticking) tick(t *testing.T) {
	var c state.Clock
	if _, err := state.Read(w.state, state.ClockKey(), &c); err != nil {
		t.Fatal(err)
	}
	if now := w.time.Truncate(time.Minute); now.After(c.At) {
		w.state.Put(t, state.ClockKey(), state.Clock{At: now, Seq: c.Seq + 1})
	}
}

func newTicking(t *testing.T, members ...string) *ticking {
	t.Helper()
	w := &ticking{state: &ledgertest.State{}, time: time.Date(2026, 3, 2, 10, 0, 17, 0, time.UTC), tickers: map[string]*Ticker{}, down: map[string]error{}, counts: map[string]int{}}
	w.state.Put(t, state.MembersKey(), state.Members{MSPs: members})
	for _, msp := range append(members, "StrangerMSP") {
		w.tickers[msp] = &Ticker{
			MSP: msp, View: w.state.View, Ledger: by{w, t, msp}, Waits: &wait.Reasons{}, Log: slog.New(slog.NewTextHandler(&w.said, nil)),
			Count: func(o string) { w.counts[o]++ }, Behind: func(d time.Duration) { w.age = d }, Now: func() time.Time { return w.time }, limits: defaultTickLimits(),
		}
	}
	return w
}

// pass lets time pass by seconds, in which every gateway looks.
func (w *ticking) pass(t *testing.T, seconds int) (oldest time.Duration) {
	t.Helper()
	for range seconds {
		w.time = w.time.Add(time.Second)
		for _, c := range w.tickers {
			if _, err := c.turn(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		oldest = max(oldest, w.age)
	}
	return oldest
}

// While one gateway lives, the ledger's clock is never much older than a minute;
// and while all do, one of them ticks, once a minute.
func TestClock(t *testing.T) {
	w := newTicking(t, "VendorMSP", "AuditMSP", "OpsMSP")
	w.pass(t, 1)
	if len(w.ticks) != 1 {
		t.Fatalf("a clock that has not begun was moved by %q", w.ticks)
	}
	w.ticks = nil
	if oldest := w.pass(t, 600); oldest > 61*time.Second {
		t.Errorf("the clock was %s old", oldest)
	}
	if len(w.ticks) != 10 || strings.Join(w.ticks, "") != strings.Repeat("AuditMSP", 10) {
		t.Errorf("ticks in ten minutes: %q", w.ticks)
	}
	// The first one's gateways are away: the next member takes its turn.
	delete(w.tickers, "AuditMSP")
	w.ticks = nil
	if oldest := w.pass(t, 600); oldest > 65*time.Second {
		t.Errorf("without the first: the clock was %s old", oldest)
	}
	if len(w.ticks) != 10 || strings.Join(w.ticks, "") != strings.Repeat("OpsMSP", 10) {
		t.Errorf("without the first: ticks %q", w.ticks)
	}
	if w.counts["failed"] > 0 || w.said.Len() > 0 {
		t.Errorf("%v, %s", w.counts, w.said.String())
	}
}

// Where a member is refused, it is counted each time, said once, and the next
// member ticks.
func TestClockRefused(t *testing.T) {
	w := newTicking(t, "AuditMSP", "OpsMSP")
	w.pass(t, 1)
	w.down["AuditMSP"] = provenance.Errorf(provenance.Forbidden, "needs the role gateway")
	if oldest := w.pass(t, 300); oldest > 65*time.Second {
		t.Errorf("the clock was %s old", oldest)
	}
	if n := strings.Count(w.said.String(), "cannot be moved"); n != 1 || w.counts["failed"] < 5 {
		t.Errorf("said %d times, %v", n, w.counts)
	}
	if why := w.tickers["AuditMSP"].Waits.Longest().Reason; !strings.Contains(why, "needs the role gateway") {
		t.Errorf("its status says %q", why)
	}
	delete(w.down, "AuditMSP")
	w.pass(t, 120)
	if why := w.tickers["AuditMSP"].Waits.Longest().Reason; why != "" {
		t.Errorf("mended, its status says %q", why)
	}
	// Others were faster, time after time: the clock has moved.
	w = newTicking(t, "AuditMSP")
	w.down["AuditMSP"] = provenance.Errorf(provenance.Conflict, "8 runs lost a race")
	if w.pass(t, 1); w.counts["failed"] != 0 || w.said.Len() != 0 {
		t.Errorf("%v, %s", w.counts, w.said.String())
	}
}

// Nobody ticks twice in a minute, however late the index sees it, and a gateway
// whose organisation is no member does not tick at all.
func TestClockOnce(t *testing.T) {
	w := newTicking(t, "AuditMSP")
	frozen := &ledgertest.State{}
	frozen.Put(t, state.MembersKey(), state.Members{MSPs: []string{"AuditMSP"}})
	w.tickers["AuditMSP"].View = frozen.View
	w.time = w.time.Truncate(time.Minute)
	w.pass(t, 59)
	if len(w.ticks) != 1 {
		t.Errorf("ticks %q", w.ticks)
	}
}

// Many members' turns end before what depends on time is unmet.
func TestClockTurnsEnd(t *testing.T) {
	l := defaultTickLimits()
	if last := policy.ClockTick + time.Duration(l.turns)*l.turn; last > 110*time.Second {
		t.Errorf("the last turn is at %s", last)
	}
}

func TestClockLoop(t *testing.T) {
	w := newTicking(t, "AuditMSP")
	c := w.tickers["AuditMSP"]
	c.limits = tickLimits{look: time.Millisecond, timeout: time.Minute}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := c.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("run: %v", err)
		}
	})
	waittest.Until(t, func() bool {
		var clock state.Clock
		_, err := state.Read(w.state, state.ClockKey(), &clock)
		return err == nil && !clock.At.IsZero()
	})
	cancel()
	wg.Wait()
}
