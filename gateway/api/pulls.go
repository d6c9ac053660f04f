package api

import (
	"context"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// ListPulls implements waybillv1.WaybillServer.
func (s *service) ListPulls(ctx context.Context, in *waybillv1.ListPullsRequest) (*waybillv1.ListPullsResponse, error) {
	ref, err := parseImage(in.GetImage())
	if err != nil {
		return nil, err
	}
	p, err := page(in.GetPageSize(), in.GetPageToken())
	if err != nil {
		return nil, err
	}
	var filter PullFilter
	if in.GetSince() != nil {
		if err := in.GetSince().CheckValid(); err != nil {
			return nil, provenance.Errorf(provenance.Invalid, "since: want a time")
		}
		filter.Since = in.GetSince().AsTime()
	}
	out := &waybillv1.ListPullsResponse{}
	err = s.view(ctx, func(at moment, r Reads) error {
		if err := resolve(r, &ref); err != nil {
			return err
		}
		filter.Digest, filter.Host, filter.Repository = ref.Digest, ref.Host, ref.Repository
		out.Height, out.Stale, out.Image, out.Digest = at.height, at.stale, nameOf(ref), ref.Digest.String()
		var err error
		if out.Total, _, err = r.Pulls(ref.Digest, ref.Host, ref.Repository); err != nil {
			return err
		}
		pulls, next, err := r.PullList(filter, p)
		for _, pull := range pulls {
			out.Pulls = append(out.Pulls, &waybillv1.Pull{
				Block: pull.Block, TxId: pull.TxID, Time: stamp(pull.Time), Gateway: person(pull.By),
				Host: string(pull.Host), Repository: string(pull.Repository), Tag: string(pull.Tag), Source: pull.Source,
				Actor: pull.Actor, Address: pull.Address, UserAgent: pull.UserAgent, OccurredAt: stamp(pull.OccurredAt),
			})
		}
		out.NextPageToken = next
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
