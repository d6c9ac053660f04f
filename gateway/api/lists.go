package api

import (
	"context"
	"slices"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// Limits of a page.
const (
	defaultPage = 50
	maxPage     = 500
)

func page(size int32, token string) (Page, error) {
	if size < 0 || size > maxPage {
		return Page{}, provenance.Errorf(provenance.Invalid, "page size %d: want 1 to %d", size, maxPage)
	}
	if size == 0 {
		size = defaultPage
	}
	return Page{Size: int(size), Token: token}, nil
}

// ListHistory implements waybillv1.WaybillServer.
func (s *service) ListHistory(ctx context.Context, in *waybillv1.ListHistoryRequest) (*waybillv1.ListHistoryResponse, error) {
	ref, err := parseImage(in.GetImage())
	if err != nil {
		var notRepository error
		if ref, notRepository = parseRepository(in.GetImage()); notRepository != nil {
			return nil, err
		}
	}
	filter := HistoryFilter{Digest: ref.Digest, Host: ref.Host, Repository: ref.Repository, Tag: ref.Tag}
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
			out.Entries = append(out.Entries, &waybillv1.HistoryEntry{
				Block: record.Block, TxId: record.TxID, TxIndex: int32(record.Tx), Time: stamp(record.Time), Kind: record.Kind, By: person(record.By),
				Host: string(record.Host), Repository: string(record.Repository), Tag: string(record.Tag),
				Digest: record.Digest.String(), Previous: record.Previous.String(), Stage: record.Stage,
				MediaType: record.MediaType, Actor: record.Actor, OccurredAt: stamp(record.OccurredAt), Detail: record.Detail, Record: string(record.JSON),
			})
		}
		out.NextPageToken = next
		return err
	})
}

// ListPromotions implements waybillv1.WaybillServer.
func (s *service) ListPromotions(ctx context.Context, in *waybillv1.ListPromotionsRequest) (*waybillv1.ListPromotionsResponse, error) {
	filter := PromotionFilter{Status: state.PromotionStatus(in.GetStatus())}
	switch filter.Status {
	case "", state.PromotionOpen, state.PromotionReleased, state.PromotionRejected:
	default:
		return nil, provenance.Errorf(provenance.Invalid, "status %q: want open, released or rejected", in.GetStatus())
	}
	var err error
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
			one, err := s.promotion(r, promotion)
			if err != nil {
				return err
			}
			out.Promotions = append(out.Promotions, one)
		}
		out.NextPageToken = next
		return nil
	})
}

// promotion adds the words on a promotion and, while it is open, what an
// approver signs and which words do not count any more.
func (s *service) promotion(r Reads, p state.Promotion) (*waybillv1.Promotion, error) {
	out := &waybillv1.Promotion{
		Stage: p.Stage, Host: string(p.Host), Repository: string(p.Repository), Digest: p.Digest.String(), Attempt: int32(p.Attempt),
		Requester: person(p.Requester), At: stamp(p.At), Status: string(p.Status),
	}
	why := func(policy.Approval) string { return "" }
	if p.Status == state.PromotionOpen {
		j, err := s.judge(r, p.Subject)
		if err != nil {
			return nil, err
		}
		out.Policy, out.EvidenceSet, out.Verdict = j.ref(), j.verdict.EvidenceSet, string(j.verdict.Verdict)
		why = newDiscounter(j, s.cfg.Now()).why
	}
	// The approvals of one attempt share all of the key but the organisation.
	_, key, ok := state.SplitKey(p.ApprovalKey(p.Attempt, ""))
	if !ok {
		return nil, provenance.Errorf(provenance.Internal, "promotion of %s has no approval key", p.Digest)
	}
	return out, each(r, func(_ []string, a state.Approval) error {
		word := &waybillv1.Approval{
			By: person(a.By), Reject: a.Reject, Reason: a.Reason, At: stamp(a.At), Roles: a.Roles, Robot: a.Robot,
			Policy: versionRef(a.Policy), EvidenceSet: a.EvidenceSet, Withdrawn: a.Withdrawn,
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
func (s *service) ListMembers(ctx context.Context, _ *waybillv1.ListMembersRequest) (*waybillv1.ListMembersResponse, error) {
	out := &waybillv1.ListMembersResponse{}
	return out, s.view(ctx, func(at moment, r Reads) error {
		out.Height, out.Stale = at.height, at.stale
		now, err := state.LoadMembers(r)
		if err != nil {
			return err
		}
		out.Invited, out.Majority, out.Needed = now.Invited, int32(now.Majority), int32(now.Needed())
		err = each(r, func(_ []string, m state.Member) error {
			out.Members = append(out.Members, &waybillv1.Member{
				Msp: m.MSP, Name: m.Name, By: person(m.By), At: stamp(m.At), Removed: !slices.Contains(now.MSPs, m.MSP),
			})
			return nil
		}, state.TypeMember)
		if err != nil {
			return err
		}
		return each(r, func(_ []string, g state.Grant) error {
			out.Grants = append(out.Grants, &waybillv1.Grant{
				Msp: g.MSP, Identity: g.Identity, Role: string(g.Role), Revoked: g.Revoked, By: person(g.By), At: stamp(g.At),
			})
			return nil
		}, state.TypeGrant)
	})
}

// ListRegistries implements waybillv1.WaybillServer.
func (s *service) ListRegistries(ctx context.Context, _ *waybillv1.ListRegistriesRequest) (*waybillv1.ListRegistriesResponse, error) {
	out := &waybillv1.ListRegistriesResponse{}
	return out, s.view(ctx, func(at moment, r Reads) error {
		out.Height, out.Stale = at.height, at.stale
		return each(r, func(_ []string, reg state.Registry) error {
			out.Registries = append(out.Registries, &waybillv1.Registry{Host: string(reg.Host), Owner: reg.Owner, Kind: reg.Kind, By: person(reg.By), At: stamp(reg.At)})
			return nil
		}, state.TypeRegistry)
	})
}
