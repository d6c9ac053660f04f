package api

import (
	"context"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// maxList bounds the parts of an answer that have no pages; where there is more
// the answer says so.
const maxList = 500

// GetImage implements waybillv1.WaybillServer.
func (s *service) GetImage(ctx context.Context, in *waybillv1.GetImageRequest) (*waybillv1.GetImageResponse, error) {
	ref, err := parseImage(in.GetImage())
	if err != nil {
		return nil, err
	}
	out := &waybillv1.GetImageResponse{}
	err = s.viewAt(ctx, in.GetAt(), func(at moment, r Reads) error {
		if err := resolve(r, &ref); err != nil {
			return err
		}
		out.AsOf = at.asOf()
		out.Height, out.Stale, out.Digest, out.Image = at.height, at.stale, ref.Digest.String(), nameOf(ref)
		if err := s.places(r, ref, out); err != nil {
			return err
		}
		if err := holds(r, ref.Digest, out); err != nil {
			return err
		}
		if len(out.Places) == 0 && len(out.Holds) == 0 {
			return withHint(provenance.Errorf(provenance.NotFound, "image %s is not on the ledger", out.Image),
				"push it to a registry that is on the ledger, or wait for its gateway to record the push")
		}
		if err := s.promotionsOf(r, ref, at.now, out); err != nil {
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
func (s *service) places(r Reads, ref provenance.Reference, out *waybillv1.GetImageResponse) error {
	where := state.PlacePrefix(ref.Digest)
	if ref.Host != "" {
		where = append(where, string(ref.Host), string(ref.Repository))
	}
	more, err := first(r, maxList, func(key []string, p state.Place) error {
		host, repo := provenance.Host(key[1]), provenance.Repository(key[2])
		place := &waybillv1.Place{
			Host: key[1], Repository: key[2], MediaType: p.MediaType, ArtifactType: p.ArtifactType, Size: p.Size,
			Config: p.Config.String(), Subject: p.Subject.String(), Actor: p.Actor, Msp: p.MSP, At: stamp(p.At), Deleted: p.Deleted,
			Proven: p.Proven, TagsCut: p.TagsCut,
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
		carriers, err := s.carriers(r, state.Subject{Host: host, Repository: repo, Digest: ref.Digest})
		if err != nil {
			return err
		}
		for _, c := range carriers {
			place.Carriers = append(place.Carriers, &waybillv1.Carrier{Stage: c.stage, Index: c.index.String()})
		}
		tags, err := r.Tags(ref.Digest, host, repo)
		if place.TagsTruncated = len(tags) > maxTags; place.TagsTruncated {
			tags = tags[:maxTags]
		}
		for _, t := range tags {
			place.Tags = append(place.Tags, string(t))
		}
		out.Places = append(out.Places, place)
		return err
	}, state.TypePlace, where...)
	out.Truncated = out.Truncated || more
	return err
}

// maxTags bounds the tags of a place; the index lists one more than these.
const maxTags = 100

// carrier is the index through which an image was released to a stage.
type carrier struct {
	stage string
	index provenance.Digest
}

// carriers are those of the stages of the policy in force, which are those that
// the rules look through; the stage of where is of no account.
func (s *service) carriers(r Reads, where state.Subject) ([]carrier, error) {
	p, _, err := state.LoadPolicy(s.reader(r), where.Host, where.Repository)
	if err != nil || p == nil {
		return nil, err
	}
	var all []carrier
	for _, stage := range p.Spec.Stages {
		where.Stage = stage.Name
		var c state.Carrier
		found, err := state.Read(r, where.CarrierKey(), &c)
		if err != nil {
			return nil, err
		}
		if found && c.Index != where.Digest {
			all = append(all, carrier{stage.Name, c.Index})
		}
	}
	return all, nil
}

func holds(r Reads, d provenance.Digest, out *waybillv1.GetImageResponse) error {
	return each(r, func(_ []string, h state.Hold) error {
		out.Holds = append(out.Holds, &waybillv1.Hold{
			Digest: h.Digest.String(), Msp: h.MSP, By: person(h.By), Reason: h.Reason, At: stamp(h.At), Lifted: h.Lifted,
			Since: stamp(h.Since), Proposal: h.Proposal,
		})
		return nil
	}, state.TypeHold, d.String())
}

// promotionsOf adds the image's promotions, and its release where there is one:
// nothing is released that was not promoted first.
func (s *service) promotionsOf(r Reads, ref provenance.Reference, now time.Time, out *waybillv1.GetImageResponse) error {
	filter := readmodel.PromotionFilter{Digest: ref.Digest, Host: ref.Host, Repository: ref.Repository}
	promotions, next, err := r.Promotions(filter, readmodel.Page{Size: maxList, NewestFirst: true})
	if err != nil {
		return err
	}
	out.Truncated = out.Truncated || next != ""
	for _, p := range promotions {
		promotion, err := s.promotion(r, p, now)
		if err != nil {
			return err
		}
		out.Promotions = append(out.Promotions, promotion)
		if err := addRelease(r, p.Subject, out); err != nil {
			return err
		}
	}
	return nil
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
	approved, err := approvers(newTakenBack(r), rel.Approvers)
	if err != nil {
		return err
	}
	out.Releases = append(out.Releases, &waybillv1.Release{
		Stage: s.Stage, Host: string(s.Host), Repository: string(s.Repository), Digest: s.Digest.String(), Previous: rel.Previous.String(),
		Current: current.Digest == s.Digest, Attempt: int32(rel.Attempt), Policy: version(rel.Policy), Approvers: who(approved), Approved: approved,
		Rollback: rel.Rollback, By: person(rel.By), At: stamp(rel.At),
		EvidenceSet: rel.EvidenceSet, Auto: rel.Auto, Pinned: current.Digest == s.Digest && current.Pinned, Debt: debt(rel.Debt),
		Hash: rel.Hash(), Review: rel.Review,
	})
	return nil
}

// approvers tells who approved, when, and what of it was taken back since.
func approvers(taken *takenBack, all []state.Approver) ([]*waybillv1.Approver, error) {
	out := make([]*waybillv1.Approver, len(all))
	for i, a := range all {
		why, err := taken.why(a.Person, a.At)
		if err != nil {
			return nil, err
		}
		out[i] = &waybillv1.Approver{Who: person(a.Person), At: stamp(a.At), TakenBack: why}
	}
	return out, nil
}

func who(all []*waybillv1.Approver) []*waybillv1.Person {
	out := make([]*waybillv1.Person, len(all))
	for i, a := range all {
		out[i] = a.GetWho()
	}
	return out
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
