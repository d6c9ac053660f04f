package gateway

import (
	"context"

	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api"
	"github.com/waybill-dev/waybill/gateway/index"
	"github.com/waybill-dev/waybill/gateway/intake"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/gateway/queue"
)

// The rooms do not know each other; here each one's types become the next
// one's. Conversions are field by field, checked by the compiler.

// sink is the queue as the intake sees it.
type sink struct{ *queue.Queue }

func (s sink) Accept(ctx context.Context, deliveries []intake.Delivery) (intake.Accepted, error) {
	out := make([]queue.Delivery, len(deliveries))
	for i, d := range deliveries {
		out[i] = queue.Delivery(d)
	}
	accepted, err := s.Queue.Accept(ctx, out)
	return intake.Accepted(accepted), err
}

// operated is the queue as the API, and the operators behind it, see it.
type operated struct{ *queue.Queue }

func (o operated) Stats(ctx context.Context) (api.QueueStats, error) {
	s, err := o.Queue.Stats(ctx)
	return api.QueueStats(s), err
}

func (o operated) Dead(ctx context.Context, after int64, limit int) ([]api.DeadLetter, error) {
	letters, err := o.Queue.Dead(ctx, after, limit)
	out := make([]api.DeadLetter, len(letters))
	for i, d := range letters {
		out[i] = api.DeadLetter{
			ID: d.ID, Host: d.Host, Connector: d.Connector, Event: d.Event, Attempts: d.Attempts, Reason: d.Reason, ReceivedAt: d.ReceivedAt,
		}
	}
	return out, err
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

func (r reads) Promotions(f api.PromotionFilter, p api.Page) ([]state.Promotion, string, error) {
	return r.Snapshot.Promotions(index.PromotionFilter(f), index.Page(p))
}

// indexed is a block of the ledger as the index takes it.
func indexed(b ledger.Block) index.Block {
	out := index.Block{Number: b.Number, Hash: b.Hash, PreviousHash: b.PreviousHash, Txs: make([]index.Tx, len(b.Txs))}
	for i, tx := range b.Txs {
		writes := make([]index.Write, len(tx.Writes))
		for j, w := range tx.Writes {
			writes[j] = index.Write(w)
		}
		out.Txs[i] = index.Tx{ID: tx.ID, Index: tx.Index, Creator: tx.Creator, At: tx.At, Function: tx.Function, Writes: writes}
	}
	for _, o := range b.Organisations {
		out.Organisations = append(out.Organisations, index.Organisation{
			MSPID: o.MSPID, RootCerts: o.RootCerts, IntermediateCerts: o.IntermediateCerts, RevocationLists: o.RevocationLists,
		})
	}
	return out
}
