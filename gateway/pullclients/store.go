package pullclients

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/gateway/wait"
)

// storeClients is the transaction that puts what a segment hides into our
// organisation's private data collection.
const storeClients = "record:Clients"

// storeQueue is the queue as the keeper sees it.
type storeQueue interface {
	PendingClients(ctx context.Context, after *queue.PendingClients, limit int) ([]queue.PendingClients, error)
	ClientsStored(ctx context.Context, u queue.PendingClients) error
}

// privateLedger is the ledger as the keeper sees it: only our organisation's
// own peers see what is sent through it.
type privateLedger interface {
	SubmitPrivate(ctx context.Context, transient map[string][]byte, fn string, args ...string) (ledger.Result, error)
}

var (
	_ storeQueue    = (*queue.Queue)(nil)
	_ privateLedger = (*ledger.Client)(nil)
)

// Store carries what recorded segments hide from the queue to our
// organisation's private data collection, one transaction for a segment. It is
// apart from the lanes: the facts on the channel never wait for it. The same
// twice is one write, so that a crash at any point costs a transaction at most.
type Store struct {
	Queue  storeQueue
	Ledger privateLedger
	Waits  *wait.Reasons
	Log    *slog.Logger
	Woken  chan struct{}
	limits storeLimits
}

// storeLimits are the numbers of the keeper.
type storeLimits struct {
	page, parallel      int
	poll                time.Duration
	backoff, backoffMax time.Duration
}

func defaultStoreLimits() storeLimits {
	return storeLimits{page: 16, parallel: 4, poll: 2 * time.Second, backoff: 500 * time.Millisecond, backoffMax: 30 * time.Second}
}

// Wake tells that a segment was recorded that hides something.
func (k *Store) Wake() {
	select {
	case k.Woken <- struct{}{}:
	default: // it is awake
	}
}

// Run keeps until ctx ends, and returns its error. What cannot be kept now is
// tried again for ever: there is no other copy.
func (k *Store) Run(ctx context.Context) error {
	if k.limits == (storeLimits{}) {
		k.limits = defaultStoreLimits()
	}
	const source = "private data"
	pause := wait.Backoff(k.limits.backoff, k.limits.backoffMax)
	for {
		err := k.pass(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			k.Waits.End(source)
			pause.Reset()
			if err := k.idle(ctx); err != nil {
				return err
			}
			continue
		}
		if k.Waits.Begin(source, err) {
			k.Log.WarnContext(ctx, "keeping the clients of pulls waits", slog.Any("error", err))
		}
		if err := wait.For(ctx, pause.NextBackOff()); err != nil {
			return err
		}
	}
}

func (k *Store) idle(ctx context.Context) error {
	timer := time.NewTimer(k.limits.poll)
	defer timer.Stop()
	select {
	case <-k.Woken:
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// pass tries everything once: one that fails does not keep the others waiting.
// It returns the first failure.
func (k *Store) pass(ctx context.Context) error {
	var first error
	for after := (*queue.PendingClients)(nil); ; {
		page, err := k.Queue.PendingClients(ctx, after, k.limits.page)
		if err != nil || len(page) == 0 {
			return firstOf(first, err)
		}
		var group errgroup.Group
		group.SetLimit(k.limits.parallel)
		for _, u := range page {
			group.Go(func() error { return k.store(ctx, u) })
		}
		first = firstOf(first, group.Wait())
		if ctx.Err() != nil {
			return ctx.Err()
		}
		after = &page[len(page)-1]
	}
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (k *Store) store(ctx context.Context, u queue.PendingClients) error {
	_, err := k.Ledger.SubmitPrivate(ctx, map[string][]byte{"clients": u.Clients}, storeClients, string(u.Host), u.LaneName, strconv.FormatUint(u.Seq, 10))
	if err != nil {
		return provenance.Wrap(provenance.CodeOf(err), err, "clients of segment %s/%d", u.LaneName, u.Seq)
	}
	// A crash before: it is submitted again, and is known then.
	return k.Queue.ClientsStored(ctx, u)
}
