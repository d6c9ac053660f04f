package api

import (
	"context"
	"slices"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// maxProposals bounds a list of proposals.
const maxProposals = 500

// ListProposals implements waybillv1.WaybillServer.
func (s *service) ListProposals(ctx context.Context, in *waybillv1.ListProposalsRequest) (*waybillv1.ListProposalsResponse, error) {
	status := state.ProposalStatus(in.GetStatus())
	switch status {
	case "", state.ProposalOpen, state.ProposalAccepted, state.ProposalRejected, state.ProposalWithdrawn:
	default:
		return nil, provenance.Errorf(provenance.Invalid, "status %.80q: want open, accepted, rejected or withdrawn", in.GetStatus())
	}
	out := &waybillv1.ListProposalsResponse{}
	return out, s.view(ctx, func(at moment, r Reads) error {
		out.Height, out.Stale = at.height, at.stale
		all, err := r.Proposals(status, maxProposals)
		if err != nil {
			return err
		}
		slices.SortStableFunc(all, func(a, b state.Proposal) int {
			switch aOpen, bOpen := a.Status == state.ProposalOpen, b.Status == state.ProposalOpen; {
			case aOpen == bOpen:
				return 0
			case aOpen:
				return -1
			}
			return 1
		})
		out.Proposals, err = counted(r, all)
		return err
	})
}

// GetProposal implements waybillv1.WaybillServer.
func (s *service) GetProposal(ctx context.Context, in *waybillv1.GetProposalRequest) (*waybillv1.GetProposalResponse, error) {
	out := &waybillv1.GetProposalResponse{}
	return out, s.view(ctx, func(at moment, r Reads) error {
		out.Height, out.Stale = at.height, at.stale
		var p state.Proposal
		found, err := state.Read(r, state.ProposalKey(in.GetId()), &p)
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
	members, err := state.LoadMembers(r)
	if err != nil {
		return nil, err
	}
	active, err := activeVersions(r)
	if err != nil {
		return nil, err
	}
	out := make([]*waybillv1.Proposal, len(proposals))
	for i, p := range proposals {
		one := &waybillv1.Proposal{
			Id: p.ID, Kind: string(p.Kind), Name: p.Name, Base: int32(p.Base), Body: string(p.Body), Hash: p.Hash, Status: string(p.Status),
			Version: int32(p.Version), By: person(p.By), At: stamp(p.At), Needed: int32(members.Needed()), Outdated: outdated(p, active, members.Version),
		}
		voted := map[string]bool{}
		err := each(r, func(_ []string, b state.Ballot) error {
			if p.Status == state.ProposalOpen && !slices.Contains(members.MSPs, b.MSP) {
				return nil // who left has no vote
			}
			voted[b.MSP] = true
			one.Votes = append(one.Votes, &waybillv1.Vote{Msp: b.MSP, Yes: b.Yes, Reason: b.Reason, By: person(b.By), At: stamp(b.At)})
			return nil
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

// outdated: it was made from a version, of the policy or of the membership,
// that is not in force any more.
func outdated(p state.Proposal, active map[string]int, membership int) bool {
	base := membership
	if p.Kind == state.ProposePolicy {
		base = active[p.Name]
	}
	return p.Status == state.ProposalOpen && p.Base != base
}

// changes returns the open proposals that would change a policy.
func changes(r Reads) ([]*waybillv1.Proposal, error) {
	open, err := r.Proposals(state.ProposalOpen, maxProposals)
	if err != nil {
		return nil, err
	}
	return counted(r, slices.DeleteFunc(open, func(p state.Proposal) bool { return p.Kind != state.ProposePolicy }))
}

// ListPolicyVersions implements waybillv1.WaybillServer.
func (s *service) ListPolicyVersions(ctx context.Context, in *waybillv1.ListPolicyVersionsRequest) (*waybillv1.ListPolicyVersionsResponse, error) {
	name, err := policy.ParseStageName(in.GetName()) // the same grammar
	if err != nil {
		return nil, provenance.Errorf(provenance.Invalid, "policy %.80q: want lower-case letters, digits and '-'", in.GetName())
	}
	out := &waybillv1.ListPolicyVersionsResponse{}
	err = s.view(ctx, func(at moment, r Reads) error {
		out.Height, out.Stale = at.height, at.stale
		active, err := activeVersions(r)
		if err != nil {
			return err
		}
		err = each(r, func(_ []string, v state.PolicyVersion) error {
			p, err := policyOf(v, active)
			out.Versions = append(out.Versions, p)
			return err
		}, state.TypePolicy, name)
		if err == nil && len(out.Versions) == 0 {
			err = withHint(provenance.Errorf(provenance.NotFound, "policy %s is not on the ledger", name), "waybill policy list")
		}
		slices.Reverse(out.Versions)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
