package contract

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// storeEvidence records a verified piece and, where it is the newest of its signer and
// type, puts it into the set of what the caller's organisation handed in.
func storeEvidence(tx *Tx, piece examined) (Submitted, error) {
	e, signature := piece.Evidence, piece.signature
	setKey := state.EvidenceSetKey(e.Digest, tx.caller.MSP)
	var set state.EvidenceSet
	if _, err := state.Read(tx, setKey, &set); err != nil {
		return Submitted{}, err
	}
	signer := state.SignerID(e.Signer)
	// One envelope may carry the signatures of several keys, and two people may
	// vouch for equal bytes: whoever comes second has an id of its own, so that
	// nobody is kept from counting by somebody who was first.
	ids := namesOf(e.ID, signer)
	firstKey := state.FirstPieceKey(e.Digest, e.Type, e.Signer, signature)
	var first state.FirstPiece
	if signature != "" {
		if _, err := state.Read(tx, firstKey, &first); err != nil {
			return Submitted{}, err
		}
	}
	if first.ID != "" {
		ids = []string{first.ID}
	}
	known := false
	for _, id := range ids {
		var old state.Evidence
		found, err := state.Read(tx, state.EvidenceKey(e.Digest, e.Type, id), &old)
		if err != nil {
			return Submitted{}, err
		}
		e.ID = id
		if known = found && (first.ID != "" || state.SignerID(old.Signer) == signer); known {
			e, signer = old, state.SignerID(old.Signer)
		}
		if known || !found {
			break
		}
	}
	entry := state.EvidenceEntry{Type: e.Type, ID: e.ID, Signer: signer, Since: e.Since(), Unruled: piece.unruled}
	same := func(x state.EvidenceEntry) bool { return x.Type == e.Type && x.Signer == signer }
	if known {
		// Whoever handed it in may have left since, and its set with it.
		members, err := state.LoadMembers(tx)
		if err != nil {
			return Submitted{}, err
		}
		sets, err := state.LoadEvidenceSets(tx, []provenance.Digest{e.Digest}, members.MSPs)
		if err != nil {
			return Submitted{}, err
		}
		if slices.ContainsFunc(sets, func(s state.SubmittedSet) bool { return slices.ContainsFunc(s.Entries, same) }) {
			counts := slices.ContainsFunc(sets, func(s state.SubmittedSet) bool { return inSet(s.EvidenceSet, e.Type, e.ID) })
			return Submitted{ID: e.ID, Type: e.Type, Known: true, Counts: counts}, nil
		}
	}
	at := slices.IndexFunc(set.Entries, same)
	past := entry // the one of the two that no longer counts
	counts := at < 0 || newer(entry, set.Entries[at])
	if at < 0 {
		if err := checkCapacity(tx, set, entry); err != nil {
			return Submitted{}, err
		}
		set.Entries = append(set.Entries, entry)
	} else {
		if counts {
			past = set.Entries[at]
			set.Entries[at] = entry
		}
		set.Entries[at].Past = true
		if err := keepSuperseded(tx, e.Digest, set.Entries[at], past); err != nil {
			return Submitted{}, err
		}
	}
	if err := tx.put(setKey, set); err != nil {
		return Submitted{}, err
	}
	submitted := Submitted{ID: e.ID, Type: e.Type, Counts: counts}
	if known {
		return submitted, nil
	}
	if signature != "" {
		if err := tx.put(firstKey, state.FirstPiece{ID: e.ID}); err != nil {
			return Submitted{}, err
		}
	}
	return submitted, tx.put(state.EvidenceKey(e.Digest, e.Type, e.ID), e)
}

// checkCapacity refuses an entry that the caller's organisation has no room for.
func checkCapacity(tx *Tx, set state.EvidenceSet, entry state.EvidenceEntry) error {
	unruled, ofSigner := 0, 0
	for _, e := range set.Entries {
		if e.Unruled {
			unruled++
		}
		if e.Signer == entry.Signer {
			ofSigner++
		}
	}
	full := func(n int, of string) error {
		return provenance.Errorf(provenance.Full, "%s handed in %d pieces of evidence about this image%s, and may have no more that count", tx.caller.MSP, n, of)
	}
	switch {
	case entry.Unruled && unruled >= state.MaxUnruled:
		return full(unruled, " that no rule of its policy asks for")
	case ofSigner >= state.MaxOfSigner:
		return full(ofSigner, " by this signer")
	case len(set.Entries) >= state.MaxEvidence:
		return full(len(set.Entries), "")
	}
	return nil
}

// keepSuperseded keeps the name of a piece that another one of its signer replaced.
func keepSuperseded(tx *Tx, d provenance.Digest, entry, piece state.EvidenceEntry) error {
	key := state.EvidencePastKey(d, tx.caller.MSP, entry)
	var past state.EvidencePast
	if _, err := state.Read(tx, key, &past); err != nil {
		return err
	}
	past.Add(state.PastPiece{ID: piece.ID, Since: piece.Since})
	return tx.put(key, past)
}

// namesOf are the ids that a piece may have: its own, and one that is its signer's alone.
func namesOf(id, signer string) []string { return []string{id, signerID(id, signer)} }

func signerID(id, signer string) string {
	sum := sha256.Sum256([]byte(id + "\x00" + signer))
	return hex.EncodeToString(sum[:])
}

// newer is policy's order: by time, then by id.
func newer(a, b state.EvidenceEntry) bool {
	if !a.Since.Equal(b.Since) {
		return a.Since.After(b.Since)
	}
	return a.ID > b.ID
}

func inSet(set state.EvidenceSet, typ, id string) bool {
	return slices.ContainsFunc(set.Entries, func(e state.EvidenceEntry) bool { return e.Type == typ && e.ID == id })
}

// newestOf is the piece that counts of a signer and type, whoever handed it in.
func newestOf(sets []state.SubmittedSet, typ, signer string) string {
	var newest state.EvidenceEntry
	for _, s := range sets {
		for _, e := range s.Entries {
			if e.Type == typ && e.Signer == signer && (newest.ID == "" || newer(e, newest)) {
				newest = e
			}
		}
	}
	return newest.ID
}
