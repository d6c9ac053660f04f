package api

import (
	"context"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// unusablePage is how many are listed at once: each may have 16 KiB, and an
// answer 4 MiB.
const unusablePage = 64

// ListUnusable implements waybillv1.WaybillServer.
func (s *service) ListUnusable(ctx context.Context, in *waybillv1.ListUnusableRequest) (*waybillv1.ListUnusableResponse, error) {
	p, after, err := numberedPage(in.GetPageSize(), in.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := min(p.Size, unusablePage)
	events, err := s.cfg.Unusable.Unusable(ctx, after, size+1)
	if err != nil {
		return nil, err
	}
	counts, err := s.cfg.Unusable.UnusableCounts(ctx)
	if err != nil {
		return nil, err
	}
	out := &waybillv1.ListUnusableResponse{}
	if len(events) > size {
		events = events[:size]
		out.NextPageToken = strconv.FormatInt(events[size-1].ID, 10)
	}
	for _, u := range events {
		out.Events = append(out.Events, &waybillv1.UnusableEvent{
			Id: u.ID, Host: string(u.Host), Connector: u.Connector, Reason: u.Reason, Sha256: hex.EncodeToString(u.Hash[:]), Size: u.Size,
			Body: string(u.Body), Times: u.Times, ReceivedAt: stamp(u.ReceivedAt), LastAt: stamp(u.LastAt),
		})
	}
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		out.Counts = append(out.Counts, &waybillv1.UnusableCount{Connector: name, Kept: counts[name].Kept, Dropped: counts[name].Dropped})
	}
	return out, s.at(ctx, &out.Height, &out.Stale)
}

// RemoveUnusable implements waybillv1.WaybillServer.
func (s *service) RemoveUnusable(ctx context.Context, in *waybillv1.RemoveUnusableRequest) (*waybillv1.RemoveUnusableResponse, error) {
	// Without ids everything goes, so an empty list must not get there by accident.
	if in.GetAll() == (len(in.GetIds()) > 0) || len(in.GetIds()) > maxPage {
		return nil, provenance.Errorf(provenance.Invalid, "remove: want 1 to %d ids, or all", maxPage)
	}
	n, err := s.cfg.Unusable.RemoveUnusable(ctx, in.GetIds()...)
	if err != nil {
		return nil, err
	}
	out := &waybillv1.RemoveUnusableResponse{Removed: int64(n)}
	return out, s.at(ctx, &out.Height, &out.Stale)
}
