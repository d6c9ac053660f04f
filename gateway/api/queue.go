package api

import (
	"context"
	"strconv"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// ListDeadLetters implements waybillv1.WaybillServer. Its page token is the id
// of the last letter seen: ids only grow.
func (s *service) ListDeadLetters(ctx context.Context, in *waybillv1.ListDeadLettersRequest) (*waybillv1.ListDeadLettersResponse, error) {
	p, after, err := numberedPage(in.GetPageSize(), in.GetPageToken())
	if err != nil {
		return nil, err
	}
	letters, err := s.cfg.Queue.Dead(ctx, after, p.Size+1)
	if err != nil {
		return nil, err
	}
	out := &waybillv1.ListDeadLettersResponse{}
	if len(letters) > p.Size {
		letters = letters[:p.Size]
		out.NextPageToken = strconv.FormatInt(letters[p.Size-1].ID, 10)
	}
	for _, l := range letters {
		out.Letters = append(out.Letters, &waybillv1.DeadLetter{
			Id: l.ID, Host: string(l.Host), Connector: l.Connector, Action: l.Event.Action.String(), Repository: string(l.Event.Repository),
			Tag: string(l.Event.Tag), Digest: l.Event.Digest.String(), Attempts: int32(l.Attempts), Reason: l.Reason, ReceivedAt: stamp(l.ReceivedAt),
		})
	}
	return out, s.at(ctx, &out.Height, &out.Stale)
}

// RetryDeadLetters implements waybillv1.WaybillServer.
func (s *service) RetryDeadLetters(ctx context.Context, in *waybillv1.RetryDeadLettersRequest) (*waybillv1.RetryDeadLettersResponse, error) {
	// Queue.Retry without ids means all, so an empty list must not reach it by accident.
	if in.GetAll() == (len(in.GetIds()) > 0) || len(in.GetIds()) > maxPage {
		return nil, provenance.Errorf(provenance.Invalid, "retry: want 1 to %d ids, or all", maxPage)
	}
	n, err := s.cfg.Queue.Retry(ctx, in.GetIds()...)
	if err != nil {
		return nil, err
	}
	out := &waybillv1.RetryDeadLettersResponse{Retried: int64(n)}
	return out, s.at(ctx, &out.Height, &out.Stale)
}

// numberedPage is page for lists whose token is the id of the last one seen.
func numberedPage(size int32, token string) (p readmodel.Page, after int64, err error) {
	if p, err = page(size, token); err != nil || p.Token == "" {
		return p, 0, err
	}
	if after, err = strconv.ParseInt(p.Token, 10, 64); err != nil || after < 0 {
		return p, 0, provenance.Errorf(provenance.Invalid, "page token: not one of ours; use the token of the page before as it is")
	}
	return p, after, nil
}

// at fills in the height of an answer that is not from the index.
func (s *service) at(ctx context.Context, height *uint64, stale *bool) error {
	return s.view(ctx, func(at moment, _ Reads) error {
		*height, *stale = at.height, at.stale
		return nil
	})
}
