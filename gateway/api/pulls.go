package api

import (
	"context"
	"log/slog"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
	"github.com/waybill-dev/waybill/gateway/readmodel"
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
	var filter readmodel.PullFilter
	if in.GetSince() != nil {
		if err := in.GetSince().CheckValid(); err != nil {
			return nil, provenance.Errorf(provenance.Invalid, "since: want a time")
		}
		filter.Since = in.GetSince().AsTime()
	}
	out := &waybillv1.ListPullsResponse{}
	var pulls []readmodel.Pull
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
		pulls, out.NextPageToken, err = r.PullList(filter, p)
		return err
	})
	if err != nil {
		return nil, err
	}
	// Not while the view is open: a peer is asked.
	withheld := s.reveal(ctx, pulls)
	for i, pull := range pulls {
		out.Pulls = append(out.Pulls, &waybillv1.Pull{
			Block: pull.Block, TxId: pull.TxID, Time: stamp(pull.Time), Gateway: person(pull.By),
			Host: string(pull.Host), Repository: string(pull.Repository), Tag: string(pull.Tag), Source: pull.Source,
			Actor: pull.Actor, Address: pull.Address, UserAgent: pull.UserAgent, OccurredAt: stamp(pull.OccurredAt),
			Blind: pull.Blind.String(), Withheld: withheld[i],
		})
	}
	return out, nil
}

// reveal fills in the hidden clients that the caller may see, people of the
// organisation that keeps them, and says of the others why they are not shown.
func (s *service) reveal(ctx context.Context, pulls []readmodel.Pull) []string {
	withheld := make([]string, len(pulls))
	var ours []readmodel.Pull
	var at []int
	for i, p := range pulls {
		switch {
		case p.Blind.IsZero():
		case p.By.MSP != s.cfg.Org || callerOf(ctx).MSP != s.cfg.Org || s.cfg.Clients == nil:
			withheld[i] = "kept by " + p.By.MSP
		default:
			ours, at = append(ours, p), append(at, i)
		}
	}
	if len(ours) == 0 {
		return withheld
	}
	clients, errs := s.cfg.Clients.Lookup(ctx, ours)
	for n, i := range at {
		switch {
		case errs[n] == nil:
			pulls[i].Actor, pulls[i].Address, pulls[i].UserAgent = clients[n].Actor, clients[n].Address, clients[n].UserAgent
		case provenance.CodeOf(errs[n]) == provenance.NotFound:
			withheld[i] = "not in the private data of " + s.cfg.Org + ": not yet, or purged"
		default:
			s.cfg.Log.WarnContext(ctx, "a client is not shown", slog.String("pull", pulls[i].ID.String()), slog.Any("error", errs[n]))
			withheld[i] = "the peer of " + s.cfg.Org + " did not say"
		}
	}
	return withheld
}
