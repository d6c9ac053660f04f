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
	if err := owns(tx, h, values[0]); err != nil {
		return "", err
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

func owns(tx *Tx, h provenance.Host, registry []byte) error {
	if registry == nil {
		return provenance.Errorf(provenance.NotFound, "registry %s is not on the ledger; an admin of its owner adds it with registry:Add", h)
	}
	var r state.Registry
	if err := state.Decode(registry, &r); err != nil {
		return err
	}
	if r.Owner != tx.caller.MSP {
		return provenance.Errorf(provenance.Forbidden, "registry %s belongs to %s; only its gateways record its events", h, r.Owner)
	}
	return nil
}

// apply carries the events of a segment over the places and tags they touch: all
// are read together, the events applied in order in memory, and only what
// changed is written.
func apply(tx *Tx, h provenance.Host, segment string, events []provenance.Event) error {
	keys := make([]string, 0, 2*len(events))
	for _, e := range events {
		if e.Action == provenance.Push || e.Action == provenance.Delete {
			keys = append(keys, state.PlaceKey(e.Digest, h, e.Repository))
			for _, child := range e.Children {
				keys = append(keys, state.ParentsKey(child, h, e.Repository))
			}
		}
		if e.Tag != "" && (e.Action == provenance.Push || e.Action == provenance.TagDelete) {
			keys = append(keys, state.TagKey(h, e.Repository, e.Tag))
		}
	}
	if len(keys) == 0 {
		return nil
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	values, err := tx.records().Recorded(keys...)
	if err != nil {
		return err
	}
	held := make(map[string][]byte, len(keys))
	for i, k := range keys {
		held[k] = values[i]
	}
	w := working{
		tx: tx, host: h, held: held, places: make(map[string]*state.Place, len(keys)/2), tags: make(map[string]*state.Tag, len(keys)/2),
		parents: map[string]*state.Parents{}, dirty: make(map[string]bool, len(keys)),
	}
	for _, e := range events {
		if err := w.event(e); err != nil {
			return err
		}
	}
	for _, k := range keys {
		if !w.dirty[k] {
			continue
		}
		if err := w.write(k); err != nil {
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

// write writes a record that changed under a key of its own, and one that is
// new into the directory.
func (w *working) write(key string) error {
	var record any
	switch {
	case w.parents[key] != nil:
		record = w.parents[key]
	case w.places[key] != nil:
		record = w.places[key]
	default:
		record = w.tags[key]
	}
	b, err := state.Encode(record)
	if err != nil {
		return err
	}
	if w.held[key] == nil {
		return w.tx.records().Add(key, b)
	}
	return w.tx.putBytes(key, b)
}

// working is the state of the keys a segment touches while it is applied.
type working struct {
	tx      *Tx
	host    provenance.Host
	held    map[string][]byte
	places  map[string]*state.Place
	tags    map[string]*state.Tag
	parents map[string]*state.Parents
	dirty   map[string]bool
}

func (w *working) event(e provenance.Event) error {
	switch e.Action {
	case provenance.Push:
		if err := w.push(e); err != nil || e.Tag == "" {
			return err
		}
		return w.point(e, e.Digest)
	case provenance.TagDelete:
		return w.point(e, provenance.Digest{})
	case provenance.Delete:
		key := state.PlaceKey(e.Digest, w.host, e.Repository)
		p, err := load(w.places, w.held, key)
		if err == nil && p != nil && !p.Deleted {
			p.Deleted, w.dirty[key] = true, true
		}
		return err
	}
	return nil
}

func (w *working) push(e provenance.Event) error {
	key := state.PlaceKey(e.Digest, w.host, e.Repository)
	p, err := load(w.places, w.held, key)
	if err != nil {
		return err
	}
	if p == nil {
		p = &state.Place{
			MediaType: e.MediaType, ArtifactType: e.ArtifactType, Size: e.Size, Config: e.Config, Subject: e.Subject,
			Children: e.Children, Actor: e.Actor, MSP: w.tx.caller.MSP, At: e.OccurredAt,
		}
		w.places[key], w.dirty[key] = p, true
		for _, child := range e.Children {
			if err := w.child(child, e); err != nil {
				return err
			}
		}
	}
	if p.Deleted {
		p.Deleted, w.dirty[key] = false, true
	}
	if e.Tag != "" && !slices.Contains(p.Tags, e.Tag) {
		p.Tags = append(p.Tags, e.Tag)
		p.Tags = p.Tags[max(0, len(p.Tags)-state.MaxPlaceTags):]
		w.dirty[key] = true
	}
	return nil
}

// child notes that an index holds a platform image.
func (w *working) child(child provenance.Digest, e provenance.Event) error {
	key := state.ParentsKey(child, w.host, e.Repository)
	p, err := load(w.parents, w.held, key)
	if err != nil {
		return err
	}
	if p == nil {
		p = &state.Parents{}
		w.parents[key] = p
	}
	if !slices.Contains(p.Indexes, e.Digest) {
		p.Indexes = append(p.Indexes, e.Digest)
		p.Indexes = p.Indexes[max(0, len(p.Indexes)-state.MaxParents):]
		w.dirty[key] = true
	}
	return nil
}

func (w *working) point(e provenance.Event, d provenance.Digest) error {
	key := state.TagKey(w.host, e.Repository, e.Tag)
	t, err := load(w.tags, w.held, key)
	if err != nil {
		return err
	}
	if t == nil {
		t = &state.Tag{}
		w.tags[key] = t
	} else if t.Digest == d {
		return nil
	}
	if t.Moves == 0 && d.IsZero() {
		delete(w.tags, key) // a tag that was never recorded cannot be deleted
		return nil
	}
	t.Previous, t.Digest, t.At = t.Digest, d, e.OccurredAt
	t.Moves++
	w.dirty[key] = true
	return nil
}

// load returns the working copy of a record, nil where there is none yet.
func load[T any](working map[string]*T, held map[string][]byte, key string) (*T, error) {
	if r, ok := working[key]; ok {
		return r, nil
	}
	if held[key] == nil {
		return nil, nil
	}
	r := new(T)
	if err := state.Decode(held[key], r); err != nil {
		return nil, err
	}
	working[key] = r
	return r, nil
}
