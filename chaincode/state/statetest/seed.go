// Package statetest writes facts down as the records they are read from, so
// that what package policy says of facts can be asked of the contract, of an
// index or of a network.
package statetest

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

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

// Seed returns the records from which state.LoadFacts reads f, under a policy
// document that is in force at version, or under none where document is empty.
//
// Some facts cannot stand on a ledger and are written as near as may be: keys
// are by organisation, so of two approvals of one organisation the later stays;
// what is no member's is not read; only a key can be withdrawn, and from one
// time on. Compare what LoadFacts returns with f to see whether it is all there.
func Seed(f policy.Facts, document []byte, version int) (Map, error) {
	m := Map{}
	w := writer{m: m, f: f, s: Subject(f)}
	for _, step := range []func() error{
		func() error { return w.policy(document, version) },
		w.members, w.places, w.holds, w.surroundings, w.evidence, w.promotion, w.releases,
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

func (w writer) policy(document []byte, version int) error {
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

func (w writer) members() error {
	for _, msp := range w.f.Members {
		if err := w.m.put(state.MemberKey(msp), state.Member{MSP: msp, Name: msp}); err != nil {
			return err
		}
	}
	return w.m.put(state.MembersKey(), state.Members{MSPs: w.f.Members, Majority: w.f.Majority})
}

// indexes are those that must hold the image, for what it has through them.
func (w writer) indexes() []provenance.Digest {
	var list []provenance.Digest
	add := func(d provenance.Digest) {
		if !d.IsZero() && d != w.f.Digest && !slices.Contains(list, d) {
			list = append(list, d)
		}
	}
	add(w.f.ViaIndex)
	for _, e := range w.f.Evidence {
		add(e.On)
	}
	return list
}

func (w writer) places() error {
	f := w.f
	if f.Recorded || f.PushedBy != "" {
		place := state.Place{
			MSP: f.PushedBy, At: f.PushedAt, MediaType: f.MediaType, ArtifactType: f.ArtifactType, Size: f.Size, Children: f.Children, Deleted: !f.Recorded,
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
	indexes := w.indexes()
	if len(indexes) == 0 {
		return nil
	}
	for _, d := range indexes {
		place := state.Place{MSP: f.PushedBy, At: f.PushedAt, Children: []provenance.Digest{f.Digest}}
		if err := w.m.put(state.PlaceKey(d, f.Host, f.Repository), place); err != nil {
			return err
		}
	}
	return w.m.put(state.ParentsKey(f.Digest, f.Host, f.Repository), state.Parents{Indexes: indexes})
}

func (w writer) holds() error {
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

func (w writer) surroundings() error {
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
		waivers.Waivers = append(waivers.Waivers, state.Waiver{
			ID: v.ID, Stage: v.Stage, Rule: v.Rule, Reason: v.Reason, Until: v.Until, Approvers: v.Approvers, Revoked: v.Revoked,
		})
	}
	if waivers.Waivers == nil {
		return nil
	}
	return w.m.put(state.WaiversKey(f.Host, f.Repository), waivers)
}

func (w writer) evidence() error {
	sets := map[provenance.Digest]*state.EvidenceSet{}
	keys := map[string]state.TrustKey{}
	for _, e := range w.f.Evidence {
		on := e.On
		if on.IsZero() {
			on = w.f.Digest
		}
		facts, err := json.Marshal(e.Facts)
		if err != nil {
			return fmt.Errorf("facts of %s: %w", e.ID, err)
		}
		record := state.Evidence{Digest: on, Type: e.Type, ID: e.ID, Signer: e.Signer, Facts: facts, Act: state.Act{At: e.At}}
		if err := w.m.put(state.EvidenceKey(on, e.Type, e.ID), record); err != nil {
			return err
		}
		if sets[on] == nil {
			sets[on] = &state.EvidenceSet{}
		}
		sets[on].Entries = append(sets[on].Entries, state.EvidenceEntry{Type: e.Type, ID: e.ID, Signer: state.SignerID(e.Signer), Since: e.At})
		if e.Signer.Key == "" {
			continue
		}
		name := state.TrustKeyKey(e.Signer.MSP, e.Signer.Key)
		k, ok := keys[name]
		if !ok {
			k = state.TrustKey{MSP: e.Signer.MSP, Name: e.Signer.Key}
		}
		if !e.Withdrawn.IsZero() {
			k.Withdrawn = withdrawal(k.Withdrawn, e)
		}
		keys[name] = k
	}
	for on, set := range sets {
		if err := w.m.put(state.EvidenceSetKey(on), *set); err != nil {
			return err
		}
	}
	for name, k := range keys {
		if err := w.m.put(name, k); err != nil {
			return err
		}
	}
	return nil
}

// withdrawal ends a key so that it reaches back to e as well.
func withdrawal(old *state.Withdrawal, e policy.Evidence) *state.Withdrawal {
	since := e.At
	if old != nil && old.CompromisedSince.Before(since) {
		since = old.CompromisedSince
	}
	return &state.Withdrawal{Reason: e.Why, CompromisedSince: since, Act: state.Act{At: e.Withdrawn}}
}

func (w writer) promotion() error {
	f := w.f
	if !f.Promoted && f.Requester == (policy.Person{}) && len(f.Approvals) == 0 {
		return nil
	}
	p := state.Promotion{Subject: w.s, Attempt: 1, Requester: f.Requester, Status: state.PromotionOpen}
	switch {
	case !f.Promoted:
		p.Status = state.PromotionRejected
	case f.Released:
		p.Status = state.PromotionReleased
	}
	for _, a := range f.Approvals {
		if err := w.m.put(w.s.ApprovalKey(p.Attempt, a.By.MSP), state.Approval{Subject: w.s, Attempt: p.Attempt, Approval: a}); err != nil {
			return err
		}
	}
	return w.m.put(w.s.PromotionKey(), p)
}

func (w writer) releases() error {
	f := w.f
	released := func(stage string, at time.Time) state.Release {
		s := w.s
		s.Stage = stage
		if !f.ViaIndex.IsZero() {
			s.Digest = f.ViaIndex
		}
		return state.Release{Subject: s, Attempt: 1, Approvers: []policy.Person{}, Act: state.Act{At: at}}
	}
	for _, r := range f.ReleasedTo {
		rel := released(r.Stage, r.At)
		if err := w.m.put(rel.ReleasedKey(), rel); err != nil {
			return err
		}
	}
	if !f.Released {
		return nil
	}
	rel := released(f.Stage, f.ReleasedAt)
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
