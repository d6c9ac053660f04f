package state

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// LoadFacts gathers by key reads alone everything a verdict on s depends on,
// so that a transaction which writes may call it: every read is checked again
// at commit. It returns the promotion too, zero when there is none.
//
// A platform image has the quarantine, the evidence and the release of the
// indexes of its repository that hold it: who vouched for an index vouched for
// its platforms.
func LoadFacts(r Reader, s Subject, p *policy.Policy) (policy.Facts, Promotion, error) {
	l := loader{r: r, s: s, p: p}
	l.f = policy.Facts{Host: s.Host, Repository: s.Repository, Digest: s.Digest, Stage: s.Stage}
	for _, step := range []func() error{l.members, l.place, l.holds, l.surroundings, l.evidence, l.promotion, l.releases} {
		if err := step(); err != nil {
			return l.f, l.open, err
		}
	}
	return l.f, l.open, nil
}

type loader struct {
	r       Reader
	s       Subject
	p       *policy.Policy
	f       policy.Facts
	indexes []provenance.Digest // recorded in the same repository
	open    Promotion
}

func (l *loader) members() error {
	m, err := LoadMembers(l.r)
	l.f.Members, l.f.Majority = m.MSPs, m.Needed()
	return err
}

func (l *loader) place() error {
	values, err := l.r.Get(PlaceKey(l.s.Digest, l.s.Host, l.s.Repository), ParentsKey(l.s.Digest, l.s.Host, l.s.Repository))
	if err != nil {
		return err
	}
	var place Place
	found := values[0] != nil
	if found {
		if err := Decode(values[0], &place); err != nil {
			return err
		}
	}
	var parents Parents
	if values[1] != nil {
		if err := Decode(values[1], &parents); err != nil {
			return err
		}
	}
	f := &l.f
	f.Recorded = found && !place.Deleted
	f.PushedBy, f.PushedAt = place.MSP, place.At
	f.MediaType, f.ArtifactType, f.Size, f.Children = place.MediaType, place.ArtifactType, place.Size, place.Children
	if err := l.tags(place.Tags); err != nil {
		return err
	}
	keys := make([]string, len(parents.Indexes))
	for i, d := range parents.Indexes {
		keys[i] = PlaceKey(d, l.s.Host, l.s.Repository)
	}
	places, err := readAll[Place](l.r, keys)
	if err != nil {
		return err
	}
	for i, index := range places {
		if index == nil || index.Deleted {
			continue
		}
		l.indexes = append(l.indexes, parents.Indexes[i])
		// A registry reports the index only, when its platforms were there before.
		if !found {
			f.Recorded, f.PushedBy, f.PushedAt = true, index.MSP, index.At
		}
	}
	return nil
}

// packing is a Reader in which a tag may have no key of its own: Directory.Own.
type packing interface {
	Own(keys ...string) ([][]byte, error)
}

// tags keeps those tags that name the image now.
func (l *loader) tags(pushed []provenance.Tag) error {
	keys := make([]string, len(pushed))
	for i, t := range pushed {
		keys[i] = TagKey(l.s.Host, l.s.Repository, t)
	}
	if len(keys) == 0 {
		return nil
	}
	read := l.r.Get
	d, packed := l.r.(packing)
	if packed {
		read = d.Own
	}
	values, err := read(keys...)
	if err != nil {
		return err
	}
	for i, v := range values {
		t := Tag{Digest: l.s.Digest} // in a leaf: as it was first set
		if v != nil {
			if err := Decode(v, &t); err != nil {
				return err
			}
		}
		if (v != nil || packed) && t.Digest == l.s.Digest {
			l.f.Tags = append(l.f.Tags, string(pushed[i]))
		}
	}
	slices.Sort(l.f.Tags)
	return nil
}

// holds collects quarantines of the image, of its platforms and of the indexes that hold it.
func (l *loader) holds() error {
	digests := slices.Concat([]provenance.Digest{l.s.Digest}, l.f.Children, l.indexes)
	keys := make([]string, 0, len(l.f.Members)*len(digests))
	for _, d := range digests {
		for _, msp := range l.f.Members {
			keys = append(keys, HoldKey(d, msp))
		}
	}
	holds, err := readAll[Hold](l.r, keys)
	for _, h := range holds {
		if h == nil {
			continue
		}
		since := h.Since
		if since.IsZero() {
			since = h.At
		}
		if since.After(l.f.LastHold) {
			l.f.LastHold = since
		}
		if !h.Lifted {
			l.f.Holds = append(l.f.Holds, policy.Hold{MSP: h.MSP, By: h.By, Reason: h.Reason, At: h.At})
		}
	}
	return err
}

// surroundings collects what is said about the repository and by the members.
func (l *loader) surroundings() error {
	var labels Labels
	if _, err := Read(l.r, LabelsKey(l.s.Host, l.s.Repository), &labels); err != nil {
		return err
	}
	l.f.Labels = labels.Labels
	var waivers Waivers
	if _, err := Read(l.r, WaiversKey(l.s.Host, l.s.Repository), &waivers); err != nil {
		return err
	}
	for _, w := range waivers.Waivers {
		if w.Digest.IsZero() || w.Digest == l.s.Digest || slices.Contains(l.indexes, w.Digest) {
			l.f.Waivers = append(l.f.Waivers, policy.Waiver{
				ID: w.ID, Stage: w.Stage, Rule: w.Rule, Reason: w.Reason, Until: w.Until, Approvers: w.Approvers, Revoked: w.Revoked,
			})
		}
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

// evidence reads what counts for the image and for the indexes that hold it,
// and the keys that vouch for it.
func (l *loader) evidence() error {
	digests := append([]provenance.Digest{l.s.Digest}, l.indexes...)
	keys := make([]string, len(digests))
	for i, d := range digests {
		keys[i] = EvidenceSetKey(d)
	}
	sets, err := readAll[EvidenceSet](l.r, keys)
	if err != nil {
		return err
	}
	keys = keys[:0]
	for i, set := range sets {
		if set == nil {
			continue
		}
		for _, e := range set.Entries {
			keys = append(keys, EvidenceKey(digests[i], e.Type, e.ID))
		}
	}
	pieces, err := readAll[Evidence](l.r, keys)
	if err != nil {
		return err
	}
	withdrawn, err := l.withdrawn(pieces)
	if err != nil {
		return err
	}
	for i, e := range pieces {
		if e == nil {
			return provenance.Errorf(provenance.Internal, "evidence %s is in its set but not on the ledger", strings.ReplaceAll(keys[i], "\x00", "/"))
		}
		if !slices.Contains(l.f.Members, e.Signer.MSP) {
			continue // who left vouches for nothing any more
		}
		facts, err := decodeFacts(e.Facts)
		if err != nil {
			return provenance.Wrap(provenance.Internal, err, "facts of evidence %s", e.ID)
		}
		fact := policy.Evidence{ID: e.ID, Type: e.Type, Signer: e.Signer, At: e.Since(), Facts: facts, On: e.Digest}
		if w := withdrawn[TrustKeyKey(e.Signer.MSP, e.Signer.Key)]; e.WithdrawnBy(w) {
			fact.Withdrawn, fact.Why = w.At, w.Reason
		}
		l.f.Evidence = append(l.f.Evidence, fact)
	}
	return nil
}

// withdrawn returns the withdrawals among the keys that signed the pieces.
func (l *loader) withdrawn(pieces []*Evidence) (map[string]*Withdrawal, error) {
	var keys []string
	for _, e := range pieces {
		if e != nil && e.Signer.Key != "" {
			keys = append(keys, TrustKeyKey(e.Signer.MSP, e.Signer.Key))
		}
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	trust, err := readAll[TrustKey](l.r, keys)
	withdrawn := map[string]*Withdrawal{}
	for i, k := range trust {
		if k != nil && k.Withdrawn != nil {
			withdrawn[keys[i]] = k.Withdrawn
		}
	}
	return withdrawn, err
}

func (l *loader) promotion() error {
	found, err := Read(l.r, l.s.PromotionKey(), &l.open)
	if err != nil || !found {
		return err
	}
	l.f.Requester, l.f.Promoted = l.open.Requester, l.open.Status != PromotionRejected
	keys := make([]string, len(l.f.Members))
	for i, msp := range l.f.Members {
		keys[i] = l.open.ApprovalKey(l.open.Attempt, msp)
	}
	approvals, err := readAll[Approval](l.r, keys)
	for _, a := range approvals {
		if a != nil && !a.Withdrawn {
			l.f.Approvals = append(l.f.Approvals, a.Approval)
		}
	}
	return err
}

// releases reads to which stages the image is released, itself or through an index.
func (l *loader) releases() error {
	stages := []string{l.s.Stage}
	if l.p != nil {
		for _, st := range l.p.Spec.Stages {
			if st.Name != l.s.Stage {
				stages = append(stages, st.Name)
			}
		}
	}
	digests := append([]provenance.Digest{l.s.Digest}, l.indexes...)
	var keys []string
	for _, stage := range stages {
		for _, d := range digests {
			keys = append(keys, Subject{stage, l.s.Host, l.s.Repository, d}.ReleasedKey())
		}
	}
	var current Current
	if _, err := Read(l.r, l.s.ReleaseKey(), &current); err != nil {
		return err
	}
	releases, err := readAll[Release](l.r, keys)
	f := &l.f
	for i, rel := range releases {
		if rel == nil {
			continue
		}
		stage, d := stages[i/len(digests)], digests[i%len(digests)]
		if stage != l.s.Stage && rel.Debt != nil && rel.Debt.Reviewed == nil {
			continue // nobody but its maker has looked at it: no step on the way to a later stage
		}
		f.ReleasedTo = append(f.ReleasedTo, policy.ReleaseFact{Stage: stage, At: rel.At})
		if stage != l.s.Stage || f.Released {
			continue
		}
		f.Released, f.ReleasedAt, f.ReleasedWith, f.Debt, f.Current = true, rel.At, rel.Policy, rel.Debt, current.Digest == d
		if d != l.s.Digest {
			f.ViaIndex = d
		}
	}
	return err
}

// decodeFacts reads facts as the contract wrote them. Integers become int64:
// a float has no place in a decision that four peers must agree on.
func decodeFacts(b []byte) (map[string]any, error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var facts map[string]any
	if err := dec.Decode(&facts); err != nil {
		return nil, err
	}
	v, err := whole(facts)
	if err != nil {
		return nil, err
	}
	facts, _ = v.(map[string]any)
	return facts, nil
}

func whole(v any) (any, error) {
	var err error
	switch v := v.(type) {
	case json.Number:
		return v.Int64()
	case []any:
		for i := range v {
			if v[i], err = whole(v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for k := range v {
			if v[k], err = whole(v[k]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}
