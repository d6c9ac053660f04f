package api

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// The statuses of a waiver.
const (
	waiverPending = "pending" // too few organisations approved it
	waiverActive  = "active"
	waiverExpired = "expired"
	waiverRevoked = "revoked"
)

// within reads an optional host/repository into the attributes of a key.
func within(repository string) ([]string, error) {
	if repository == "" {
		return nil, nil
	}
	ref, err := parseRepository(repository)
	return []string{string(ref.Host), string(ref.Repository)}, err
}

// ListWaivers implements waybillv1.WaybillServer.
func (s *service) ListWaivers(ctx context.Context, in *waybillv1.ListWaiversRequest) (*waybillv1.ListWaiversResponse, error) {
	where, err := within(in.GetRepository())
	if err != nil {
		return nil, err
	}
	out := &waybillv1.ListWaiversResponse{}
	return out, s.view(ctx, func(at moment, r Reads) error {
		out.Height, out.Stale = at.height, at.stale
		out.Waivers, err = s.waivers(r, where)
		return err
	})
}

func (s *service) waivers(r Reads, where []string) ([]*waybillv1.Waiver, error) {
	members, err := state.LoadMembers(r)
	if err != nil {
		return nil, err
	}
	var all []*waybillv1.Waiver
	err = each(r, func(key []string, list state.Waivers) error {
		place := state.Subject{Host: provenance.Host(key[0]), Repository: provenance.Repository(key[1])}
		p, _, err := s.policies.load(r, place)
		if err != nil {
			return err
		}
		for _, w := range list.Waivers {
			all = append(all, s.waiver(place, w, p, members.MSPs))
		}
		return nil
	}, state.TypeWaivers, where...)
	return all, err
}

func (s *service) waiver(place state.Subject, w state.Waiver, p *policy.Policy, members []string) *waybillv1.Waiver {
	out := &waybillv1.Waiver{
		Host: string(place.Host), Repository: string(place.Repository), Id: w.ID, Stage: w.Stage, Rule: w.Rule, Digest: w.Digest.String(),
		Reason: w.Reason, Until: stamp(w.Until), Approvers: people(w.Approvers), By: person(w.By), At: stamp(w.At), Status: waiverPending,
	}
	if w.Revocation != nil {
		out.RevokedReason, out.RevokedBy = w.Revocation.Reason, person(w.Revocation.By)
	}
	var rule policy.WaiverRule
	if p != nil && p.Spec.Waivers != nil {
		rule = *p.Spec.Waivers
	}
	out.Needed = int32(rule.Min)
	orgs := approvingOrgs(w.Approvers, members)
	for _, org := range rule.Orgs {
		if !slices.Contains(orgs, org) {
			out.Missing = append(out.Missing, org)
		}
	}
	switch {
	case w.Revoked:
		out.Status = waiverRevoked
	case !s.cfg.Now().Before(w.Until):
		out.Status = waiverExpired
	case rule.Min > 0 && len(orgs) >= rule.Min && len(out.Missing) == 0:
		out.Status = waiverActive
	}
	return out
}

// approvingOrgs are the members among the approvers' organisations.
func approvingOrgs(approvers []policy.Person, members []string) []string {
	var orgs []string
	for _, a := range approvers {
		if slices.Contains(members, a.MSP) && !slices.Contains(orgs, a.MSP) {
			orgs = append(orgs, a.MSP)
		}
	}
	return orgs
}

// ListContext implements waybillv1.WaybillServer.
func (s *service) ListContext(ctx context.Context, _ *waybillv1.ListContextRequest) (*waybillv1.ListContextResponse, error) {
	out := &waybillv1.ListContextResponse{}
	return out, s.view(ctx, func(at moment, r Reads) error {
		out.Height, out.Stale = at.height, at.stale
		return each(r, func(key []string, c state.Context) error {
			for _, name := range slices.Sorted(maps.Keys(c.Values)) {
				v := c.Values[name]
				b, err := json.Marshal(v.Value)
				if err != nil {
					return provenance.Wrap(provenance.Internal, err, "context %s of %s", name, key[0])
				}
				out.Variables = append(out.Variables, &waybillv1.ContextVariable{Msp: key[0], Name: name, Value: string(b), At: stamp(v.At)})
			}
			return nil
		}, state.TypeContext)
	})
}

// ListLabels implements waybillv1.WaybillServer.
func (s *service) ListLabels(ctx context.Context, in *waybillv1.ListLabelsRequest) (*waybillv1.ListLabelsResponse, error) {
	where, err := within(in.GetRepository())
	if err != nil {
		return nil, err
	}
	out := &waybillv1.ListLabelsResponse{}
	return out, s.view(ctx, func(at moment, r Reads) error {
		out.Height, out.Stale = at.height, at.stale
		return each(r, func(key []string, l state.Labels) error {
			for _, name := range slices.Sorted(maps.Keys(l.Labels)) {
				out.Labels = append(out.Labels, &waybillv1.Label{Host: key[0], Repository: key[1], Name: name, Value: l.Labels[name]})
			}
			return nil
		}, state.TypeLabels, where...)
	})
}

// sooner orders two moments, absent ones last.
func sooner(a, b time.Time) int {
	switch {
	case a.IsZero() && b.IsZero():
		return 0
	case a.IsZero():
		return 1
	case b.IsZero():
		return -1
	}
	return a.Compare(b)
}
