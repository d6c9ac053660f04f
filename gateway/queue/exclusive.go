package queue

import (
	"context"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// Exclusive use among replicas (PostgreSQL). Whoever wants to compare a queue with
// something else must not meet others at work, and must not take their lanes
// from them by merely asking: so it looks before it says that it lives.

// waitForExpired returns when no replica lives. Those that live renew themselves,
// so whoever is still there after their time is at work.
func (q *Queue) waitForExpired(ctx context.Context) error {
	return q.until(ctx, func() error {
		var live int
		if err := q.writerD.QueryRowContext(ctx, `SELECT count(*) FROM replicas WHERE expires > clock_timestamp()`).Scan(&live); err != nil {
			return sqldb.Wrap(err, "open queue")
		}
		if live > 0 {
			return provenance.Errorf(provenance.Conflict, "open queue: replicas of the gateway run (%d); stop them first", live)
		}
		return nil
	})
}

// takeAllLanes returns when this replica holds every lane. The dead's are free when
// their time is over, a moment after that of the dead themselves.
func (q *Queue) takeAllLanes(ctx context.Context) error {
	return q.until(ctx, func() error {
		if err := q.heartbeat(ctx); err != nil {
			return err
		}
		for lane := range q.options.Lanes {
			if !q.holds(lane) {
				return provenance.Errorf(provenance.Conflict, "open queue: lane %s is held by another replica; stop it first", q.LaneName(lane))
			}
		}
		return nil
	})
}

// until asks again while it hears WB_CONFLICT, for a little longer than a dead
// replica keeps its lanes.
func (q *Queue) until(ctx context.Context, ask func() error) error {
	tick := time.NewTicker(q.options.LaneTTL / turnsWithinTTL)
	defer tick.Stop()
	over := time.NewTimer(q.options.LaneTTL + 2*q.options.LaneTTL/turnsWithinTTL)
	defer over.Stop()
	for {
		err := ask()
		if provenance.CodeOf(err) != provenance.Conflict {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-over.C:
			return err
		case <-tick.C:
		}
	}
}
