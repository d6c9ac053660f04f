package state

import (
	"slices"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// load gathers by key reads alone everything a verdict on a subject depends on,
// so that a transaction which writes may call it: every read is checked again
// at commit.
//
// A platform image has the release, the evidence, the witnesses and the
// quarantine of the index through which it was released to the stage: those who
// released that index there looked at it. What other indexes list it, which
// anybody who may push can make, changes nothing, and nothing do those that came to
// other stages, where less may be asked for. An index has the
// quarantines of all it lists, however deep, and of the indexes through which
// those were released to its stage, so that a held image does not come back
// through another index.
func (l *loader) load() error {
	s := l.s
	l.f = policy.Facts{Host: s.Host, Repository: s.Repository, Digest: s.Digest, Stage: s.Stage}
	for _, step := range []func() error{l.members, l.clock, l.place, l.carried, l.holds, l.surroundings, l.evidence, l.promotion, l.releases} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

type loader struct {
	r         Reader
	s         Subject
	p         *policy.Policy
	now       time.Time
	f         policy.Facts
	nested    []provenance.Digest          // of what the image lists, the indexes
	carriers  map[string]provenance.Digest // by stage
	standing  map[provenance.Digest]*Place // the carriers' places, where they are not deleted
	indexes   []provenance.Digest          // the carrier to the stage, if there is one
	holders   []provenance.Digest          // the indexes whose quarantine is the image's
	open      Promotion
	taken     map[policy.Person]*TakenBack // nil where nothing is taken back
	takenUses map[grantUse]bool            // approvals of releases whose role is taken back
}

func (l *loader) members() error {
	m, err := LoadMembers(l.r)
	l.f.Members, l.f.Majority = m.MSPs, m.Needed()
	return err
}

func (l *loader) clock() error {
	var c Clock
	_, err := Read(l.r, ClockKey(), &c)
	l.f.Clock = c.At
	return err
}

// stages are those of the policy, the subject's first.
func (l *loader) stages() []string {
	stages := []string{l.s.Stage}
	if l.p != nil {
		for _, st := range l.p.Spec.Stages {
			if st.Name != l.s.Stage {
				stages = append(stages, st.Name)
			}
		}
	}
	return stages
}

func (l *loader) place() error {
	var place Place
	found, err := Read(l.r, PlaceKey(l.s.Digest, l.s.Host, l.s.Repository), &place)
	if err != nil || !found {
		return err
	}
	f := &l.f
	f.Recorded, f.Proven, f.TagsCut = !place.Deleted, place.Proven, place.TagsCut
	f.PushedBy, f.PushedAt = place.MSP, place.At
	f.MediaType, f.ArtifactType, f.Size, f.Children = place.MediaType, place.ArtifactType, place.Size, place.Children
	l.nested = place.Nested
	return l.tags(place.Tags)
}

// tags keeps those tags that name the image now.
func (l *loader) tags(pushed []provenance.Tag) error {
	keys := make([]string, len(pushed))
	for i, t := range pushed {
		keys[i] = TagKey(l.s.Host, l.s.Repository, t)
	}
	tags, err := readAll[Tag](l.r, keys)
	if err != nil {
		return err
	}
	for i, t := range tags {
		if t != nil && t.Digest == l.s.Digest {
			l.f.Tags = append(l.f.Tags, string(pushed[i]))
		}
	}
	slices.Sort(l.f.Tags)
	return nil
}

// surroundings collects what is said about the repository and by the members.
func (l *loader) surroundings() error {
	var labels Labels
	if _, err := Read(l.r, LabelsKey(l.s.Host, l.s.Repository), &labels); err != nil {
		return err
	}
	l.f.Labels = labels.Labels
	if err := l.waivers(); err != nil {
		return err
	}
	if err := l.context(); err != nil {
		return err
	}
	var keys []string
	for _, d := range append([]provenance.Digest{l.s.Digest}, l.indexes...) {
		for _, msp := range l.f.Members {
			keys = append(keys, WitnessKey(d, l.s.Host, l.s.Repository, msp))
		}
	}
	seen, err := readAll[Witness](l.r, keys)
	for _, w := range seen {
		if w != nil {
			l.f.Witnesses = append(l.f.Witnesses, policy.Witness{MSP: w.MSP, At: w.At})
		}
	}
	return err
}

// LoadWaivers returns the waivers of a repository by the member that asked for
// them, in the members' order.
func LoadWaivers(r Reader, host provenance.Host, repo provenance.Repository, members []string) ([]Waivers, error) {
	keys := make([]string, len(members))
	for i, msp := range members {
		keys[i] = WaiversKey(host, repo, msp)
	}
	found, err := readAll[Waivers](r, keys)
	list := make([]Waivers, len(members))
	for i, w := range found {
		if w != nil {
			list[i] = *w
		}
	}
	return list, err
}

func (l *loader) waivers() error {
	lists, err := LoadWaivers(l.r, l.s.Host, l.s.Repository, l.f.Members)
	if err != nil {
		return err
	}
	var found []Waiver
	var people []policy.Person
	for _, list := range lists {
		for _, w := range list.Waivers {
			if w.Digest.IsZero() || w.Digest == l.s.Digest || slices.Contains(l.indexes, w.Digest) {
				found = append(found, w)
				for _, a := range w.Approvers {
					people = append(people, a.Person)
				}
			}
		}
	}
	if err := l.loadTaken(people...); err != nil {
		return err
	}
	for _, w := range found {
		waiver := policy.Waiver{ID: w.ID, Stage: w.Stage, Rule: w.Rule, Reason: w.Reason, Until: w.Until, Approvers: []policy.Person{}, Revoked: w.Revoked}
		for _, a := range w.Approvers {
			if !l.taken[a.Person].Reaches(a.At) {
				waiver.Approvers = append(waiver.Approvers, a.Person)
			}
		}
		l.f.Waivers = append(l.f.Waivers, waiver)
	}
	return nil
}

// context reads the variables of the members that the policy listens to.
func (l *loader) context() error {
	if l.p == nil || len(l.p.Spec.Context) == 0 {
		return nil
	}
	var msps []string
	for _, msp := range l.p.Spec.Context {
		if slices.Contains(l.f.Members, msp) {
			msps = append(msps, msp)
		}
	}
	slices.Sort(msps)
	msps = slices.Compact(msps)
	keys := make([]string, len(msps))
	for i, msp := range msps {
		keys[i] = ContextKey(msp)
	}
	contexts, err := readAll[Context](l.r, keys)
	l.f.Context = map[string]map[string]policy.Value{}
	for i, c := range contexts {
		if c != nil {
			l.f.Context[msps[i]] = c.Values
		}
	}
	return err
}
