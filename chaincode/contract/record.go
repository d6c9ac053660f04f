package contract

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// RecordContract writes the journal: what registries reported.
type RecordContract struct{ contractapi.Contract }

var laneName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)

// Recorded says what a segment came to.
type Recorded struct {
	Events int  `json:"events"`
	Known  bool `json:"known"` // the segment was on the ledger already; nothing was written
}

// Segment records one batch of events of one registry, sent in the transient
// field "segment" so that its bytes stand in the block once. Lane and sequence
// number name it among those of the caller's organisation: one writer per lane,
// so that no two segments in flight meet. The same bytes again are success
// without a write; other bytes under a known name are a Conflict.
//
// What an image is, the events only claim. The manifests of pushed images travel
// in the transient field "manifests", each as its length (uvarint) and its
// bytes; from bytes that hash to a pushed digest the contract derives what
// decides. A push whose manifest is not among them is recorded by its digest and
// tag alone; record:Manifest proves it later.
func (RecordContract) Segment(tx *Tx, host, lane, seq, sum string) (string, error) {
	h, err := provenance.ParseHost(host)
	if err != nil {
		return "", err
	}
	number, err := strconv.ParseUint(seq, 10, 64)
	if err != nil || !laneName.MatchString(lane) {
		return "", provenance.Errorf(provenance.Invalid, "segment %s/%s: want a lane name and a number", clip(lane), clip(seq))
	}
	segment, err := tx.transient("segment")
	if err != nil {
		return "", err
	}
	if got := sha256.Sum256(segment); hex.EncodeToString(got[:]) != sum {
		return "", provenance.Errorf(provenance.Invalid, "segment %s/%s: its bytes do not hash to the argument", lane, seq)
	}
	events, err := provenance.DecodeSegment(segment)
	if err != nil {
		return "", err
	}
	if slices.ContainsFunc(events, provenance.Event.Exposed) {
		return "", provenance.Errorf(provenance.Invalid, "segment %s/%s shows a client that was to be hidden", lane, seq)
	}
	key := state.SegmentKey(h, tx.caller.MSP, lane, number)
	values, err := tx.Get(state.RegistryKey(h), key)
	if err != nil {
		return "", err
	}
	registry, err := owns(tx, h, values[0])
	if err != nil {
		return "", err
	}
	if err := mayRecord(tx, registry, events); err != nil {
		return "", err
	}
	manifests, err := tx.manifests(events)
	if err != nil {
		return "", err
	}
	if values[1] != nil {
		var known state.Segment
		if err := state.Decode(values[1], &known); err != nil {
			return "", err
		}
		if known.Sum == provenance.SHA256Of(segment) {
			return answer(Recorded{Events: len(events), Known: true}, nil)
		}
		return "", provenance.Errorf(provenance.Conflict, "segment %s/%s is on the ledger with other bytes", lane, seq)
	}
	tx.GetStub().StartWriteBatch()
	journal := state.JournalKey(tx.now, h, tx.caller.MSP, lane, number)
	if err := tx.put(key, state.Segment{Journal: journal, Sum: provenance.SHA256Of(segment)}); err != nil {
		return "", err
	}
	if err := keepSegment(tx, journal, events, segment); err != nil {
		return "", err
	}
	if err := apply(tx, h, events, manifests); err != nil {
		return "", err
	}
	// Writes are buffered until here; their errors surface only now.
	if err := tx.GetStub().FinishWriteBatch(); err != nil {
		return "", provenance.Wrap(provenance.Internal, err, "write segment %s/%s", lane, seq)
	}
	return answer(Recorded{Events: len(events)}, nil)
}

// keepSegment puts the bytes of a segment into the block. Nobody asks a peer for them,
// and they are most of what a push writes: they travel as the transaction's event,
// which endorsers sign with the rest and the state does not hold. Where one hides who
// pulled the contract needs it again, for what is hidden (record:Clients).
func keepSegment(tx *Tx, journal string, events []provenance.Event, segment []byte) error {
	if slices.ContainsFunc(events, func(e provenance.Event) bool { return !e.Blind.IsZero() }) {
		return tx.putBytes(journal, segment)
	}
	if err := tx.GetStub().SetEvent(state.SegmentEvent, segment); err != nil {
		return provenance.Wrap(provenance.Internal, err, "event of a segment")
	}
	return nil
}

// maxAhead is how far an event, which its registry dates, may be ahead of the
// transaction: an image from the future would never grow old.
const maxAhead = 2 * time.Minute

// mayRecord tells whether the caller's organisation owns the repositories that
// the events are of, and whether they are dated as events can be.
func mayRecord(tx *Tx, registry state.Registry, events []provenance.Event) error {
	checked := map[provenance.Repository]bool{}
	for _, e := range events {
		if e.OccurredAt.After(tx.now.Add(maxAhead)) {
			return provenance.Errorf(provenance.Invalid, "event %s is dated %s, which has not come yet", e.ID, e.OccurredAt.UTC().Format(time.RFC3339))
		}
		if checked[e.Repository] {
			continue
		}
		claim, ok := registry.Claim(e.Repository)
		switch {
		case e.Action == provenance.Unknown && e.Repository == "":
		case !ok:
			return provenance.Errorf(provenance.NotFound, "no organisation has the namespace of %s/%s; it is given by a vote: waybill registry add", registry.Host, clip(string(e.Repository)))
		case claim.Owner != tx.caller.MSP:
			return provenance.Errorf(provenance.Forbidden, "%s/%s belongs to %s; only its gateways record its events", registry.Host, clip(string(e.Repository)), claim.Owner)
		case claim.Layout != state.Layout:
			return provenance.Errorf(provenance.Conflict,
				"registry %s was added by a contract that kept its records otherwise (layout %d, this one writes %d) and recording would take known images for new; begin a new network", registry.Host, claim.Layout, state.Layout)
		}
		checked[e.Repository] = true
	}
	return nil
}

// owns returns the record of a registry of which a part belongs to the caller's organisation.
func owns(tx *Tx, h provenance.Host, registry []byte) (state.Registry, error) {
	var r state.Registry
	if registry == nil {
		return r, provenance.Errorf(provenance.NotFound, "registry %s is not on the ledger; the members vote for it: waybill registry add", h)
	}
	if err := state.Decode(registry, &r); err != nil {
		return r, err
	}
	if !r.Owns(tx.caller.MSP) {
		return r, provenance.Errorf(provenance.Forbidden, "registry %s belongs to others; only their gateways record its events", h)
	}
	return r, nil
}
