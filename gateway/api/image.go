package api

import (
	"context"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// maxList bounds the lists that have no pages.
const maxList = 1000

// GetImage implements waybillv1.WaybillServer.
func (s *service) GetImage(ctx context.Context, in *waybillv1.GetImageRequest) (*waybillv1.GetImageResponse, error) {
	ref, err := parseImage(in.GetImage())
	if err != nil {
		return nil, err
	}
	out := &waybillv1.GetImageResponse{}
	err = s.view(ctx, func(at moment, r Reads) error {
		if err := resolve(r, &ref); err != nil {
			return err
		}
		out.Height, out.Stale, out.Digest, out.Image = at.height, at.stale, ref.Digest.String(), nameOf(ref)
		if err := places(r, ref, out); err != nil {
			return err
		}
		if err := holds(r, ref.Digest, out); err != nil {
			return err
		}
		if len(out.Places) == 0 && len(out.Holds) == 0 {
			return withHint(provenance.Errorf(provenance.NotFound, "image %s is not on the ledger", out.Image),
				"push it to a registry that is on the ledger, or wait for its gateway to record the push")
		}
		if err := s.promotionsOf(r, ref, out); err != nil {
			return err
		}
		pulls, last, err := r.Pulls(ref.Digest, ref.Host, ref.Repository)
		out.Pulls, out.LastPull = pulls, stamp(last)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// places adds where the image is: in the repository the reference names, or everywhere.
func places(r Reads, ref provenance.Reference, out *waybillv1.GetImageResponse) error {
	where := state.PlacePrefix(ref.Digest)
	if ref.Host != "" {
		where = append(where, string(ref.Host), string(ref.Repository))
	}
	return each(r, func(key []string, p state.Place) error {
		host, repo := provenance.Host(key[1]), provenance.Repository(key[2])
		place := &waybillv1.Place{
			Host: key[1], Repository: key[2], MediaType: p.MediaType, ArtifactType: p.ArtifactType, Size: p.Size,
			Config: p.Config.String(), Subject: p.Subject.String(), Actor: p.Actor, Msp: p.MSP, At: stamp(p.At), Deleted: p.Deleted,
		}
		for _, c := range p.Children {
			place.Children = append(place.Children, c.String())
		}
		var parents state.Parents
		if _, err := state.Read(r, state.ParentsKey(ref.Digest, host, repo), &parents); err != nil {
			return err
		}
		for _, index := range parents.Indexes {
			place.Indexes = append(place.Indexes, index.String())
		}
		tags, err := r.Tags(ref.Digest, host, repo)
		for _, t := range tags {
			place.Tags = append(place.Tags, string(t))
		}
		out.Places = append(out.Places, place)
		return err
	}, state.TypePlace, where...)
}

func holds(r Reads, d provenance.Digest, out *waybillv1.GetImageResponse) error {
	return each(r, func(_ []string, h state.Hold) error {
		out.Holds = append(out.Holds, &waybillv1.Hold{
			Digest: h.Digest.String(), Msp: h.MSP, By: person(h.By), Reason: h.Reason, At: stamp(h.At), Lifted: h.Lifted,
		})
		return nil
	}, state.TypeHold, d.String())
}

// promotionsOf adds the image's promotions, and its release where there is one:
// nothing is released that was not promoted first.
func (s *service) promotionsOf(r Reads, ref provenance.Reference, out *waybillv1.GetImageResponse) error {
	filter := PromotionFilter{Digest: ref.Digest, Host: ref.Host, Repository: ref.Repository}
	page := Page{Size: 500}
	for {
		promotions, next, err := r.Promotions(filter, page)
		if err != nil {
			return err
		}
		for _, p := range promotions {
			promotion, err := s.promotion(r, p)
			if err != nil {
				return err
			}
			out.Promotions = append(out.Promotions, promotion)
			if err := addRelease(r, p.Subject, out); err != nil {
				return err
			}
		}
		if page.Token = next; next == "" {
			return nil
		}
	}
}

func addRelease(r Reads, s state.Subject, out *waybillv1.GetImageResponse) error {
	var rel state.Release
	if found, err := state.Read(r, s.ReleasedKey(), &rel); err != nil || !found {
		return err
	}
	var current state.Current
	if _, err := state.Read(r, s.ReleaseKey(), &current); err != nil {
		return err
	}
	out.Releases = append(out.Releases, &waybillv1.Release{
		Stage: s.Stage, Host: string(s.Host), Repository: string(s.Repository), Digest: s.Digest.String(), Previous: rel.Previous.String(),
		Current: current.Digest == s.Digest, Attempt: int32(rel.Attempt), Policy: version(rel.Policy), Approvers: people(rel.Approvers),
		Rollback: rel.Rollback, By: person(rel.By), At: stamp(rel.At),
		EvidenceSet: rel.EvidenceSet, Auto: rel.Auto, Pinned: current.Digest == s.Digest && current.Pinned, Debt: debt(rel.Debt),
	})
	return nil
}

func debt(d *policy.Debt) *waybillv1.Debt {
	if d == nil {
		return nil
	}
	out := &waybillv1.Debt{By: person(d.By), Reason: d.Reason, Without: d.Without, At: stamp(d.At), Due: stamp(d.Due), ReviewedAt: stamp(d.ReviewAt)}
	if d.Reviewed != nil {
		out.ReviewedBy = person(*d.Reviewed)
	}
	return out
}

// each decodes the records under a prefix of keys and calls do with the key's
// attributes; at most maxList of them.
func each[T any](r Reads, do func(key []string, record T) error, objectType string, attributes ...string) error {
	entries, err := r.Scan(maxList, objectType, attributes...)
	if err != nil {
		return err
	}
	for _, e := range entries {
		_, key, ok := state.SplitKey(e.Key)
		if !ok {
			return provenance.Errorf(provenance.Internal, "key %q is not of our form", e.Key)
		}
		var record T
		if err := state.Decode(e.Value, &record); err != nil {
			return err
		}
		if err := do(key, record); err != nil {
			return err
		}
	}
	return nil
}
