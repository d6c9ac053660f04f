package state

import (
	"slices"

	"github.com/waybill-dev/waybill/chaincode/manifest"
	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// carried reads through which indexes the image was released.
func (l *loader) carried() error {
	stages := l.stages()
	keys := make([]string, len(stages))
	for i, stage := range stages {
		s := l.s
		s.Stage = stage
		keys[i] = s.CarrierKey()
	}
	carriers, err := readAll[Carrier](l.r, keys)
	if err != nil {
		return err
	}
	l.carriers = map[string]provenance.Digest{}
	var all []provenance.Digest
	for i, c := range carriers {
		if c == nil || c.Index == l.s.Digest {
			continue
		}
		l.carriers[stages[i]] = c.Index
		if !slices.Contains(all, c.Index) {
			all = append(all, c.Index)
		}
	}
	places, err := l.places(all)
	if err != nil {
		return err
	}
	l.standing = map[provenance.Digest]*Place{}
	for i, index := range places {
		if index != nil && !index.Deleted {
			l.standing[all[i]] = index
		}
	}
	if through, ok := l.carriers[l.s.Stage]; ok {
		l.indexes = []provenance.Digest{through}
	}
	if l.holders, err = l.before(); err != nil {
		return err
	}
	// A registry reports the index only, when its platforms were there before.
	if index := l.standing[l.carriers[l.s.Stage]]; index != nil {
		f := &l.f
		if f.PushedBy == "" {
			f.Recorded, f.PushedBy, f.PushedAt = true, index.MSP, index.At
		}
		// What the index calls an index itself has to be seen to be known.
		f.Proven = f.Proven || index.Proven && !slices.Contains(index.Nested, l.s.Digest)
	}
	return nil
}

// before returns the indexes whose quarantines the image has: the one through
// which it was released to its stage; and as long as it was not, the one through
// which it came to the stage before, which is what it would be promoted from.
func (l *loader) before() ([]provenance.Digest, error) {
	if len(l.indexes) > 0 || l.p == nil {
		return l.indexes, nil
	}
	st, ok := l.p.Stage(l.s.Stage)
	if !ok || st.From == "" {
		return nil, nil
	}
	through, ok := l.carriers[st.From]
	if !ok {
		return nil, nil
	}
	var own Release
	if released, err := Read(l.r, l.s.ReleasedKey(), &own); err != nil || released {
		return nil, err
	}
	return []provenance.Digest{through}, nil
}

func (l *loader) places(digests []provenance.Digest) ([]*Place, error) {
	keys := make([]string, len(digests))
	for i, d := range digests {
		keys[i] = PlaceKey(d, l.s.Host, l.s.Repository)
	}
	return readAll[Place](l.r, keys)
}

// Bounds of what an index may list, and what those list: one that goes beyond
// is not judged.
const (
	maxLevels = 8
	maxListed = 1024
)

// listed returns all that the image lists, and what that lists; ok is false where
// that has no end within the bounds, or where no peer has seen the bytes of an
// index among it, so that nobody knows what it lists.
func (l *loader) listed() (all []provenance.Digest, ok bool, err error) {
	seen := map[provenance.Digest]bool{l.s.Digest: true}
	level, nested := l.f.Children, slices.Clone(l.nested)
	unseen := map[provenance.Digest]bool{}
	for depth := 0; len(level) > 0; depth++ {
		var fresh []provenance.Digest
		for _, d := range level {
			if !seen[d] {
				seen[d] = true
				fresh = append(fresh, d)
			}
		}
		if all = append(all, fresh...); len(all) > maxListed {
			return nil, false, nil
		}
		places, err := l.places(fresh)
		if err != nil {
			return nil, false, err
		}
		level = nil
		for i, p := range places {
			if p == nil || !p.Proven {
				unseen[fresh[i]] = true
			} else if manifest.IsIndex(p.MediaType) {
				level, nested = append(level, p.Children...), append(nested, p.Nested...)
			}
		}
		if len(level) > 0 && depth+1 >= maxLevels {
			return nil, false, nil
		}
	}
	// One index may call it an image that another calls an index.
	return all, !slices.ContainsFunc(nested, func(d provenance.Digest) bool { return unseen[d] }), nil
}

// holds collects the quarantines of the image, of what it lists, of the
// indexes through which it was released, and of those through which what it
// lists was. That an image was deleted, or is not recorded, lifts none.
func (l *loader) holds() error {
	listed, ok, err := l.listed()
	if err != nil {
		return err
	}
	if !ok {
		l.f.Tangled = true
	}
	if listed == nil {
		listed = l.f.Children
	}
	keys := make([]string, len(listed))
	for i, d := range listed {
		keys[i] = Subject{l.s.Stage, l.s.Host, l.s.Repository, d}.CarrierKey()
	}
	others, err := readAll[Carrier](l.r, keys)
	if err != nil {
		return err
	}
	digests := slices.Concat([]provenance.Digest{l.s.Digest}, l.holders, listed)
	for _, c := range others {
		if c != nil && !slices.Contains(digests, c.Index) {
			digests = append(digests, c.Index)
		}
	}
	keys = make([]string, 0, len(l.f.Members)*len(digests))
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
