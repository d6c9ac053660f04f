package record

import (
	"context"
	"time"

	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/gateway/wait"
)

// gather returns items for a segment, or none after a while without any. A
// first item waits a moment for company, and no longer: while its segment is on
// its way the next batch grows by itself.
func (l *lane) gather(ctx context.Context) ([]queue.Item, error) {
	var until time.Time
	for seen := 0; ; {
		items, err := l.Queue.Lease(ctx, l.number, l.Limits.Events, l.Limits.Lease)
		if err != nil {
			return nil, err
		}
		if len(items) == 0 {
			// Back to the open segment: a lane may have come with one from another replica.
			return nil, l.idle(ctx)
		}
		now := time.Now()
		if seen == 0 {
			until = now.Add(l.Limits.Wait)
		}
		if len(items) >= l.Limits.Events || len(items) == seen || !now.Before(until) {
			return items, nil
		}
		seen = len(items)
		l.Queue.Return(items)
		if err := wait.For(ctx, l.Limits.Linger); err != nil {
			return nil, err
		}
	}
}

func (l *lane) idle(ctx context.Context) error {
	timer := time.NewTimer(l.Limits.Poll)
	defer timer.Stop()
	select {
	case <-l.Queue.Arrived(l.number):
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}
