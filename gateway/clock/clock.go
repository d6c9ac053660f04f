package clock

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/gateway/wait"
)

// clockTick is the transaction that moves the ledger's clock on.
const clockTick = "clock:Tick"

// submitter brings a transaction of this gateway onto the ledger; the same twice is
// success without a second write.
type submitter interface {
	SubmitTransient(ctx context.Context, transient map[string][]byte, fn string, args ...string) (ledger.Result, error)
}

// Ticker keeps the ledger's clock from standing still. Every gateway of every
// member looks, and normally one of them ticks: the members have their turns one
// after the other, in the order of their names, so that the second acts only
// where the first did not. What several tick at once is one tick: the others
// find it done.
//
// How much a rule of time can be cut short by an endorsement that somebody keeps
// back is bounded by two minutes, in all: an act that reads the clock is invalid
// once the next tick is committed, which takes a minute and what this gateway
// and the ledger need for it (tickLimits.look, and one turn for each member before
// it whose gateways are down). What an act claims moves it within its tick only, and
// a tick may be early by the peers' time window (20 s; network/templates/core.yaml.tmpl).
// Where no gateway ticks, what depends on time is unmet after policy.ClockGrace, and
// says so.
type Ticker struct {
	MSP    string
	View   func(ctx context.Context, read func(state.Scanner) error) error
	Ledger submitter
	Waits  *wait.Reasons
	Log    *slog.Logger
	Count  func(outcome string)  // ticked, failed
	Behind func(d time.Duration) // how old the clock is; zero before the first tick
	Now    func() time.Time
	limits tickLimits

	last time.Time // the minute that was ticked last from here
}

// tickLimits are the numbers of the ticker.
type tickLimits struct {
	look    time.Duration // between looks
	jitter  time.Duration // so that replicas of one gateway do not tick at once
	turn    time.Duration // from one member's turn to the next one's
	turns   int           // members that have a turn of their own; the rest share the last
	timeout time.Duration // of one tick
	again   time.Duration // after one that failed
}

func defaultTickLimits() tickLimits {
	return tickLimits{look: time.Second, jitter: 500 * time.Millisecond, turn: 4 * time.Second, turns: 10, timeout: 20 * time.Second, again: 5 * time.Second}
}

// Run ticks until ctx ends. It fails only when the index does.
func (c *Ticker) Run(ctx context.Context) error {
	if c.limits == (tickLimits{}) {
		c.limits = defaultTickLimits()
	}
	for {
		pause, err := c.turn(ctx)
		if err != nil {
			return err
		}
		if err := wait.For(ctx, pause+rand.N(c.limits.jitter+1)); err != nil {
			return err
		}
	}
}

// turn ticks when it is due, and returns when to look again.
func (c *Ticker) turn(ctx context.Context) (time.Duration, error) {
	const source = "ledger's clock"
	due, err := c.due(ctx)
	if err != nil || !due {
		return c.limits.look, err
	}
	minute := c.Now().Truncate(policy.ClockTick)
	ticking, cancel := context.WithTimeout(ctx, c.limits.timeout)
	defer cancel()
	_, err = c.Ledger.SubmitTransient(ticking, nil, clockTick)
	switch {
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case err != nil && provenance.CodeOf(err) != provenance.Conflict:
		c.Count("failed")
		if c.Waits.Begin(source, err) {
			c.Log.WarnContext(ctx, "the ledger's clock cannot be moved", slog.Any("error", err))
		}
		return c.limits.again, nil
	case err == nil:
		c.Count("ticked")
	}
	// Or others ticked so often meanwhile that ours lost every race.
	c.Waits.End(source)
	c.last = minute
	return c.limits.look, nil
}

// due tells whether it is this member's turn to tick.
func (c *Ticker) due(ctx context.Context) (bool, error) {
	var clock state.Clock
	var members state.Members
	err := c.View(ctx, func(r state.Scanner) (err error) {
		clock = state.Clock{}
		if _, err = state.Read(r, state.ClockKey(), &clock); err != nil {
			return err
		}
		members, err = state.LoadMembers(r)
		return err
	})
	if err != nil {
		return false, err
	}
	now := c.Now()
	age := now.Sub(clock.At)
	if clock.At.IsZero() {
		age = 0
	}
	c.Behind(age)
	place := slices.Index(slices.Sorted(slices.Values(members.MSPs)), c.MSP)
	if place < 0 || !now.Truncate(policy.ClockTick).After(c.last) {
		return false, nil // the index has not seen our own tick yet
	}
	// A clock that has not begun is one that stood still for long.
	return now.Sub(clock.At) >= policy.ClockTick+time.Duration(min(place, c.limits.turns))*c.limits.turn, nil
}
