package contract

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strconv"

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
// number name it: one writer per lane, so that no two segments in flight meet.
// The same bytes again are success without a write; other bytes under a known
// name are a Conflict.
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
	key := state.SegmentKey(h, lane, number)
	values, err := tx.Get(state.RegistryKey(h), key)
	if err != nil {
		return "", err
	}
	registry, err := owns(tx, h, values[0])
	if err != nil {
		return "", err
	}
	if registry.Layout != state.Layout {
		return "", provenance.Errorf(provenance.Conflict,
			"registry %s was added by a contract that kept its records otherwise (layout %d, this one writes %d) and recording would take known images for new; begin a new network", h, registry.Layout, state.Layout)
	}
	if values[1] != nil {
		if bytes.Equal(values[1], segment) {
			return answer(Recorded{Events: len(events), Known: true}, nil)
		}
		return "", provenance.Errorf(provenance.Conflict, "segment %s/%s is on the ledger with other bytes", lane, seq)
	}
	tx.GetStub().StartWriteBatch()
	if err := tx.putBytes(key, segment); err != nil {
		return "", err
	}
	if err := apply(tx, h, key, events); err != nil {
		return "", err
	}
	// Writes are buffered until here; their errors surface only now.
	if err := tx.GetStub().FinishWriteBatch(); err != nil {
		return "", provenance.Wrap(provenance.Internal, err, "write segment %s/%s", lane, seq)
	}
	return answer(Recorded{Events: len(events)}, nil)
}

// owns returns the record of a registry that belongs to the caller's organisation.
func owns(tx *Tx, h provenance.Host, registry []byte) (state.Registry, error) {
	var r state.Registry
	if registry == nil {
		return r, provenance.Errorf(provenance.NotFound, "registry %s is not on the ledger; an admin of its owner adds it with registry:Add", h)
	}
	if err := state.Decode(registry, &r); err != nil {
		return r, err
	}
	if r.Owner != tx.caller.MSP {
		return r, provenance.Errorf(provenance.Forbidden, "registry %s belongs to %s; only its gateways record its events", h, r.Owner)
	}
	return r, nil
}

// apply carries the events of a segment over the places and tags they touch: all
// are read together, the events applied in order in memory, and only what
// changed is written.
func apply(tx *Tx, h provenance.Host, segment string, events []provenance.Event) error {
	w := working{msp: tx.caller.MSP, numbers: make(map[string]int, 2*len(events))}
	touched := make([]touch, len(events))
	for i, e := range events {
		touched[i] = w.touch(h, e)
	}
	if len(w.keys) == 0 {
		return nil
	}
	found, err := tx.records().Recorded(w.keys...)
	if err != nil {
		return err
	}
	w.held, w.records, w.dirty = found.Values, make([]any, len(w.keys)), make([]bool, len(w.keys))
	for i, e := range events {
		if err := w.event(e, touched[i]); err != nil {
			return err
		}
	}
	for i, k := range w.keys {
		_, isParents := w.records[i].(*state.Parents)
		switch {
		case !w.dirty[i]:
			continue
		case w.held[i] == nil && !isParents:
			err = found.Add(i, w.records[i])
		default: // a record that changes has a key of its own
			err = tx.put(k, w.records[i])
		}
		if err != nil {
			return err
		}
	}
	writes, err := tx.records().Writes(segment)
	if err != nil {
		return err
	}
	for _, e := range writes {
		if err := tx.putBytes(e.Key, e.Value); err != nil {
			return err
		}
	}
	return nil
}

// working is the state of the keys a segment touches while it is applied. A key
// goes by its number, in order of first use: there are two of them a push.
type working struct {
	msp     string // of the caller
	numbers map[string]int
	keys    []string
	held    [][]byte // as the ledger has them
	records []any    // *state.Place, *state.Tag or *state.Parents: the working copy, nil before it is needed or where there is none
	dirty   []bool
}

// touch is the numbers of the keys an event touches.
type touch struct {
	place, tag int
	children   []int
}

func (w *working) touch(h provenance.Host, e provenance.Event) touch {
	var t touch
	if e.Action == provenance.Push || e.Action == provenance.Delete {
		t.place = w.number(state.PlaceKey(e.Digest, h, e.Repository))
		for _, child := range e.Children {
			t.children = append(t.children, w.number(state.ParentsKey(child, h, e.Repository)))
		}
	}
	if e.Tag != "" && (e.Action == provenance.Push || e.Action == provenance.TagDelete) {
		t.tag = w.number(state.TagKey(h, e.Repository, e.Tag))
	}
	return t
}

func (w *working) number(key string) int {
	n, known := w.numbers[key]
	if !known {
		n = len(w.keys)
		w.numbers[key], w.keys = n, append(w.keys, key)
	}
	return n
}

func (w *working) event(e provenance.Event, t touch) error {
	switch e.Action {
	case provenance.Push:
		if err := w.push(e, t); err != nil || e.Tag == "" {
			return err
		}
		return w.point(e, t, e.Digest)
	case provenance.TagDelete:
		return w.point(e, t, provenance.Digest{})
	case provenance.Delete:
		p, err := load[state.Place](w, t.place)
		if err == nil && p != nil && !p.Deleted {
			p.Deleted, w.dirty[t.place] = true, true
		}
		return err
	}
	return nil
}

func (w *working) push(e provenance.Event, t touch) error {
	p, err := load[state.Place](w, t.place)
	if err != nil {
		return err
	}
	if p == nil {
		p = &state.Place{
			MediaType: e.MediaType, ArtifactType: e.ArtifactType, Size: e.Size, Config: e.Config, Subject: e.Subject,
			Children: e.Children, Actor: e.Actor, MSP: w.msp, At: e.OccurredAt,
		}
		w.records[t.place], w.dirty[t.place] = p, true
		for _, child := range t.children {
			if err := w.child(child, e); err != nil {
				return err
			}
		}
	}
	if p.Deleted {
		p.Deleted, w.dirty[t.place] = false, true
	}
	if e.Tag != "" && !slices.Contains(p.Tags, e.Tag) {
		p.Tags = append(p.Tags, e.Tag)
		p.Tags = p.Tags[max(0, len(p.Tags)-state.MaxPlaceTags):]
		w.dirty[t.place] = true
	}
	return nil
}

// child notes that an index holds a platform image.
func (w *working) child(number int, e provenance.Event) error {
	p, err := load[state.Parents](w, number)
	if err != nil {
		return err
	}
	if p == nil {
		p = &state.Parents{}
		w.records[number] = p
	}
	if !slices.Contains(p.Indexes, e.Digest) {
		p.Indexes = append(p.Indexes, e.Digest)
		p.Indexes = p.Indexes[max(0, len(p.Indexes)-state.MaxParents):]
		w.dirty[number] = true
	}
	return nil
}

func (w *working) point(e provenance.Event, touched touch, d provenance.Digest) error {
	t, err := load[state.Tag](w, touched.tag)
	if err != nil {
		return err
	}
	switch {
	case t == nil && d.IsZero():
		return nil // a tag that was never recorded cannot be deleted
	case t == nil:
		t = &state.Tag{}
		w.records[touched.tag] = t
	case t.Digest == d:
		return nil
	}
	t.Previous, t.Digest, t.At = t.Digest, d, e.OccurredAt
	t.Moves++
	w.dirty[touched.tag] = true
	return nil
}

// load returns the working copy of a record, nil where there is none yet.
func load[T any](w *working, number int) (*T, error) {
	if r, ok := w.records[number].(*T); ok {
		return r, nil
	}
	if w.held[number] == nil {
		return nil, nil
	}
	r := new(T)
	if err := state.Decode(w.held[number], r); err != nil {
		return nil, err
	}
	w.records[number] = r
	return r, nil
}
