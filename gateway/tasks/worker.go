package tasks

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/gateway/wait"
)

// WaitingError says that a task cannot go on before something else happens.
type WaitingError struct {
	For   string
	Cause error
}

func (w *WaitingError) Error() string { return w.Cause.Error() }
func (w *WaitingError) Unwrap() error { return w.Cause }

// FinalError says that trying a task again is useless, unless what it wants comes.
type FinalError struct {
	For   string
	Cause error
}

func (h *FinalError) Error() string { return h.Cause.Error() }
func (h *FinalError) Unwrap() error { return h.Cause }

// Limits are the numbers of the worker.
type Limits struct {
	parallel   map[string]int // tasks of a kind at once; 4 of one that is not named
	Attempts   int            // before a task is set aside
	backoff    time.Duration  // first pause; doubles
	backoffMax time.Duration
	patience   time.Duration // how long a task waits for its subject
	outage     time.Duration // how long one whose registry or ledger does not answer is kept waiting
}

// DefaultLimits are the numbers of a gateway.
func DefaultLimits() Limits {
	// What is collected waits in batches, and reads few artifacts at once by itself.
	parallel := map[string]int{Collect: 2048, Witness: 16, Prove: 16}
	return Limits{parallel: parallel, Attempts: 6, backoff: 2 * time.Second, backoffMax: 5 * time.Minute, patience: 24 * time.Hour, outage: 7 * 24 * time.Hour}
}

func (l Limits) delay(attempts int) time.Duration {
	return min(l.backoff<<min(attempts, 12), l.backoffMax)
}

// Worker carries out the tasks of the list. A registry that does not answer is
// left alone for a while with all its tasks, so that the others go on.
type Worker struct {
	List   *queue.Tasks
	Do     map[string]func(ctx context.Context, t Task) (more []Task, err error)
	Log    *slog.Logger
	limits Limits

	ended  chan struct{} // receives when there is room for a task
	mu     sync.Mutex
	pauses map[paused]pause
	atWork map[string]int // tasks by kind
}

// takenAtOnce is how many tasks are taken in one commit.
const takenAtOnce = 64

type pause struct {
	until time.Time
	times int
}

// Run works until ctx ends.
func (w *Worker) Run(ctx context.Context) error {
	if w.limits.Attempts == 0 {
		w.limits = DefaultLimits()
	}
	w.pauses, w.atWork, w.ended = map[paused]pause{}, map[string]int{}, make(chan struct{}, 1)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return w.take(ctx, group) })
	return group.Wait()
}

// take hands each task that may be begun to a goroutine of its own.
func (w *Worker) take(ctx context.Context, group *errgroup.Group) error {
	for ctx.Err() == nil {
		ready, room, rest := w.ready(time.Now())
		taken, due, err := w.List.TakeSome(ctx, ready, room, takenAtOnce)
		w.begin(taken)
		for _, t := range taken {
			group.Go(func() error { w.do(ctx, t); return nil })
		}
		if len(taken) > 0 {
			continue
		}
		if err != nil && ctx.Err() == nil {
			w.Log.WarnContext(ctx, "no task can be taken, trying again", slog.Any("error", err))
			due = time.Second
		}
		timer := time.NewTimer(min(due, rest, time.Second)) // other replicas note tasks as well
		select {
		case <-w.ended:
		case <-w.List.Arrived():
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	return ctx.Err()
}

func (w *Worker) begin(taken []Task) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range taken {
		w.atWork[t.Kind]++
	}
}

func (w *Worker) do(ctx context.Context, t Task) {
	more, err := w.Do[t.Kind](ctx, t)
	if ctx.Err() != nil {
		return // the queue still has it
	}
	w.insist(ctx, func() error { return w.List.Add(ctx, more) })
	end := w.outcome(t, err)
	w.insist(ctx, func() error { return end(ctx) })
	w.mu.Lock()
	full := w.room(t.Kind) == 0
	w.atWork[t.Kind]--
	w.mu.Unlock()
	if !full {
		return // whoever takes tasks waits for none to end
	}
	select {
	case w.ended <- struct{}{}:
	default:
	}
}

// room is how many tasks of a kind may be begun; w.mu is held.
func (w *Worker) room(kind string) int {
	most := w.limits.parallel[kind]
	if most == 0 {
		most = 4
	}
	return most - w.atWork[kind]
}

// insist does what the queue must know until it does, or ctx ends: a task whose
// end is not known stays in our hands. A crash in between: it is done again.
func (w *Worker) insist(ctx context.Context, do func() error) {
	pauses := wait.Backoff(100*time.Millisecond, 10*time.Second)
	for failing := false; ; failing = true {
		err := do()
		if err == nil || ctx.Err() != nil {
			return
		}
		if !failing {
			w.Log.WarnContext(ctx, "the queue does not take how a task ended, trying again", slog.Any("error", err))
		}
		if wait.For(ctx, pauses.NextBackOff()) != nil {
			return
		}
	}
}

// outcome decides what becomes of a task after an attempt.
func (w *Worker) outcome(t Task, err error) func(context.Context) error {
	var wants *WaitingError
	var lost *FinalError
	age, now := time.Since(t.Noted), time.Now()
	dead := func(wants string) func(context.Context) error {
		return func(ctx context.Context) error { return w.List.DeadLetter(ctx, t, wants, wait.Explain(err)) }
	}
	again := func(due time.Time, counts bool, wants string) func(context.Context) error {
		return func(ctx context.Context) error {
			return w.List.Again(ctx, t, queue.Attempt{Due: due, Counts: counts, Wants: wants, Reason: wait.Explain(err)})
		}
	}
	switch {
	case err == nil:
		w.release(t)
		return func(ctx context.Context) error { return w.List.Done(ctx, t) }
	case errors.As(err, &lost):
		return dead(lost.For)
	case errors.As(err, &wants):
		if age > w.limits.patience {
			return dead(wants.For)
		}
		return again(now.Add(w.limits.delay(t.Attempts)), true, wants.For)
	case provenance.CodeOf(err) == provenance.Unavailable:
		if age > w.limits.outage {
			return dead("")
		}
		return again(w.pause(t, err), false, "")
	case t.Attempts+1 >= w.limits.Attempts:
		return dead("")
	}
	return again(now.Add(w.limits.delay(t.Attempts)), true, "")
}

// paused is what is left alone for a while: a kind of tasks at a registry.
type paused struct {
	kind string
	host provenance.Host
}

// ready says what may be taken and how much of it, and how long what is paused is so.
func (w *Worker) ready(now time.Time) (ready queue.Ready, room map[string]int, rest time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ready, room, rest = queue.Ready{}, map[string]int{}, time.Minute
	for kind := range w.Do {
		if n := w.room(kind); n > 0 {
			ready[kind], room[kind] = nil, n
		}
	}
	for of, h := range w.pauses {
		if _, there := ready[of.kind]; there && h.until.After(now) {
			ready[of.kind] = append(ready[of.kind], of.host)
			rest = min(rest, h.until.Sub(now))
		}
	}
	return ready, room, rest
}

// pause leaves a registry alone for a while, longer each time; the first time is logged.
func (w *Worker) pause(t Task, cause error) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.pauses[paused{t.Kind, t.Host}]
	now := time.Now()
	if h.until.After(now) { // another task found out meanwhile
		return h.until
	}
	if h.times == 0 {
		w.Log.Warn("work waits", slog.String("kind", t.Kind), slog.String("registry", string(t.Host)), slog.Any("error", cause)) //nolint:sloglint // no request is behind it
	}
	h.until = now.Add(w.limits.delay(h.times))
	h.times++
	w.pauses[paused{t.Kind, t.Host}] = h
	return h.until
}

func (w *Worker) release(t Task) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.pauses, paused{t.Kind, t.Host})
}

var _ Submitter = (*ledger.Client)(nil)
