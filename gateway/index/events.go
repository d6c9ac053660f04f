package index

import (
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// segment adds a record per event, counts pulls, and notes which images the
// segment holds pulls of: a row per pull would make the index as large as the
// traffic of the registry, and the segments themselves keep each one.
func (w *writer) segment(key string, host provenance.Host, events []provenance.Event) error {
	type image struct {
		repository provenance.Repository
		digest     provenance.Digest
	}
	pulls, order := map[image]imageValue{}, []image(nil)
	tags := map[string]provenance.Digest{} // what tags name, as the segment goes by
	for _, e := range events {
		if e.Action == provenance.Pull {
			pulled := image{e.Repository, e.Digest}
			p, seen := pulls[pulled]
			if !seen {
				order = append(order, pulled)
			}
			pulls[pulled] = p.with(imageValue{count: 1, last: e.OccurredAt})
			continue
		}
		previous, err := w.moveTag(tags, host, e)
		if err != nil {
			return err
		}
		r := readmodel.Record{
			Kind: e.Action.String(), Host: host, Repository: e.Repository, Tag: e.Tag, Digest: e.Digest, Previous: previous,
			MediaType: e.MediaType, Actor: e.Actor, OccurredAt: e.OccurredAt,
		}
		if err := w.record(r); err != nil {
			return err
		}
	}
	if len(order) == 0 {
		return nil
	}
	if err := w.transaction(); err != nil {
		return err
	}
	registry, err := w.repositoryOf(host, "")
	if err != nil {
		return err
	}
	number := w.memory.segment
	w.memory.segment++
	if err := w.exec(&w.st.segment, number, w.at.Block, w.at.Tx, registry, []byte(key)); err != nil {
		return err
	}
	for _, i := range order {
		id, err := w.repositoryOf(host, i.repository)
		if err != nil {
			return err
		}
		w.add(numbered(numbered(imagePrefix(ofPulls, i.digest), number), id), binary.AppendVarint(nil, nanos(pulls[i].last)))
		if err := w.count(i.digest, host, i.repository, pulls[i]); err != nil {
			return err
		}
	}
	return nil
}

// moveTag returns what the event's tag named before the event.
func (w *writer) moveTag(tags map[string]provenance.Digest, host provenance.Host, e provenance.Event) (provenance.Digest, error) {
	if !movesTag(e) {
		return provenance.Digest{}, nil
	}
	if err := w.tagged(host, e.Repository); err != nil {
		return provenance.Digest{}, err
	}
	key := state.TagKey(host, e.Repository, e.Tag)
	named, seen := tags[key]
	if !seen {
		var known bool
		if named, known = w.tx.named(key); !known {
			named, known = w.tags[key]
		}
		if !known {
			tag, _, err := before[state.Tag](w, key)
			if err != nil {
				return provenance.Digest{}, err
			}
			named = tag.Digest
		}
	}
	tags[key] = target(e)
	return named, nil
}

// eventDetail is the line for people about an event: it follows from the rest.
func eventDetail(r readmodel.Record) string {
	push := r.Kind == provenance.Push.String()
	switch {
	case push && r.Tag != "" && r.Previous == r.Digest:
		return "pushed again; tag " + string(r.Tag) + " stays"
	case push && r.Tag != "" && !r.Previous.IsZero():
		return "pushed; tag " + string(r.Tag) + " moved from " + r.Previous.Short()
	case push && r.Tag != "":
		return "pushed as " + string(r.Tag)
	case push:
		return "pushed"
	case r.Kind == provenance.Delete.String():
		return "manifest deleted"
	case r.Kind == provenance.TagDelete.String():
		return "tag " + string(r.Tag) + " deleted"
	default:
		return "an event without a meaning here"
	}
}

// record adds one record, and what finds it.
func (w *writer) record(r readmodel.Record) error {
	if err := w.transaction(); err != nil {
		return err
	}
	id, err := w.repositoryOf(r.Host, r.Repository)
	if err != nil {
		return err
	}
	occurred, number := int64(0), w.memory.record
	if !r.OccurredAt.IsZero() {
		occurred = r.OccurredAt.UnixNano()
	}
	if !r.Digest.IsZero() {
		of := id
		if r.Repository == "" {
			of = 0 // it is about the image wherever it is
		}
		w.add(numbered(imagePrefix(ofDigest, r.Digest), number), numberValue(of))
	}
	if r.Repository != "" {
		w.add(numbered(repositoryPrefix(ofRepository, r.Host, r.Repository), number), nil)
	}
	if r.Tag != "" {
		w.add(numbered(tagPrefix(r.Host, r.Repository, r.Tag), number), nil)
	}
	if isAct(r.Kind) {
		w.findAct(r.Kind, number)
	}
	w.memory.record++
	return w.exec(&w.st.record, number, w.at.Block, w.at.Tx, id, r.Kind, string(r.Tag), digestBytes(r.Digest), digestBytes(r.Previous), r.Stage,
		shortType(r.MediaType), r.Actor, occurred, r.Detail, r.JSON)
}

// seq is the place of the next record in its transaction.
func (w *writer) seq() int {
	if !w.told {
		return 0
	}
	return int(w.memory.record - w.first)
}

// shortTypes are the media types of nearly all images, each written as a mark and
// its place in the list.
func shortTypes() []string {
	return []string{
		"application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json",
		"application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.distribution.manifest.list.v2+json",
	}
}

const shortMark = "\x01"

func shortType(mediaType string) string {
	if i := slices.Index(shortTypes(), mediaType); i >= 0 {
		return shortMark + strconv.Itoa(i)
	}
	if strings.HasPrefix(mediaType, shortMark) {
		return shortMark + mediaType
	}
	return mediaType
}

// longType is what shortType was told.
func longType(short string) string {
	rest, marked := strings.CutPrefix(short, shortMark)
	if i, err := strconv.Atoi(rest); marked && err == nil && i < len(shortTypes()) {
		return shortTypes()[i]
	}
	return rest
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
