package gateway

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
		items, err := l.queue.Lease(ctx, l.number, l.limits.events, l.limits.lease)
		if err != nil {
			return nil, err
		}
		if len(items) == 0 {
			// Back to the open segment: a lane may have come with one from another replica.
			return nil, l.idle(ctx)
		}
		now := time.Now()
		if seen == 0 {
			until = now.Add(l.limits.wait)
		}
		if len(items) >= l.limits.events || len(items) == seen || !now.Before(until) {
			return items, nil
		}
		seen = len(items)
		l.queue.Return(items)
		if err := wait.For(ctx, l.limits.linger); err != nil {
			return nil, err
		}
	}
}

func (l *lane) idle(ctx context.Context) error {
	timer := time.NewTimer(l.limits.poll)
	defer timer.Stop()
	select {
	case <-l.queue.Arrived(l.number):
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}
