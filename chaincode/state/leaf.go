package state

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// leafRecords bounds a leaf, of which looking one record up reads the whole: some
// 5 KiB of images. So many children of an index weigh as much as a record.
const (
	leafRecords       = 128
	childrenPerRecord = 8
)

// leafID names a leaf within its repository. Zero, it stands in a bucket for
// what has a key of its own from the first.
type leafID [4]byte

func (id leafID) none() bool { return id == leafID{} }

// nameLeaf is the i-th of the names that a segment has for its leaves. Another
// leaf of the repository may have it: see Directory.leafNames.
func nameLeaf(unique string, i int) leafID {
	sum := sha256.Sum256([]byte(strconv.Itoa(i) + " " + unique))
	return leafID(sum[:4])
}

// leaf holds records of pushes, encoded as under keys of their own.
type leaf struct{ records map[member][]byte }

// record is a member on its way into a leaf.
type record struct {
	name
	of any // *Place or *Tag
}

// intoLeaves parts records by their marks, so that those of a bucket are in few
// leaves; a tag goes where the image is that it names, which says most of it.
func intoLeaves(records []record) [][]record {
	marks := make(map[member]uint64, len(records))
	for _, r := range records {
		if r.kind == kindPlace {
			marks[r.member] = r.mark
		}
	}
	type placed struct {
		record
		at uint64
	}
	all := make([]placed, len(records))
	for i, r := range records {
		at := r.mark
		if t, ok := r.of.(*Tag); ok {
			if mark, ok := marks[imageOf(t)]; ok {
				at = mark
			}
		}
		all[i] = placed{record: r, at: at}
	}
	slices.SortFunc(all, func(a, b placed) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.kind, b.kind), cmp.Compare(a.text, b.text))
	})
	var leaves [][]record
	room := 0
	for _, r := range all {
		weight := 1
		if p, ok := r.of.(*Place); ok {
			weight += len(p.Children) / childrenPerRecord
		}
		if room < weight {
			leaves, room = append(leaves, nil), leafRecords
		}
		leaves[len(leaves)-1] = append(leaves[len(leaves)-1], r.record)
		room -= weight
	}
	return leaves
}

func imageOf(t *Tag) member { return member{kindPlace, string(t.Digest.Raw())} }

// firstTag is the record of a tag that was set once, by the push that recorded
// the image first: the place of the image says all of it.
func firstTag(d provenance.Digest, p *Place) Tag { return Tag{Digest: d, Moves: 1, At: p.At} }

// encodeLeaf writes the version, the number of records, and per record its
// kind, its name, and its value: how much of it is that of the last record of
// this kind, and the rest. Names and rests have their length as a varint before
// them. Of a firstTag the kind is kindFirstTag and the value the number of the
// place's record in the leaf.
func encodeLeaf(records []record) ([]byte, error) {
	b := binary.AppendUvarint(append(make([]byte, 0, 64*len(records)), compactVersion), uint64(len(records)))
	last := map[byte][]byte{}
	places := make(map[member]int, len(records))
	for i, r := range records {
		if r.kind == kindPlace {
			places[r.member] = i
		}
		if t, ok := r.of.(*Tag); ok {
			at, ok := places[imageOf(t)]
			if ok && *t == firstTag(t.Digest, records[at].of.(*Place)) {
				b = binary.AppendUvarint(appendText(append(b, kindFirstTag), r.text), uint64(at))
				continue
			}
		}
		value, err := Encode(r.of)
		if err != nil {
			return nil, err
		}
		same := samePrefix(last[r.kind], value)
		last[r.kind] = value
		b = binary.AppendUvarint(appendText(append(b, r.kind), r.text), uint64(same))
		b = append(binary.AppendUvarint(b, uint64(len(value)-same)), value[same:]...)
	}
	return b, nil
}

func samePrefix(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (l *leaf) UnmarshalBinary(b []byte) error {
	d := reader{rest: b}
	d.version()
	n := d.count(leafRecords)
	l.records = make(map[member][]byte, n)
	last := map[byte][]byte{}
	var order []member
	for ; n > 0 && !d.bad; n-- {
		m := member{kind: d.byte(), text: d.text()}
		var value []byte
		switch m.kind {
		case kindPlace, kindTag:
			same := d.count(len(last[m.kind]))
			value = append(slices.Clone(last[m.kind][:same]), d.text()...)
			last[m.kind] = value
		case kindFirstTag:
			m.kind = kindTag
			value = d.firstTag(l, order)
		default:
			d.bad = true
		}
		// A tag is part of a key, and has no NUL.
		d.bad = d.bad || (m.kind == kindTag && strings.ContainsRune(m.text, 0))
		l.records[m], order = value, append(order, m)
	}
	return d.end("leaf")
}

func (d *reader) firstTag(l *leaf, order []member) []byte {
	at := d.count(len(order))
	if at >= len(order) || order[at].kind != kindPlace {
		d.bad = true
		return nil
	}
	var p Place
	err := p.UnmarshalBinary(l.records[order[at]])
	digest, wrong := provenance.DigestOfHash([]byte(order[at].text))
	value, never := firstTag(digest, &p).MarshalBinary()
	d.bad = d.bad || err != nil || wrong != nil || never != nil
	return value
}
