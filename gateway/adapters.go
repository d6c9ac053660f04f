package gateway

import (
	"context"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api"
	"github.com/waybill-dev/waybill/gateway/index"
	"github.com/waybill-dev/waybill/gateway/intake"
	"github.com/waybill-dev/waybill/gateway/queue"
)

// The rooms do not know each other; here each one's types become the next
// one's. Conversions are field by field, checked by the compiler.

// sink is the queue as the intake sees it.
type sink struct{ *queue.Queue }

func (s sink) Accept(ctx context.Context, deliveries []intake.Delivery) (intake.Accepted, error) {
	accepted, err := s.Queue.Accept(ctx, queued(deliveries))
	return intake.Accepted(accepted), err
}

// Try is where trials of connectors end.
func (s sink) Try(ctx context.Context, deliveries []intake.Delivery) (intake.Accepted, error) {
	accepted, err := s.Queue.Try(ctx, queued(deliveries))
	return intake.Accepted(accepted), err
}

func queued(deliveries []intake.Delivery) []queue.Delivery {
	out := make([]queue.Delivery, len(deliveries))
	for i, d := range deliveries {
		out[i] = queue.Delivery(d)
		if d.Unresolved() {
			out[i].Event.Digest = unresolved()
		}
	}
	return out
}

// unresolved stands in the queue for the digest of a push whose sender named a
// tag only: the hash of nothing, which no manifest has.
func unresolved() provenance.Digest { return provenance.SHA256Of(nil) }

// operated is the queue and the work list as the API, and the operators
// behind it, see them: one list of what was set aside.
type operated struct {
	queue *queue.Queue
	work  *worklist
}

func (o operated) Stats(ctx context.Context) (api.QueueStats, error) {
	s, err := o.queue.Stats(ctx)
	stats := api.QueueStats(s)
	_, dead := o.work.counts()
	stats.Dead += dead
	return stats, err
}

// Dead lists the queue's dead letters, then the tasks set aside.
func (o operated) Dead(ctx context.Context, after int64, limit int) ([]api.DeadLetter, error) {
	var out []api.DeadLetter
	if after < deadBase {
		letters, err := o.queue.Dead(ctx, after, limit)
		if err != nil {
			return nil, err
		}
		for _, d := range letters {
			if d.Event.Digest == unresolved() {
				d.Event.Digest = provenance.Digest{}
			}
			out = append(out, api.DeadLetter{
				ID: d.ID, Host: d.Host, Connector: d.Connector, Event: d.Event, Attempts: d.Attempts, Reason: d.Reason, ReceivedAt: d.ReceivedAt,
			})
		}
	}
	for _, t := range o.work.dead(max(0, after-deadBase), limit-len(out)) {
		out = append(out, api.DeadLetter{
			ID: deadBase + t.ID, Host: t.Host, Connector: t.Kind, Attempts: t.Attempts, Reason: t.Reason, ReceivedAt: t.Noted,
			Event: provenance.Event{Action: provenance.Push, Repository: t.Repository, Tag: t.Tag, Digest: t.Digest, Subject: t.Subject},
		})
	}
	return out, nil
}

// Retry brings back what was set aside, everything when no id is given.
func (o operated) Retry(ctx context.Context, ids ...int64) (int, error) {
	var letters, tasks []int64
	for _, id := range ids {
		if id > deadBase {
			tasks = append(tasks, id-deadBase)
		} else {
			letters = append(letters, id)
		}
	}
	n := 0
	if len(tasks) > 0 || len(ids) == 0 {
		n = o.work.retry(tasks...)
	}
	if len(letters) == 0 && len(ids) > 0 {
		return n, nil
	}
	retried, err := o.queue.Retry(ctx, letters...)
	return n + retried, err
}

// readModel is the index as the API sees it.
type readModel struct{ *index.Index }

func (m readModel) View(ctx context.Context, read func(height uint64, r api.Reads) error) error {
	return m.Index.View(ctx, func(s *index.Snapshot) error { return read(s.Height, reads{s}) })
}

type reads struct{ *index.Snapshot }

func (r reads) History(f api.HistoryFilter, p api.Page) ([]api.Record, string, error) {
	records, next, err := r.Snapshot.History(index.HistoryFilter(f), index.Page(p))
	out := make([]api.Record, len(records))
	for i, record := range records {
		out[i] = api.Record(record)
	}
	return out, next, err
}

func (r reads) PullList(f api.PullFilter, p api.Page) ([]api.Pull, string, error) {
	pulls, next, err := r.Snapshot.PullList(index.PullFilter(f), index.Page(p))
	out := make([]api.Pull, len(pulls))
	for i, pull := range pulls {
		out[i] = api.Pull(pull)
	}
	return out, next, err
}

func (r reads) Promotions(f api.PromotionFilter, p api.Page) ([]state.Promotion, string, error) {
	return r.Snapshot.Promotions(index.PromotionFilter(f), index.Page(p))
}

func (r reads) Proposals(f api.ProposalFilter, p api.Page) ([]state.Proposal, string, error) {
	return r.Snapshot.Proposals(index.ProposalFilter(f), index.Page(p))
}

func (r reads) Waits(kind, msp string, after *api.Waiting, now time.Time, limit int) ([]api.Waiting, error) {
	waits, err := r.Snapshot.Waits(kind, msp, (*index.Waiting)(after), now, limit)
	out := make([]api.Waiting, len(waits))
	for i, w := range waits {
		out[i] = api.Waiting(w)
	}
	return out, err
}
