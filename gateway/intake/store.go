package intake

import (
	"context"
	"log/slog"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
)

// maxStored is how many deliveries are handed to the sink at once.
const maxStored = 1000

// taken is what came of a request's deliveries.
type taken struct {
	delivery.Accepted
	coalesced int // were only part of a pull
	refused   []refusal
}

// refusal is a delivery that the sink will never take.
type refusal struct {
	index int
	err   error
}

// store hands deliveries to the sink; a self-test's go to the self-tests' sink,
// whatever they are.
func (h *Handler) store(ctx context.Context, s *endpoint, deliveries []delivery.Delivery, clients []client, test *SelfTest) (out taken, err error) {
	if len(deliveries) == 0 {
		return taken{}, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sinkTime)
	defer cancel()
	if test != nil {
		out.Accepted, err = test.accept(ctx, deliveries)
		return out, err
	}
	if err := s.pulls.learnChildren(ctx, h.config.Children, deliveries, clients); err != nil {
		h.config.Log.WarnContext(ctx, "a pull's platforms are recorded as pulls of their own", slog.String("connector", s.Name), slog.Any("error", err))
	}
	for from := 0; from < len(deliveries); from += maxStored {
		to := min(from+maxStored, len(deliveries))
		if err := out.store(ctx, h.config.Sink, s, deliveries[:to], clients, from); err != nil {
			return taken{}, err
		}
	}
	return out, nil
}

// store hands on the deliveries from the given one on. The sink takes all or
// none: where it refuses some for good, as an id that came before with another
// body, their neighbours are found by halves. A crash in between is harmless:
// what is on disk is a duplicate when the sender repeats.
func (out *taken) store(ctx context.Context, sink Sink, s *endpoint, deliveries []delivery.Delivery, clients []client, from int) error {
	got, coalesced, err := s.pulls.accept(ctx, sink, deliveries[from:], clients[from:len(deliveries)])
	if err == nil {
		out.New, out.Duplicate, out.coalesced = out.New+got.New, out.Duplicate+got.Duplicate, out.coalesced+coalesced
		return nil
	}
	if code := provenance.CodeOf(err); code != provenance.Conflict && code != provenance.Invalid || ctx.Err() != nil {
		return err
	}
	n := len(deliveries) - from
	if n == 1 {
		out.refused = append(out.refused, refusal{from, err})
		return nil
	}
	half := from + n/2
	if err := out.store(ctx, sink, s, deliveries[:half], clients, from); err != nil {
		return err
	}
	return out.store(ctx, sink, s, deliveries, clients, half)
}
