package statetest

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// evidence writes what was handed in, all of it by the first member.
func (w *writer) evidence() error {
	if len(w.f.Members) == 0 {
		return nil // nobody could have handed it in
	}
	sets := map[provenance.Digest]*state.EvidenceSet{}
	keys := map[string]state.TrustKey{}
	var past []state.EvidenceEntry
	var pastOn []provenance.Digest
	for _, e := range w.f.Evidence {
		on := e.On
		if on.IsZero() {
			on = w.f.Digest
		}
		facts, err := json.Marshal(e.Facts)
		if err != nil {
			return fmt.Errorf("facts of %s: %w", e.ID, err)
		}
		record := state.Evidence{Digest: on, Type: e.Type, ID: e.ID, Signer: e.Signer, Facts: facts, Claims: e.Claims, Act: state.Act{At: e.At}}
		rooted := e.Signer.Kind == policy.SignedByCertificate && (e.Signer.MSP == "" || e.Claims != nil)
		if rooted {
			record.RootVersion = 1
		}
		if e.Signer.Key == "" && !e.Withdrawn.IsZero() {
			record.Withdrawn = &state.Withdrawal{Reason: e.Why, Act: state.Act{At: e.Withdrawn}}
		}
		if err := w.m.put(state.EvidenceKey(on, e.Type, e.ID), record); err != nil {
			return err
		}
		if sets[on] == nil {
			sets[on] = &state.EvidenceSet{}
		}
		entry := state.EvidenceEntry{Type: e.Type, ID: e.ID, Signer: state.SignerID(e.Signer), Since: e.At}
		if e.Superseded {
			past, pastOn = append(past, entry), append(pastOn, on)
		} else {
			sets[on].Entries = append(sets[on].Entries, entry)
		}
		if rooted {
			if err := w.root(e); err != nil {
				return err
			}
		}
		if e.Signer.Key == "" || rooted {
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
	if err := w.superseded(sets, past, pastOn); err != nil {
		return err
	}
	for on, set := range sets {
		if err := w.m.put(state.EvidenceSetKey(on, w.f.Members[0]), *set); err != nil {
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

// root writes the trusted root that verified a piece, withdrawn where the piece is.
func (w *writer) root(e policy.Evidence) error {
	r := state.TrustedRoot{MSP: e.Signer.MSP, Name: e.Signer.Key, Version: 1, Changes: 1}
	if !e.Withdrawn.IsZero() {
		r.Withdrawn = withdrawal(nil, e)
	}
	return w.m.put(state.TrustedRootKey(r.MSP, r.Name), r)
}

// superseded writes older pieces beside the entries that replaced them.
func (w *writer) superseded(sets map[provenance.Digest]*state.EvidenceSet, entries []state.EvidenceEntry, on []provenance.Digest) error {
	pasts := map[string]*state.EvidencePast{}
	for i, old := range entries {
		set := sets[on[i]]
		at := slices.IndexFunc(set.Entries, func(e state.EvidenceEntry) bool { return e.Type == old.Type && e.Signer == old.Signer })
		if at < 0 {
			continue
		}
		set.Entries[at].Past = true
		key := state.EvidencePastKey(on[i], w.f.Members[0], set.Entries[at])
		if pasts[key] == nil {
			pasts[key] = &state.EvidencePast{}
		}
		pasts[key].Add(state.PastPiece{ID: old.ID, Since: old.Since})
	}
	for key, past := range pasts {
		if err := w.m.put(key, *past); err != nil {
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
