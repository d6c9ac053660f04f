package api

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// closedToken opens the tokens of pages after the open proposals.
const closedToken = "closed."

// ListProposals implements waybillv1.WaybillServer.
func (s *service) ListProposals(ctx context.Context, in *waybillv1.ListProposalsRequest) (*waybillv1.ListProposalsResponse, error) {
	filter := readmodel.ProposalFilter{Status: state.ProposalStatus(in.GetStatus())}
	switch filter.Status {
	case "", state.ProposalOpen, state.ProposalAccepted, state.ProposalRejected, state.ProposalWithdrawn:
	default:
		return nil, provenance.Errorf(provenance.Invalid, "status %.80q: want open, accepted, rejected or withdrawn", in.GetStatus())
	}
	p, err := pageOf(in.GetPageSize(), in.GetPageToken(), maxPage)
	if err != nil {
		return nil, err
	}
	p.NewestFirst = true
	out := &waybillv1.ListProposalsResponse{}
	return out, s.view(ctx, func(at moment, r Reads) error {
		out.Height, out.Stale = at.height, at.stale
		var all []state.Proposal
		var err error
		if filter.Status == "" {
			all, out.NextPageToken, err = openFirst(r, p)
		} else {
			all, out.NextPageToken, err = r.Proposals(filter, p)
		}
		if err == nil {
			out.Proposals, err = counted(r, all)
		}
		return err
	})
}

// openFirst lists the open proposals and then the others. One that is decided
// between two pages may be told twice, and is never left out.
func openFirst(r Reads, p readmodel.Page) (all []state.Proposal, next string, err error) {
	closed := readmodel.ProposalFilter{Closed: true}
	token, later := strings.CutPrefix(p.Token, closedToken)
	if !later {
		all, next, err = r.Proposals(readmodel.ProposalFilter{Status: state.ProposalOpen}, p)
		if err != nil || next != "" {
			return all, next, err
		}
		if p.Size -= len(all); p.Size == 0 {
			some, _, err := r.Proposals(closed, readmodel.Page{Size: 1, NewestFirst: true})
			if len(some) > 0 {
				next = closedToken
			}
			return all, next, err
		}
	}
	p.Token = token
	if !later {
		p.Token = ""
	}
	rest, next, err := r.Proposals(closed, p)
	if next != "" {
		next = closedToken + next
	}
	return append(all, rest...), next, err
}

// GetProposal implements waybillv1.WaybillServer.
func (s *service) GetProposal(ctx context.Context, in *waybillv1.GetProposalRequest) (*waybillv1.GetProposalResponse, error) {
	out := &waybillv1.GetProposalResponse{}
	return out, s.view(ctx, func(at moment, r Reads) error {
		out.Height, out.Stale = at.height, at.stale
		p, found, err := state.LoadProposal(r, in.GetId())
		if err != nil {
			return err
		}
		if !found {
			return withHint(provenance.Errorf(provenance.NotFound, "proposal %.80q is not on the ledger", in.GetId()), "waybill proposal list")
		}
		all, err := counted(r, []state.Proposal{p})
		if err == nil {
			out.Proposal = all[0]
		}
		return err
	})
}

// counted adds the votes to proposals.
func counted(r Reads, proposals []state.Proposal) ([]*waybillv1.Proposal, error) {
	now, err := state.LoadInForce(r)
	if err != nil {
		return nil, err
	}
	members := now.Members
	taken := newTakenBack(r)
	out := make([]*waybillv1.Proposal, len(proposals))
	for i, p := range proposals {
		one := &waybillv1.Proposal{
			Id: p.ID, Kind: string(p.Kind), Name: p.Name, Base: int32(p.Base), Body: string(p.Body), Source: p.Source, Hash: p.Hash, Status: string(p.Status),
			Version: int32(p.Version), By: person(p.By), At: stamp(p.At), Needed: int32(members.Needed()), Round: int32(p.Round), Title: p.Title(),
		}
		if p.Kind == state.ProposeLift {
			one.Base = 0 // it is made to a hold, and that has no versions
		}
		if one.Outdated, err = now.Outdated(r, p); err != nil {
			return nil, err
		}
		voted := map[string]bool{}
		err := each(r, func(_ []string, b state.Ballot) error {
			if p.Status == state.ProposalOpen && !slices.Contains(members.MSPs, b.MSP) {
				return nil // who left has no vote
			}
			why, err := taken.why(b.By, b.At)
			if p.Status != state.ProposalOpen {
				why = "" // it is decided
			}
			voted[b.MSP] = why == ""
			one.Votes = append(one.Votes, &waybillv1.Vote{Msp: b.MSP, Yes: b.Yes, Reason: b.Reason, By: person(b.By), At: stamp(b.At), TakenBack: why})
			return err
		}, state.TypeBallot, p.ID)
		if err != nil {
			return nil, err
		}
		for _, msp := range members.MSPs {
			if p.Status == state.ProposalOpen && !voted[msp] {
				one.Waiting = append(one.Waiting, msp)
			}
		}
		out[i] = one
	}
	return out, nil
}

// changes returns the newest open proposals that would change a policy; more
// says that there may be others.
func changes(r Reads) (all []*waybillv1.Proposal, more bool, err error) {
	open, next, err := r.Proposals(readmodel.ProposalFilter{Status: state.ProposalOpen}, readmodel.Page{Size: maxPage, NewestFirst: true})
	if err != nil {
		return nil, false, err
	}
	all, err = counted(r, slices.DeleteFunc(open, func(p state.Proposal) bool { return p.Kind != state.ProposePolicy }))
	return all, next != "", err
}

// ListPolicyVersions implements waybillv1.WaybillServer. Its page token is the
// last version seen: versions are counted from 1, and none is left out.
func (s *service) ListPolicyVersions(ctx context.Context, in *waybillv1.ListPolicyVersionsRequest) (*waybillv1.ListPolicyVersionsResponse, error) {
	name, err := policy.ParseStageName(in.GetName()) // the same grammar
	if err != nil {
		return nil, provenance.Errorf(provenance.Invalid, "policy %.80q: want lower-case letters, digits and '-'", in.GetName())
	}
	p, err := pageOf(in.GetPageSize(), in.GetPageToken(), maxPage)
	if err != nil {
		return nil, err
	}
	before := 0
	if p.Token != "" {
		if before, err = strconv.Atoi(p.Token); err != nil || before < 1 {
			return nil, provenance.Errorf(provenance.Invalid, "page token: not one of ours; use the token of the page before as it is")
		}
	}
	out := &waybillv1.ListPolicyVersionsResponse{}
	err = s.view(ctx, func(at moment, r Reads) error {
		out.Height, out.Stale = at.height, at.stale
		active, err := activeVersions(r)
		if err != nil {
			return err
		}
		if active[name] == 0 {
			return withHint(provenance.Errorf(provenance.NotFound, "policy %s is not on the ledger", name), "waybill policy list")
		}
		from := active[name]
		if before > 0 {
			from = min(from, before-1)
		}
		for version := from; version > 0; version-- {
			if len(out.Versions) == p.Size {
				out.NextPageToken = strconv.Itoa(version + 1)
				return nil
			}
			one, err := readPolicy(r, name, version, active)
			if err != nil {
				return err
			}
			out.Versions = append(out.Versions, one)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
