package api

import (
	"context"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// ListPolicies implements waybillv1.WaybillServer.
func (s *service) ListPolicies(ctx context.Context, in *waybillv1.ListPoliciesRequest) (*waybillv1.ListPoliciesResponse, error) {
	out := &waybillv1.ListPoliciesResponse{}
	return out, s.view(ctx, func(at moment, r Reads) error {
		out.Height, out.Stale = at.height, at.stale
		active, err := activeVersions(r)
		if err != nil {
			return err
		}
		var catalogue state.Catalogue
		if _, err := state.Read(r, state.PoliciesKey(), &catalogue); err != nil {
			return err
		}
		p, err := pageOf(in.GetPageSize(), in.GetPageToken(), maxPage)
		if err != nil {
			return err
		}
		if _, err := policy.ParseStageName(p.Token); p.Token != "" && err != nil {
			return provenance.Errorf(provenance.Invalid, "page token: not one of ours; use the token of the page before as it is")
		}
		for _, entry := range catalogue.Policies { // by name
			if entry.Name <= p.Token {
				continue
			}
			if len(out.Policies) == p.Size {
				out.NextPageToken = out.Policies[p.Size-1].GetName()
				break
			}
			one, err := readPolicy(r, entry.Name, entry.Version, active)
			if err != nil {
				return err
			}
			out.Policies = append(out.Policies, one)
		}
		if p.Token == "" {
			out.Proposals, out.MoreProposals, err = changes(r)
		}
		return err
	})
}

// GetPolicy implements waybillv1.WaybillServer.
func (s *service) GetPolicy(ctx context.Context, in *waybillv1.GetPolicyRequest) (*waybillv1.GetPolicyResponse, error) {
	name, err := policy.ParseStageName(in.GetName()) // the same grammar
	if err != nil || in.GetVersion() < 0 {
		return nil, provenance.Errorf(provenance.Invalid, "policy %.80q version %d: want lower-case letters, digits and '-', and a version from 1 (0: the active one)", in.GetName(), in.GetVersion())
	}
	out := &waybillv1.GetPolicyResponse{}
	return out, s.viewAt(ctx, in.GetAt(), func(at moment, r Reads) error {
		out.Height, out.Stale, out.AsOf = at.height, at.stale, at.asOf()
		active, err := activeVersions(r)
		if err != nil {
			return err
		}
		version := int(in.GetVersion())
		if version == 0 {
			version = active[name]
		}
		out.Policy, err = readPolicy(r, name, version, active)
		return err
	})
}

func activeVersions(r Reads) (map[string]int, error) {
	var catalogue state.Catalogue
	_, err := state.Read(r, state.PoliciesKey(), &catalogue)
	active := map[string]int{}
	for _, entry := range catalogue.Policies {
		active[entry.Name] = entry.Version
	}
	return active, err
}

func readPolicy(r Reads, name string, version int, active map[string]int) (*waybillv1.Policy, error) {
	var v state.PolicyVersion
	found, err := state.Read(r, state.PolicyKey(name, version), &v)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, withHint(provenance.Errorf(provenance.NotFound, "policy %s version %d is not on the ledger", name, version), "waybill policy list")
	}
	return policyOf(v, active)
}

func policyOf(v state.PolicyVersion, active map[string]int) (*waybillv1.Policy, error) {
	p, err := policy.Parse(v.Text)
	if err != nil {
		return nil, provenance.Wrap(provenance.Internal, err, "policy %s version %d on the ledger", v.Name, v.Version)
	}
	return &waybillv1.Policy{
		Name: v.Name, Version: int32(v.Version), Hash: v.Hash, Text: string(v.Text), Source: v.Source, Match: p.Spec.Match,
		Voters: people(v.Voters), At: stamp(v.At), Active: active[v.Name] == v.Version,
	}, nil
}
