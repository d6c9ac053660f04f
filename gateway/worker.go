package gateway

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

// waitingError says that a task cannot go on before something else happens.
type waitingError struct {
	wants string
	cause error
}

func (w *waitingError) Error() string { return w.cause.Error() }
func (w *waitingError) Unwrap() error { return w.cause }

// hopelessError says that trying a task again is useless, unless what it wants comes.
type hopelessError struct {
	wants string
	cause error
}

func (h *hopelessError) Error() string { return h.cause.Error() }
func (h *hopelessError) Unwrap() error { return h.cause }

// workLimits are the numbers of the worker.
type workLimits struct {
	parallel   int
	attempts   int           // before a task is set aside
	backoff    time.Duration // first pause; doubles
	backoffMax time.Duration
	patience   time.Duration // how long a task waits for its subject
	outage     time.Duration // how long one whose registry or ledger does not answer is kept waiting
}

func defaultWorkLimits() workLimits {
	return workLimits{parallel: 4, attempts: 6, backoff: 2 * time.Second, backoffMax: 5 * time.Minute, patience: 24 * time.Hour, outage: 7 * 24 * time.Hour}
}

func (l workLimits) delay(attempts int) time.Duration {
	return min(l.backoff<<min(attempts, 12), l.backoffMax)
}

// worker carries out the tasks of the list. A registry that does not answer is
// left alone for a while with all its tasks, so that the others go on.
type worker struct {
	list   *worklist
	do     map[string]func(ctx context.Context, t task) (more []task, err error)
	log    *slog.Logger
	limits workLimits

	mu    sync.Mutex
	holds map[string]hold
}

type hold struct {
	until time.Time
	times int
}

// run works until ctx ends.
func (w *worker) run(ctx context.Context) error {
	if w.limits == (workLimits{}) {
		w.limits = defaultWorkLimits()
	}
	w.holds = map[string]hold{}
	group, ctx := errgroup.WithContext(ctx)
	for range w.limits.parallel {
		group.Go(func() error { return w.loop(ctx) })
	}
	return group.Wait()
}

func (w *worker) loop(ctx context.Context) error {
	for ctx.Err() == nil {
		t, ok, wants := w.list.take(time.Now(), w.held)
		if ok {
			w.list.announce() // there may be more, for another goroutine
			more, err := w.do[t.Kind](ctx, t)
			if ctx.Err() != nil {
				break // the file still has it
			}
			w.list.more(more)
			w.settle(t, err)
			continue
		}
		timer := time.NewTimer(min(wants, time.Second))
		select {
		case <-w.list.arrived:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	return ctx.Err()
}

// settle decides what becomes of a task after an attempt.
func (w *worker) settle(t task, err error) {
	var wants *waitingError
	var lost *hopelessError
	age := time.Since(t.Noted)
	switch {
	case err == nil:
		w.release(t)
		w.list.done(t)
	case errors.As(err, &lost):
		w.list.bury(t, lost.wants, wait.Explain(err))
	case errors.As(err, &wants):
		if age > w.limits.patience {
			w.list.bury(t, wants.wants, wait.Explain(err))
			return
		}
		w.list.again(t, time.Now().Add(w.limits.delay(t.Attempts)), true, wants.wants, wait.Explain(err))
	case provenance.CodeOf(err) == provenance.Unavailable:
		if age > w.limits.outage {
			w.list.bury(t, "", wait.Explain(err))
			return
		}
		w.list.again(t, w.hold(t, err), false, "", wait.Explain(err))
	case t.Attempts+1 >= w.limits.attempts:
		w.list.bury(t, "", wait.Explain(err))
	default:
		w.list.again(t, time.Now().Add(w.limits.delay(t.Attempts)), true, "", wait.Explain(err))
	}
}

func holdKey(t task) string { return t.Kind + " " + string(t.Host) }

func (w *worker) held(t task) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.holds[holdKey(t)].until
}

// hold leaves a registry alone for a while, longer each time; the first time is logged.
func (w *worker) hold(t task, cause error) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.holds[holdKey(t)]
	now := time.Now()
	if h.until.After(now) { // another task found out meanwhile
		return h.until
	}
	if h.times == 0 {
		w.log.Warn("work waits", slog.String("kind", t.Kind), slog.String("registry", string(t.Host)), slog.Any("error", cause)) //nolint:sloglint // no request is behind it
	}
	h.until = now.Add(w.limits.delay(h.times))
	h.times++
	w.holds[holdKey(t)] = h
	return h.until
}

func (w *worker) release(t task) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.holds, holdKey(t))
}

var _ actLedger = (*ledger.Client)(nil)
