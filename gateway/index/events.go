package index

import (
	"encoding/hex"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// segment adds a record per event, counts pulls, and notes which images the
// segment holds pulls of: a row per pull would make the index as large as the
// traffic of the registry, and the segments themselves keep each one.
func (w *writer) segment(key string, host provenance.Host, b []byte) error {
	events, err := provenance.DecodeSegment(b)
	if err != nil {
		// The contract decodes a segment before it writes it.
		return provenance.Wrap(provenance.Internal, err, "segment of %s", host)
	}
	type image struct {
		repository provenance.Repository
		digest     provenance.Digest
	}
	pulls, order := map[image]struct {
		count int64
		last  time.Time
	}{}, []image(nil)
	tags := map[string]provenance.Digest{} // what tags name, as the segment goes by
	for _, e := range events {
		if e.Action == provenance.Pull {
			pulled := image{e.Repository, e.Digest}
			p, seen := pulls[pulled]
			if !seen {
				order = append(order, pulled)
			}
			p.count++
			if e.OccurredAt.After(p.last) {
				p.last = e.OccurredAt
			}
			pulls[pulled] = p
			continue
		}
		previous, err := w.moveTag(tags, host, e)
		if err != nil {
			return err
		}
		r := readmodel.Record{
			Kind: e.Action.String(), Host: host, Repository: e.Repository, Tag: e.Tag, Digest: e.Digest, Previous: previous,
			MediaType: e.MediaType, Actor: e.Actor, OccurredAt: e.OccurredAt, Detail: eventDetail(e, previous),
		}
		if err := w.record(r); err != nil {
			return err
		}
	}
	if len(order) > 0 {
		if err := w.transaction(); err != nil {
			return err
		}
		if err := w.exec(&w.st.segment, w.at.Block, w.at.Tx, string(host), []byte(key)); err != nil {
			return err
		}
	}
	for _, i := range order {
		p := pulls[i]
		image, last := digestBytes(i.digest), p.last.UnixNano()
		if err := w.exec(&w.st.pulled, w.at.Block, w.at.Tx, last, image, string(host), string(i.repository)); err != nil {
			return err
		}
		if err := w.exec(&w.st.pull, image, string(host), string(i.repository), p.count, last); err != nil {
			return err
		}
	}
	return nil
}

// moveTag returns what the event's tag named before the event.
func (w *writer) moveTag(tags map[string]provenance.Digest, host provenance.Host, e provenance.Event) (provenance.Digest, error) {
	if e.Tag == "" || (e.Action != provenance.Push && e.Action != provenance.TagDelete) {
		return provenance.Digest{}, nil
	}
	key := state.TagKey(host, e.Repository, e.Tag)
	before, seen := tags[key]
	if !seen && !w.fresh[key] {
		value, err := w.get(key)
		if err != nil {
			return provenance.Digest{}, err
		}
		if value != nil {
			var tag state.Tag
			if err := state.Decode(value, &tag); err != nil {
				return provenance.Digest{}, err
			}
			before = tag.Digest
		}
	}
	tags[key] = e.Digest
	if e.Action == provenance.TagDelete {
		tags[key] = provenance.Digest{}
	}
	return before, nil
}

func eventDetail(e provenance.Event, previous provenance.Digest) string {
	switch {
	case e.Action == provenance.Push && e.Tag != "" && previous == e.Digest:
		return "pushed again; tag " + string(e.Tag) + " stays"
	case e.Action == provenance.Push && e.Tag != "" && !previous.IsZero():
		return "pushed; tag " + string(e.Tag) + " moved from " + previous.Short()
	case e.Action == provenance.Push && e.Tag != "":
		return "pushed as " + string(e.Tag)
	case e.Action == provenance.Push:
		return "pushed"
	case e.Action == provenance.Delete:
		return "manifest deleted"
	case e.Action == provenance.TagDelete:
		return "tag " + string(e.Tag) + " deleted"
	default:
		return "an event without a meaning here"
	}
}

// record adds one record at the next place of the transaction at hand.
func (w *writer) record(r readmodel.Record) error {
	at := w.at
	if w.last != at {
		w.seq, w.last = 0, at
	}
	if err := w.transaction(); err != nil {
		return err
	}
	occurred := int64(0)
	if !r.OccurredAt.IsZero() {
		occurred = r.OccurredAt.UnixNano()
	}
	err := w.exec(&w.st.record, at.Block, at.Tx, w.seq, r.Kind, string(r.Host), string(r.Repository), string(r.Tag),
		digestBytes(r.Digest), digestBytes(r.Previous), r.Stage, r.MediaType, r.Actor, occurred, r.Detail, r.JSON)
	w.seq++
	return err
}

// digestBytes is a digest as the index stores it: the algorithm's byte and the
// hash; empty for the zero digest.
func digestBytes(d provenance.Digest) []byte {
	algorithm, text, _ := strings.Cut(d.String(), ":")
	b := []byte{}
	switch algorithm {
	case "sha256":
		b = append(b, 1)
	case "sha512":
		b = append(b, 2)
	}
	b, _ = hex.AppendDecode(b, []byte(text)) // a Digest holds valid hex by construction
	return b
}

func digestOf(b []byte) (provenance.Digest, error) {
	if len(b) == 0 {
		return provenance.Digest{}, nil
	}
	algorithm := "sha256:"
	if b[0] == 2 {
		algorithm = "sha512:"
	}
	return provenance.ParseDigest(algorithm + hex.EncodeToString(b[1:]))
}
