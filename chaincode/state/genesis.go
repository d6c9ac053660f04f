package state

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// GenesisKey names how far the state of the channel before was imported.
func GenesisKey() string { return Key(TypeGenesis) }

// Genesis is a channel that goes on from another one: how far that one's state was imported, page by page, in the
// order of Types.
type Genesis struct {
	After provenance.Predecessor `json:"after"`
	Cursor
	Keys int      `json:"keys"` // imported so far
	Hash string   `json:"hash"` // of them: StateHash
	Done bool     `json:"done"`
	Left []string `json:"left,omitempty"` // members of before that are no founders
	Act  Act      `json:"act"`
}

// Cursor is a place in a state: the next key of a type, as a bookmark of Fabric's.
type Cursor struct {
	Type int    `json:"type"` // in Types
	Next string `json:"next,omitempty"`
}

// StatePage is a part of a state, in the order of its keys.
type StatePage struct {
	Entries []StateEntry `json:"entries"`
	Next    string       `json:"next,omitempty"` // "" after the last key of the type
}

// StateEntry is a key, its value, and whether the key carries an endorsement policy of its own.
type StateEntry struct {
	Key     string `json:"key"`
	Value   []byte `json:"value"`
	Guarded bool   `json:"guarded,omitempty"`
}

// Types are all types of keys in the state that organisations share, in the one order in which a state is read as a
// whole. What a member keeps in a private data collection is not among them.
func Types() []string {
	return []string{
		TypeMember, TypeMembers, TypeGrant, TypeTaken, TypeRegistry, TypePolicies, TypePolicy, TypeProposed, TypeProposals, TypeProposal, TypeProposalText, TypeBallot,
		TypeChannelVotes, TypeKey, TypeTrust, TypeTrustText, TypeTrusts, TypeSchema, TypeContext, TypeClock, TypeGap,
		TypeSegment, TypeJournal, TypePage, TypeDirectory, TypeRun, TypePlace, TypeParents, TypeTag, TypeWitness, TypeLabels,
		TypePromotion, TypeRequests, TypeApproval, TypeReleased, TypeRelease, TypeCarrier, TypeRefusal, TypeHold, TypeWaivers, TypeGate,
		TypeEvidence, TypeEvSet, TypeEvPast, TypeFirstPiece, TypeGenesis,
	}
}

// StateHash is a hash over a state that is read entry by entry; it goes on from what it was before, "" at first.
func StateHash(before string, entries []StateEntry) (string, error) {
	sum, err := hex.DecodeString(before)
	if err != nil {
		return "", provenance.Wrap(provenance.Internal, err, "hash of a state")
	}
	for _, e := range entries {
		h := sha256.New()
		h.Write(sum)
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(e.Key)))) //nolint:gosec // G115: a key is a few hundred bytes
		h.Write([]byte(e.Key))
		h.Write(e.Value)
		sum = h.Sum(nil)
	}
	return hex.EncodeToString(sum), nil
}
