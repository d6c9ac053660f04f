package gateway

import (
	"context"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/gateway/tasks"
)

// operatorQueue is the queue with its tasks as the API, and the operators
// behind it, see them: one list of what was set aside.
type operatorQueue struct {
	queue *queue.Queue
}

func (o operatorQueue) Stats(ctx context.Context) (delivery.Stats, error) {
	stats, err := o.queue.Stats(ctx)
	if err != nil {
		return stats, err
	}
	_, dead, err := o.queue.Tasks().Counts(ctx)
	stats.Dead += dead
	return stats, err
}

// Dead lists the queue's dead letters, then the tasks set aside.
func (o operatorQueue) Dead(ctx context.Context, after int64, limit int) ([]delivery.DeadLetter, error) {
	var out []delivery.DeadLetter
	if after < tasks.DeadBase {
		var err error
		if out, err = o.queue.Dead(ctx, after, limit); err != nil {
			return nil, err
		}
	}
	set, err := o.queue.Tasks().DeadLetters(ctx, max(0, after-tasks.DeadBase), limit-len(out))
	if err != nil {
		return nil, err
	}
	for _, t := range set {
		out = append(out, delivery.DeadLetter{
			ID: tasks.DeadBase + t.ID, Host: t.Host, Connector: t.Kind, Attempts: t.Attempts, Reason: t.Reason, ReceivedAt: t.Noted,
			Event: provenance.Event{Action: provenance.Push, Repository: t.Repository, Tag: t.Tag, Digest: t.Digest, Subject: t.Subject},
		})
	}
	return out, nil
}

// Retry brings back what was set aside, everything when no id is given.
func (o operatorQueue) Retry(ctx context.Context, ids ...int64) (int, error) {
	var letters, all []int64
	for _, id := range ids {
		if id > tasks.DeadBase {
			all = append(all, id-tasks.DeadBase)
		} else {
			letters = append(letters, id)
		}
	}
	n := 0
	if len(all) > 0 || len(ids) == 0 {
		var err error
		if n, err = o.queue.Tasks().Retry(ctx, all...); err != nil {
			return 0, err
		}
	}
	if len(letters) == 0 && len(ids) > 0 {
		return n, nil
	}
	retried, err := o.queue.Retry(ctx, letters...)
	return n + retried, err
}
