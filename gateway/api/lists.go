package api

import (
	"context"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// ListHistory implements waybillv1.WaybillServer.
func (s *service) ListHistory(ctx context.Context, in *waybillv1.ListHistoryRequest) (*waybillv1.ListHistoryResponse, error) {
	ref, err := parseImage(in.GetImage())
	if err != nil {
		var notRepository error
		if ref, notRepository = parseRepository(in.GetImage()); notRepository != nil {
			return nil, err
		}
	}
	filter := readmodel.HistoryFilter{Digest: ref.Digest, Host: ref.Host, Repository: ref.Repository, Tag: ref.Tag}
	if !ref.Digest.IsZero() {
		filter.Tag = "" // where both are given the digest decides
	}
	p, err := page(in.GetPageSize(), in.GetPageToken())
	if err != nil {
		return nil, err
	}
	p.NewestFirst = in.GetNewestFirst()
	out := &waybillv1.ListHistoryResponse{}
	return out, s.view(ctx, func(at moment, r Reads) error {
		out.Height, out.Stale = at.height, at.stale
		records, next, err := r.History(filter, p)
		for _, record := range records {
			out.Entries = append(out.Entries, historyEntry(record))
		}
		out.NextPageToken = next
		return err
	})
}

func historyEntry(r readmodel.Record) *waybillv1.HistoryEntry {
	return &waybillv1.HistoryEntry{
		Block: r.Block, TxId: r.TxID, TxIndex: int32(r.Tx), Time: stamp(r.Time), Kind: r.Kind, By: person(r.By),
		Host: string(r.Host), Repository: string(r.Repository), Tag: string(r.Tag), Digest: r.Digest.String(), Previous: r.Previous.String(), Stage: r.Stage,
		MediaType: r.MediaType, Actor: r.Actor, OccurredAt: stamp(r.OccurredAt), Detail: r.Detail, Record: string(r.JSON),
	}
}

// ListPromotions implements waybillv1.WaybillServer.
func (s *service) ListPromotions(ctx context.Context, in *waybillv1.ListPromotionsRequest) (*waybillv1.ListPromotionsResponse, error) {
	filter, err := promotionStatus(in.GetStatus(), s.cfg.Now())
	if err != nil {
		return nil, err
	}
	if in.GetStage() != "" {
		if filter.Stage, err = policy.ParseStageName(in.GetStage()); err != nil {
			return nil, err
		}
	}
	if in.GetRepository() != "" {
		ref, err := parseRepository(in.GetRepository())
		if err != nil {
			return nil, err
		}
		filter.Host, filter.Repository = ref.Host, ref.Repository
	}
	p, err := page(in.GetPageSize(), in.GetPageToken())
	if err != nil {
		return nil, err
	}
	p.NewestFirst = true
	out := &waybillv1.ListPromotionsResponse{}
	return out, s.view(ctx, func(at moment, r Reads) error {
		out.Height, out.Stale = at.height, at.stale
		promotions, next, err := r.Promotions(filter, p)
		if err != nil {
			return err
		}
		for _, promotion := range promotions {
			one, err := s.promotion(r, promotion, at.now)
			if err != nil {
				return err
			}
			out.Promotions = append(out.Promotions, one)
		}
		out.NextPageToken = next
		return nil
	})
}

// statusExpired is that of an open promotion whose time is over.
const statusExpired = "expired"

// promotionStatus is the filter of a status. Whether an open promotion has expired
// stands nowhere: the time of the request decides.
func promotionStatus(status string, now time.Time) (f readmodel.PromotionFilter, err error) {
	// The first moment at which a promotion was asked for that is open still.
	edge := now.Add(-state.PromotionLife + 1)
	switch f.Status = state.PromotionStatus(status); f.Status {
	case "", state.PromotionReleased, state.PromotionRejected, state.PromotionWithdrawn:
	case state.PromotionOpen:
		f.Since = edge
	case statusExpired:
		f.Status, f.Before = state.PromotionOpen, edge
	default:
		err = provenance.Errorf(provenance.Invalid, "status %.80q: want open, released, rejected, withdrawn or expired", status)
	}
	return f, err
}

// promotion adds the words on a promotion and, while it is open, what an
// approver signs and which words do not count any more.
func (s *service) promotion(r Reads, p state.Promotion, now time.Time) (*waybillv1.Promotion, error) {
	out := &waybillv1.Promotion{
		Stage: p.Stage, Host: string(p.Host), Repository: string(p.Repository), Digest: p.Digest.String(), Attempt: int32(p.Attempt),
		Requester: person(p.Requester), At: stamp(p.At), Status: string(p.Status),
	}
	if w := p.Withdrawal; w != nil {
		out.WithdrawnReason, out.WithdrawnBy = w.Reason, person(w.By)
	}
	why := func(policy.Approval) string { return "" }
	switch {
	case p.OpenAt(now):
		j, err := s.judge(r, p.Subject, now)
		if err != nil {
			return nil, err
		}
		out.Policy, out.PolicyHash = j.ref()
		out.EvidenceSet, out.Verdict, out.Expires = j.Verdict.EvidenceSet, string(j.Verdict.Verdict), stamp(p.Expires())
		why = j.discount()
	case p.Status == state.PromotionOpen:
		out.Status, out.Expires = statusExpired, stamp(p.Expires())
	}
	// The approvals of one attempt share all of the key but the organisation.
	_, key, ok := state.SplitKey(p.ApprovalKey(p.Attempt, ""))
	if !ok {
		return nil, provenance.Errorf(provenance.Internal, "promotion of %s has no approval key", p.Digest)
	}
	taken := newTakenBack(r)
	return out, each(r, func(_ []string, a state.Approval) (err error) {
		if a.TakenBack, err = taken.why(a.By, a.At); err != nil {
			return err
		}
		word := &waybillv1.Approval{
			By: person(a.By), Reject: a.Reject, Reason: a.Reason, At: stamp(a.At), Roles: a.Roles, Robot: a.Robot,
			Policy: versionRef(a.Policy), EvidenceSet: a.EvidenceSet, Withdrawn: a.Withdrawn,
			PolicyHash: a.Policy.Hash, TakenBack: a.TakenBack,
		}
		if a.Withdrawn {
			word.Stale = "withdrawn"
		} else {
			word.Stale = why(a.Approval)
		}
		out.Approvals = append(out.Approvals, word)
		return nil
	}, state.TypeApproval, key[:len(key)-1]...)
}

// ListMembers implements waybillv1.WaybillServer.
func (s *service) ListMembers(ctx context.Context, in *waybillv1.ListMembersRequest) (*waybillv1.ListMembersResponse, error) {
	out := &waybillv1.ListMembersResponse{}
	return out, s.view(ctx, func(at moment, r Reads) error {
		out.Height, out.Stale = at.height, at.stale
		now, err := state.LoadMembers(r)
		if err != nil {
			return err
		}
		out.Majority, out.Needed = int32(now.Majority), int32(now.Needed())
		if in.GetPageToken() == "" {
			out.Invited = now.Invited
		}
		taken := newTakenBack(r)
		out.NextPageToken, err = list(r, in, maxPage, func(e entry) error {
			switch e.kind {
			case state.TypeMember:
				return as(func(_ []string, m state.Member) error {
					out.Members = append(out.Members, &waybillv1.Member{
						Msp: m.MSP, Name: m.Name, By: person(m.By), At: stamp(m.At), Removed: !slices.Contains(now.MSPs, m.MSP),
					})
					return nil
				})(e)
			case state.TypeGrant:
				return as(func(_ []string, g state.Grant) error {
					why, err := taken.why(g.By, g.At)
					out.Grants = append(out.Grants, &waybillv1.Grant{
						Msp: g.MSP, Identity: g.Identity, Role: string(g.Role), Revoked: g.Revoked, By: person(g.By), At: stamp(g.At), TakenBack: why,
					})
					return err
				})(e)
			}
			return as(func(_ []string, t state.TakenBack) error {
				out.TakenBack = append(out.TakenBack, &waybillv1.TakenBack{
					Msp: t.MSP, Identity: t.Identity, Since: stamp(t.Since), Reason: t.Reason, By: person(t.By), At: stamp(t.At),
				})
				return nil
			})(e)
		}, keyRange{state.TypeMember}, keyRange{state.TypeGrant}, keyRange{state.TypeTaken})
		return err
	})
}

// ListRegistries implements waybillv1.WaybillServer.
func (s *service) ListRegistries(ctx context.Context, in *waybillv1.ListRegistriesRequest) (*waybillv1.ListRegistriesResponse, error) {
	out := &waybillv1.ListRegistriesResponse{}
	return out, s.view(ctx, func(at moment, r Reads) (err error) {
		out.Height, out.Stale = at.height, at.stale
		out.NextPageToken, err = list(r, in, maxPage, as(func(_ []string, reg state.Registry) error {
			for _, c := range reg.Claims {
				out.Registries = append(out.Registries, &waybillv1.Registry{
					Host: string(reg.Host), Namespace: c.Namespace, Owner: c.Owner, Kind: c.Kind, By: person(c.By), At: stamp(c.At),
				})
			}
			return nil
		}), keyRange{state.TypeRegistry})
		return err
	})
}
