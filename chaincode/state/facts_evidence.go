package state

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// evidence reads what counts for the image and for the indexes through which it
// was released, and the keys that vouch for it.
func (l *loader) evidence() error {
	sets, err := LoadEvidenceSets(l.r, append([]provenance.Digest{l.s.Digest}, l.indexes...), l.f.Members)
	if err != nil {
		return err
	}
	var names []pieceName
	for _, set := range sets {
		for _, e := range set.Entries {
			names = append(names, pieceName{set.Digest, e.Type, e.ID})
		}
	}
	l.f.Evidence, err = l.pieces(names, false)
	return err
}

// SubmittedSet is the evidence about an image that one organisation handed in.
type SubmittedSet struct {
	Digest provenance.Digest
	MSP    string
	EvidenceSet
}

// LoadEvidenceSets returns what members handed in about images, by image and
// in the members' order.
func LoadEvidenceSets(r Reader, digests []provenance.Digest, members []string) ([]SubmittedSet, error) {
	var all []SubmittedSet
	var keys []string
	for _, d := range digests {
		for _, msp := range members {
			all, keys = append(all, SubmittedSet{Digest: d, MSP: msp}), append(keys, EvidenceSetKey(d, msp))
		}
	}
	sets, err := readAll[EvidenceSet](r, keys)
	for i, set := range sets {
		if set != nil {
			all[i].EvidenceSet = *set
		}
	}
	return all, err
}

type pieceName struct {
	digest  provenance.Digest
	typ, id string
}

// pieces reads evidence, each once.
func (l *loader) pieces(names []pieceName, superseded bool) ([]policy.Evidence, error) {
	var keys []string
	seen := map[pieceName]bool{}
	for _, n := range names {
		if !seen[n] {
			seen[n] = true
			keys = append(keys, EvidenceKey(n.digest, n.typ, n.id))
		}
	}
	pieces, err := readAll[Evidence](l.r, keys)
	if err != nil {
		return nil, err
	}
	withdrawn, err := l.withdrawn(pieces)
	if err != nil {
		return nil, err
	}
	roots, err := LoadRoots(l.r, pieces)
	if err != nil {
		return nil, err
	}
	var people []policy.Person
	for _, e := range pieces {
		if e != nil && e.Signer.Kind == policy.SignedByPerson {
			people = append(people, policy.Person{MSP: e.Signer.MSP, Name: e.Signer.Name})
		}
	}
	if err := l.loadTaken(people...); err != nil {
		return nil, err
	}
	var list []policy.Evidence
	for i, e := range pieces {
		if e == nil {
			return nil, provenance.Errorf(provenance.Internal, "evidence %s is in its set but not on the ledger", strings.ReplaceAll(keys[i], "\x00", "/"))
		}
		if !e.Answered(l.f.Members) {
			continue // who left vouches for nothing any more
		}
		facts, err := decodeFacts(e.Facts)
		if err != nil {
			return nil, provenance.Wrap(provenance.Internal, err, "facts of evidence %s", e.ID)
		}
		fact := policy.Evidence{ID: e.ID, Type: e.Type, Signer: e.Signer, At: e.Since(), Facts: facts, Claims: e.Claims, On: e.Digest, Superseded: superseded}
		back := l.taken[policy.Person{MSP: e.Signer.MSP, Name: e.Signer.Name}]
		w := withdrawn[TrustKeyKey(e.Signer.MSP, e.Signer.Key)]
		switch {
		case e.Withdrawn != nil:
			fact.Withdrawn, fact.Why = e.Withdrawn.At, e.Withdrawn.Reason
		case e.RootVersion > 0:
			fact.Withdrawn, fact.Why = roots[TrustedRootKey(e.Signer.MSP, e.Signer.Key)].Reaches(e)
		case e.WithdrawnBy(w):
			fact.Withdrawn, fact.Why = w.At, w.Reason
		case e.Signer.Kind == policy.SignedByPerson && back.Reaches(e.At):
			fact.Withdrawn, fact.Why = back.At, back.String()
		}
		list = append(list, fact)
	}
	return list, nil
}

// past reads the older pieces of the evidence, which tell since when a rule
// fails: nothing else is decided by them.
func (l *loader) past() ([]policy.Evidence, error) {
	sets, err := LoadEvidenceSets(l.r, append([]provenance.Digest{l.s.Digest}, l.indexes...), l.f.Members)
	if err != nil {
		return nil, err
	}
	var entries []pieceName
	var keys []string
	current := map[pieceName]bool{}
	for _, set := range sets {
		for _, e := range set.Entries {
			current[pieceName{set.Digest, e.Type, e.ID}] = true
			if e.Past {
				entries = append(entries, pieceName{digest: set.Digest, typ: e.Type})
				keys = append(keys, EvidencePastKey(set.Digest, set.MSP, e))
			}
		}
	}
	pasts, err := readAll[EvidencePast](l.r, keys)
	if err != nil {
		return nil, err
	}
	var names []pieceName
	for i, past := range pasts {
		if past == nil {
			continue
		}
		for _, piece := range past.Pieces {
			if n := (pieceName{entries[i].digest, entries[i].typ, piece.ID}); !current[n] {
				names = append(names, n)
			}
		}
	}
	return l.pieces(names, true)
}

// withdrawn returns the withdrawals among the keys that signed the pieces.
func (l *loader) withdrawn(pieces []*Evidence) (map[string]*Withdrawal, error) {
	var keys []string
	for _, e := range pieces {
		if e != nil && e.Signer.Key != "" && e.RootVersion == 0 {
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

// LoadRoots returns the trusted roots that verified pieces of evidence, by key.
func LoadRoots(r Reader, pieces []*Evidence) (map[string]*TrustedRoot, error) {
	var keys []string
	for _, e := range pieces {
		if e != nil && e.RootVersion > 0 {
			keys = append(keys, TrustedRootKey(e.Signer.MSP, e.Signer.Key))
		}
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	found, err := readAll[TrustedRoot](r, keys)
	roots := map[string]*TrustedRoot{}
	for i, root := range found {
		roots[keys[i]] = root
	}
	return roots, err
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
