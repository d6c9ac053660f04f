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
	parallel   int
	Attempts   int           // before a task is set aside
	backoff    time.Duration // first pause; doubles
	backoffMax time.Duration
	patience   time.Duration // how long a task waits for its subject
	outage     time.Duration // how long one whose registry or ledger does not answer is kept waiting
}

func DefaultLimits() Limits {
	return Limits{parallel: 4, Attempts: 6, backoff: 2 * time.Second, backoffMax: 5 * time.Minute, patience: 24 * time.Hour, outage: 7 * 24 * time.Hour}
}

func (l Limits) delay(attempts int) time.Duration {
	return min(l.backoff<<min(attempts, 12), l.backoffMax)
}

// Worker carries out the tasks of the list. A registry that does not answer is
// left alone for a while with all its tasks, so that the others go on.
type Worker struct {
	List   *List
	Do     map[string]func(ctx context.Context, t Task) (more []Task, err error)
	Log    *slog.Logger
	limits Limits

	mu    sync.Mutex
	holds map[string]hold
}

type hold struct {
	until time.Time
	times int
}

// Run works until ctx ends.
func (w *Worker) Run(ctx context.Context) error {
	if w.limits == (Limits{}) {
		w.limits = DefaultLimits()
	}
	w.holds = map[string]hold{}
	group, ctx := errgroup.WithContext(ctx)
	for range w.limits.parallel {
		group.Go(func() error { return w.loop(ctx) })
	}
	return group.Wait()
}

func (w *Worker) loop(ctx context.Context) error {
	for ctx.Err() == nil {
		t, ok, wants := w.List.Take(time.Now(), w.held)
		if ok {
			w.List.announce() // there may be more, for another goroutine
			more, err := w.Do[t.Kind](ctx, t)
			if ctx.Err() != nil {
				break // the file still has it
			}
			w.List.Add(more)
			w.settle(t, err)
			continue
		}
		timer := time.NewTimer(min(wants, time.Second))
		select {
		case <-w.List.arrived:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	return ctx.Err()
}

// settle decides what becomes of a task after an attempt.
func (w *Worker) settle(t Task, err error) {
	var wants *WaitingError
	var lost *FinalError
	age := time.Since(t.Noted)
	switch {
	case err == nil:
		w.release(t)
		w.List.done(t)
	case errors.As(err, &lost):
		w.List.GiveUp(t, lost.For, wait.Explain(err))
	case errors.As(err, &wants):
		if age > w.limits.patience {
			w.List.GiveUp(t, wants.For, wait.Explain(err))
			return
		}
		w.List.again(t, time.Now().Add(w.limits.delay(t.Attempts)), true, wants.For, wait.Explain(err))
	case provenance.CodeOf(err) == provenance.Unavailable:
		if age > w.limits.outage {
			w.List.GiveUp(t, "", wait.Explain(err))
			return
		}
		w.List.again(t, w.hold(t, err), false, "", wait.Explain(err))
	case t.Attempts+1 >= w.limits.Attempts:
		w.List.GiveUp(t, "", wait.Explain(err))
	default:
		w.List.again(t, time.Now().Add(w.limits.delay(t.Attempts)), true, "", wait.Explain(err))
	}
}

func holdKey(t Task) string { return t.Kind + " " + string(t.Host) }

func (w *Worker) held(t Task) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.holds[holdKey(t)].until
}

// hold leaves a registry alone for a while, longer each time; the first time is logged.
func (w *Worker) hold(t Task, cause error) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.holds[holdKey(t)]
	now := time.Now()
	if h.until.After(now) { // another task found out meanwhile
		return h.until
	}
	if h.times == 0 {
		w.Log.Warn("work waits", slog.String("kind", t.Kind), slog.String("registry", string(t.Host)), slog.Any("error", cause)) //nolint:sloglint // no request is behind it
	}
	h.until = now.Add(w.limits.delay(h.times))
	h.times++
	w.holds[holdKey(t)] = h
	return h.until
}

func (w *Worker) release(t Task) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.holds, holdKey(t))
}

var _ Submitter = (*ledger.Client)(nil)
