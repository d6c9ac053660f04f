package contract

import (
	"slices"

	"github.com/waybill-dev/waybill/chaincode/manifest"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// apply carries the events of a segment over the places and tags they touch: all
// are read together, the events applied in order in memory, and only what
// changed is written.
//
// An image that a pushed artifact is about gets a key of its own if it is recorded:
// evidence about it comes next, and reads then what no other push into its repository
// changes.
func apply(tx *Tx, h provenance.Host, events []provenance.Event, manifests map[provenance.Digest]manifest.Facts) error {
	w := working{msp: tx.caller.MSP, manifests: manifests, numbers: make(map[string]int, 2*len(events))}
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
	subjects := map[int]bool{}
	for _, t := range touched {
		if t.about {
			subjects[t.subject] = true
		}
	}
	for i, k := range w.keys {
		_, isParents := w.records[i].(*state.Parents)
		inPage := w.held[i] != nil && !found.Own(i)
		switch {
		case subjects[i] && inPage:
			err = w.putOwn(tx, i, k)
		case !w.dirty[i]:
			continue
		case isParents || found.Own(i):
			err = tx.put(k, w.records[i])
		case subjects[i]:
			err = found.AddOwn(i, w.records[i])
		default:
			err = found.Add(i, w.records[i])
		}
		if err != nil {
			return err
		}
	}
	writes, err := tx.records().Writes(tx.now)
	if err != nil {
		return err
	}
	for _, e := range writes {
		if e.Value == nil {
			err = tx.del(e.Key)
		} else {
			err = tx.putBytes(e.Key, e.Value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// working is the state of the keys a segment touches while it is applied. A key
// goes by its number, in order of first use: there are two of them a push.
type working struct {
	msp string // of the caller
	// manifests are what the bytes say that came along.
	manifests map[provenance.Digest]manifest.Facts
	numbers   map[string]int
	keys      []string
	held      [][]byte // as the ledger has them
	records   []any    // *state.Place, *state.Tag or *state.Parents: the working copy, nil before it is needed or where there is none
	dirty     []bool
}

// touch is the numbers of the keys an event touches.
type touch struct {
	place, tag int
	subject    int // of the image that it is about
	about      bool
	children   []int
}

func (w *working) touch(h provenance.Host, e provenance.Event) touch {
	var t touch
	if e.Action == provenance.Push || e.Action == provenance.Delete {
		t.place = w.number(state.PlaceKey(e.Digest, h, e.Repository))
		if about := w.about(e); !about.IsZero() {
			t.subject, t.about = w.number(state.PlaceKey(about, h, e.Repository)), true
		}
		for _, child := range w.manifests[e.Digest].Children {
			t.children = append(t.children, w.number(state.ParentsKey(child, h, e.Repository)))
		}
	}
	if e.Tag != "" && (e.Action == provenance.Push || e.Action == provenance.TagDelete) {
		t.tag = w.number(state.TagKey(h, e.Repository, e.Tag))
	}
	return t
}

// about is the image that a pushed artifact says it is about, in its manifest or by its
// tag; zero for none.
func (w *working) about(e provenance.Event) provenance.Digest {
	if e.Action != provenance.Push {
		return provenance.Digest{}
	}
	if about := w.manifests[e.Digest].Subject; !about.IsZero() {
		return about
	}
	about, _ := e.Tag.Subject()
	return about
}

// putOwn writes a place that was found in a page under a key of its own, as it is now.
func (w *working) putOwn(tx *Tx, number int, key string) error {
	p, err := load[state.Place](w, number)
	if err != nil {
		return err
	}
	return tx.put(key, p)
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
		p = &state.Place{Actor: e.Actor, MSP: w.msp, At: e.OccurredAt}
		w.records[t.place], w.dirty[t.place] = p, true
	}
	if facts, ok := w.manifests[e.Digest]; ok && !p.Proven {
		p.Prove(facts)
		w.dirty[t.place] = true
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
		if len(p.Tags) < state.MaxPlaceTags {
			p.Tags, w.dirty[t.place] = append(p.Tags, e.Tag), true
		} else if !p.TagsCut {
			p.TagsCut, w.dirty[t.place] = true, true
		}
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
	if p.Add(e.Digest) {
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
