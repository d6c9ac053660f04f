// Package statetest writes facts down as the records they are read from, so
// that what package policy says of facts can be asked of the contract, of an
// index or of a network.
package statetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/chaincode/manifest"
	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// Map is a state in memory; it implements state.Reader.
type Map map[string][]byte

// Get implements state.Reader.
func (m Map) Get(keys ...string) ([][]byte, error) {
	values := make([][]byte, len(keys))
	for i, k := range keys {
		values[i] = m[k]
	}
	return values, nil
}

func (m Map) put(key string, record any) error {
	b, err := state.Encode(record)
	if err != nil {
		return err
	}
	m[key] = b
	return nil
}

// Subject is what f is about.
func Subject(f policy.Facts) state.Subject {
	return state.Subject{Stage: f.Stage, Host: f.Host, Repository: f.Repository, Digest: f.Digest}
}

// Seed returns the records from which state.JudgeBy reads f, under a policy
// document that is in force at version, or under none where document is empty.
//
// Some facts cannot stand on a ledger and are written as near as may be: keys
// are by organisation, so of two approvals of one organisation the later stays;
// what is no member's is not read; a key is withdrawn from one time on; an image
// has one index for each stage of its policy; what a superseded piece says is
// read where a rule fails, and only beside a newer one; Lapsed, Tangled and
// Evidence.Cut are not written. Compare Judgement.Facts with f to see whether it
// is all there.
func Seed(f policy.Facts, document []byte, version int) (Map, error) {
	m := Map{}
	w := &writer{m: m, f: f, s: Subject(f)}
	for _, step := range []func() error{
		func() error { return w.policy(document, version) },
		w.members, w.clock, w.places, w.carriers, w.holds, w.surroundings, w.evidence, w.promotion, w.releases,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return m, nil
}

type writer struct {
	m Map
	f policy.Facts
	s state.Subject
}

func (w *writer) policy(document []byte, version int) error {
	if len(document) == 0 {
		return nil
	}
	p, err := policy.Parse(document)
	if err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	entry := state.CatalogueEntry{Name: p.Metadata.Name, Version: version, Match: p.Spec.Match}
	if err := w.m.put(state.PoliciesKey(), state.Catalogue{Policies: []state.CatalogueEntry{entry}}); err != nil {
		return err
	}
	return w.m.put(state.PolicyKey(entry.Name, version), state.PolicyVersion{Name: entry.Name, Version: version, Text: p.Canonical()})
}

func (w *writer) members() error {
	for _, msp := range w.f.Members {
		if err := w.m.put(state.MemberKey(msp), state.Member{MSP: msp, Name: msp}); err != nil {
			return err
		}
	}
	return w.m.put(state.MembersKey(), state.Members{MSPs: w.f.Members, Majority: w.f.Majority})
}

func (w *writer) clock() error {
	if w.f.Clock.IsZero() {
		return nil
	}
	return w.m.put(state.ClockKey(), state.Clock{At: w.f.Clock, Seq: 1})
}

// carriers writes the index through which the image was released to its stage:
// what it has through that one counts for it. There is one at most: of evidence
// about several indexes, that about the first can stand on a ledger.
func (w *writer) carriers() error {
	if !w.f.ViaIndex.IsZero() {
		return w.carry(w.s.Stage, w.f.ViaIndex)
	}
	for _, e := range w.f.Evidence {
		if !e.On.IsZero() && e.On != w.f.Digest {
			return w.carry(w.s.Stage, e.On)
		}
	}
	return nil
}

func (w *writer) places() error {
	f := w.f
	if f.Recorded || f.PushedBy != "" {
		place := state.Place{
			MSP: f.PushedBy, At: f.PushedAt, MediaType: f.MediaType, ArtifactType: f.ArtifactType, Size: f.Size, Children: f.Children, Deleted: !f.Recorded,
			Proven: f.Proven, TagsCut: f.TagsCut,
		}
		for _, t := range f.Tags {
			place.Tags = append(place.Tags, provenance.Tag(t))
			if err := w.m.put(state.TagKey(f.Host, f.Repository, provenance.Tag(t)), state.Tag{Digest: f.Digest, Moves: 1, At: f.PushedAt}); err != nil {
				return err
			}
		}
		if err := w.m.put(state.PlaceKey(f.Digest, f.Host, f.Repository), place); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) holds() error {
	free := slices.Clone(w.f.Members)
	for _, h := range w.f.Holds {
		record := state.Hold{Digest: w.f.Digest, MSP: h.MSP, Reason: h.Reason, Act: state.Act{By: h.By, At: h.At}}
		if err := w.m.put(state.HoldKey(w.f.Digest, h.MSP), record); err != nil {
			return err
		}
		free = slices.DeleteFunc(free, func(msp string) bool { return msp == h.MSP })
	}
	if w.f.LastHold.IsZero() || len(free) == 0 {
		return nil
	}
	// Lifted at once; what counts is when it was set.
	record := state.Hold{Digest: w.f.Digest, MSP: free[0], Reason: "lifted", Lifted: true, Since: w.f.LastHold, Act: state.Act{At: w.f.LastHold}}
	return w.m.put(state.HoldKey(w.f.Digest, free[0]), record)
}

func (w *writer) surroundings() error {
	f := w.f
	if len(f.Labels) > 0 {
		if err := w.m.put(state.LabelsKey(f.Host, f.Repository), state.Labels{Labels: f.Labels}); err != nil {
			return err
		}
	}
	for msp, values := range f.Context {
		if err := w.m.put(state.ContextKey(msp), state.Context{Values: values}); err != nil {
			return err
		}
	}
	for _, seen := range f.Witnesses {
		key := state.WitnessKey(f.Digest, f.Host, f.Repository, seen.MSP)
		if err := w.m.put(key, state.Witness{MSP: seen.MSP, Act: state.Act{At: seen.At}}); err != nil {
			return err
		}
	}
	var waivers state.Waivers
	for _, v := range f.Waivers {
		waiver := state.Waiver{
			ID: v.ID, Host: f.Host, Repository: f.Repository, Stage: v.Stage, Rule: v.Rule, Reason: v.Reason, Until: v.Until, Revoked: v.Revoked,
		}
		for _, a := range v.Approvers {
			waiver.Approvers = append(waiver.Approvers, state.Approver{Person: a})
		}
		waivers.Waivers = append(waivers.Waivers, waiver)
	}
	if waivers.Waivers == nil || len(f.Members) == 0 {
		return nil
	}
	return w.m.put(state.WaiversKey(f.Host, f.Repository, f.Members[0]), waivers)
}

func (w *writer) promotion() error {
	f := w.f
	if !f.Promoted && f.Requester == (policy.Person{}) && len(f.Approvals) == 0 && f.Attempt == 0 {
		return nil
	}
	p := state.Promotion{Subject: w.s, Attempt: max(1, f.Attempt), Requester: f.Requester, At: w.latest(), Status: state.PromotionOpen}
	switch {
	case !f.Promoted:
		p.Status = state.PromotionRejected
	case f.Released:
		p.Status = state.PromotionReleased
	}
	for _, a := range f.Approvals {
		if a.TakenBack != "" {
			t := state.TakenBack{MSP: a.By.MSP, Identity: a.By.Name, Since: a.At, Reason: a.TakenBack, Act: state.Act{By: a.By, At: a.At}}
			if err := w.m.put(state.TakenKey(a.By), t); err != nil {
				return err
			}
			a.TakenBack = ""
		}
		if err := w.m.put(w.s.ApprovalKey(p.Attempt, a.By.MSP), state.Approval{Subject: w.s, Attempt: p.Attempt, Approval: a}); err != nil {
			return err
		}
	}
	return w.m.put(w.s.PromotionKey(), p)
}

// latest is the last moment that the facts speak of: a promotion lasts from its request.
func (w *writer) latest() time.Time {
	at := w.f.Clock
	for _, a := range w.f.Approvals {
		if a.At.After(at) {
			at = a.At
		}
	}
	if w.f.PushedAt.After(at) {
		at = w.f.PushedAt
	}
	return at
}

// carry makes an index the one through which the image was released to a stage.
func (w *writer) carry(stage string, index provenance.Digest) error {
	s := w.s
	s.Stage = stage
	if err := w.m.put(s.CarrierKey(), state.Carrier{Index: index}); err != nil {
		return err
	}
	place := state.Place{
		MSP: w.f.PushedBy, At: w.f.PushedAt, MediaType: manifest.OCIIndex, Children: []provenance.Digest{w.f.Digest}, Proven: w.f.Proven,
		// An image that was never pushed has nothing through an index that stands.
		Deleted: !w.f.Recorded && w.f.PushedBy == "",
	}
	return w.m.put(state.PlaceKey(index, s.Host, s.Repository), place)
}

// through makes a release one of an index that carries the image.
func (w *writer) through(rel *state.Release) error {
	carrier := w.s
	carrier.Stage = rel.Stage
	var c state.Carrier
	if found, err := state.Read(w.m, carrier.CarrierKey(), &c); err != nil || found {
		rel.Digest = c.Index
		return err
	}
	rel.Digest = provenance.SHA256Of([]byte("an index in " + rel.Stage))
	return w.carry(rel.Stage, rel.Digest)
}

func (w *writer) releases() error {
	f := w.f
	released := func(stage string, at time.Time) state.Release {
		s := w.s
		s.Stage = stage
		return state.Release{Subject: s, Attempt: 1, Approvers: []state.Approver{}, Act: state.Act{At: at}}
	}
	seen := map[string]bool{}
	for _, r := range f.ReleasedTo {
		if r.Stage == f.Stage {
			continue // below
		}
		rel := released(r.Stage, r.At)
		if seen[r.Stage] { // an image has one release of its own, and one through an index
			if err := w.through(&rel); err != nil {
				return err
			}
		}
		seen[r.Stage] = true
		if r.Unreviewed {
			rel.Debt = &policy.Debt{At: r.At}
		}
		if err := w.m.put(rel.ReleasedKey(), rel); err != nil {
			return err
		}
	}
	if !f.Released {
		return nil
	}
	rel := released(f.Stage, f.ReleasedAt)
	if !f.ViaIndex.IsZero() {
		rel.Digest = f.ViaIndex
	}
	rel.Policy, rel.Debt = f.ReleasedWith, f.Debt
	if err := w.m.put(rel.ReleasedKey(), rel); err != nil {
		return err
	}
	current := state.Current{Digest: rel.Digest}
	if !f.Current {
		current.Digest = provenance.SHA256Of([]byte("released later"))
	}
	return w.m.put(w.s.ReleaseKey(), current)
}
