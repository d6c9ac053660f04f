package api

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

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
	waiverVoid    = "void" // who asked for it is no member any more
)

// within reads an optional host/repository into the attributes of a key.
func within(objectType, repository string) (keyRange, error) {
	if repository == "" {
		return keyRange{objectType}, nil
	}
	ref, err := parseRepository(repository)
	return keyRange{objectType, string(ref.Host), string(ref.Repository)}, err
}

// ListWaivers implements waybillv1.WaybillServer.
func (s *service) ListWaivers(ctx context.Context, in *waybillv1.ListWaiversRequest) (*waybillv1.ListWaiversResponse, error) {
	where, err := within(state.TypeWaivers, in.GetRepository())
	if err != nil {
		return nil, err
	}
	out := &waybillv1.ListWaiversResponse{}
	return out, s.view(ctx, func(at moment, r Reads) error {
		out.Height, out.Stale = at.height, at.stale
		bench, err := s.waivers(r)
		if err != nil {
			return err
		}
		out.NextPageToken, err = list(r, in, maxPage, as(func(key []string, all state.Waivers) error {
			for _, w := range all.Waivers {
				one, err := bench.show(key, w)
				if err != nil {
					return err
				}
				out.Waivers = append(out.Waivers, one)
			}
			return nil
		}), where)
		return err
	})
}

// waivers tells how waivers stand.
type waivers struct {
	s       *service
	r       Reads
	members []string
	taken   *takenBack
}

func (s *service) waivers(r Reads) (*waivers, error) {
	members, err := state.LoadMembers(r)
	return &waivers{s, r, members.MSPs, newTakenBack(r)}, err
}

// show tells how the waiver under a key of state.WaiversKey stands.
func (b *waivers) show(key []string, w state.Waiver) (*waybillv1.Waiver, error) {
	p, _, err := state.LoadPolicy(b.s.reader(b.r), provenance.Host(key[0]), provenance.Repository(key[1]))
	if err != nil {
		return nil, err
	}
	approved, err := approvers(b.taken, w.Approvers)
	if err != nil {
		return nil, err
	}
	out := &waybillv1.Waiver{
		Host: key[0], Repository: key[1], Id: w.ID, Hash: w.Hash(), Stage: w.Stage, Rule: w.Rule, Digest: w.Digest.String(),
		Reason: w.Reason, Until: stamp(w.Until), Approvers: who(approved), Approved: approved, By: person(w.By), At: stamp(w.At), Status: waiverPending,
	}
	if w.Revocation != nil {
		out.RevokedReason, out.RevokedBy = w.Revocation.Reason, person(w.Revocation.By)
	}
	if p != nil && p.Spec.Waivers != nil {
		out.Needed = int32(p.Spec.Waivers.Min)
	}
	_, missing, enough := policy.Agreed(p, b.members, agreed(approved))
	out.Missing = missing
	switch {
	case w.Revoked:
		out.Status = waiverRevoked
	case !b.s.cfg.Now().Before(w.Until):
		out.Status = waiverExpired
	case !slices.Contains(b.members, key[2]):
		out.Status = waiverVoid
	case enough:
		out.Status = waiverActive
	}
	return out, nil
}

// agreed is what policy looks at of a waiver's approvals: those that stand.
func agreed(approved []*waybillv1.Approver) (w policy.Waiver) {
	for _, a := range approved {
		if a.GetTakenBack() == "" {
			w.Approvers = append(w.Approvers, policy.Person{MSP: a.GetWho().GetMsp(), Name: a.GetWho().GetName()})
		}
	}
	return w
}

// ListContext implements waybillv1.WaybillServer.
func (s *service) ListContext(ctx context.Context, in *waybillv1.ListContextRequest) (*waybillv1.ListContextResponse, error) {
	out := &waybillv1.ListContextResponse{}
	return out, s.view(ctx, func(at moment, r Reads) (err error) {
		out.Height, out.Stale = at.height, at.stale
		out.NextPageToken, err = list(r, in, maxPage, as(func(key []string, c state.Context) error {
			for _, name := range slices.Sorted(maps.Keys(c.Values)) {
				v := c.Values[name]
				b, err := json.Marshal(v.Value)
				if err != nil {
					return provenance.Wrap(provenance.Internal, err, "context %s of %s", name, key[0])
				}
				out.Variables = append(out.Variables, &waybillv1.ContextVariable{Msp: key[0], Name: name, Value: string(b), At: stamp(v.At)})
			}
			return nil
		}), keyRange{state.TypeContext})
		return err
	})
}

// ListLabels implements waybillv1.WaybillServer.
func (s *service) ListLabels(ctx context.Context, in *waybillv1.ListLabelsRequest) (*waybillv1.ListLabelsResponse, error) {
	where, err := within(state.TypeLabels, in.GetRepository())
	if err != nil {
		return nil, err
	}
	out := &waybillv1.ListLabelsResponse{}
	return out, s.view(ctx, func(at moment, r Reads) (err error) {
		out.Height, out.Stale = at.height, at.stale
		out.NextPageToken, err = list(r, in, maxPage, as(func(key []string, l state.Labels) error {
			for _, name := range slices.Sorted(maps.Keys(l.Labels)) {
				out.Labels = append(out.Labels, &waybillv1.Label{Host: key[0], Repository: key[1], Name: name, Value: l.Labels[name]})
			}
			return nil
		}), where)
		return err
	})
}
