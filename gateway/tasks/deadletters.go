package tasks

import (
	"context"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/queue"
)

// DeadLetters is the queue with its tasks as the API, and the operators
// behind it, see them: one list of what was set aside.
type DeadLetters struct {
	Queue *queue.Queue
}

// Stats counts the events of the queue; Dead has the tasks set aside as well.
func (o DeadLetters) Stats(ctx context.Context) (delivery.Stats, error) {
	stats, err := o.Queue.Stats(ctx)
	if err != nil {
		return stats, err
	}
	_, dead, err := o.Queue.Tasks().Counts(ctx)
	stats.Dead += dead
	return stats, err
}

// Dead lists the queue's dead letters, then the tasks set aside.
func (o DeadLetters) Dead(ctx context.Context, after int64, limit int) ([]delivery.DeadLetter, error) {
	var out []delivery.DeadLetter
	if after < deadBase {
		var err error
		if out, err = o.Queue.Dead(ctx, after, limit); err != nil {
			return nil, err
		}
	}
	set, err := o.Queue.Tasks().DeadLetters(ctx, max(0, after-deadBase), limit-len(out))
	if err != nil {
		return nil, err
	}
	for _, t := range set {
		out = append(out, delivery.DeadLetter{
			ID: deadBase + t.ID, Host: t.Host, Connector: t.Kind, Attempts: t.Attempts, Reason: t.Reason, ReceivedAt: t.Noted,
			Event: provenance.Event{Action: provenance.Push, Repository: t.Repository, Tag: t.Tag, Digest: t.Digest, Subject: t.Subject},
		})
	}
	return out, nil
}

// Retry brings back what was set aside, everything when no id is given.
func (o DeadLetters) Retry(ctx context.Context, ids ...int64) (int, error) {
	var letters, all []int64
	for _, id := range ids {
		if id > deadBase {
			all = append(all, id-deadBase)
		} else {
			letters = append(letters, id)
		}
	}
	n := 0
	if len(all) > 0 || len(ids) == 0 {
		var err error
		if n, err = o.Queue.Tasks().Retry(ctx, all...); err != nil {
			return 0, err
		}
	}
	if len(letters) == 0 && len(ids) > 0 {
		return n, nil
	}
	retried, err := o.Queue.Retry(ctx, letters...)
	return n + retried, err
}
