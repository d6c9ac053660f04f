package packed

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strconv"
)

// pageRecords bounds a page, of which looking one record up reads the whole:
// some 5 KiB.
const pageRecords = 128

// pageID names a page within its directory. Zero, it stands in a bucket for what
// has a key of its own from the first.
type pageID [4]byte

func (id pageID) none() bool { return id == pageID{} }

// namePage is the i-th of the names that a writer has for its pages. Another
// page of the directory may have it: see Records.pageIDs.
func namePage(unique string, i int) pageID {
	sum := sha256.Sum256([]byte(strconv.Itoa(i) + " " + unique))
	return pageID(sum[:4])
}

// Record is a record to be added.
type Record struct {
	Value []byte // as under a key of its own
	// Pack lets the record share a page with others; one that does not has a key of
	// its own from the first.
	Pack bool
	// Weight is how many records of a page it is as large as, from 1.
	Weight int
	// With names the record, of the same directory, whose page this one should be in;
	// zero for none. Derived: Codec.Derive makes this one of that.
	With    Name
	Derived bool
}

// added is a record on its way to the ledger.
type added struct {
	name
	*Record
}

// intoPages parts records by their fingerprints, so that those of a bucket are
// in few pages; one goes where the record is that it follows from.
func intoPages(records []added) [][]added {
	packed := make(map[member]uint64, len(records))
	for _, r := range records {
		packed[r.member()] = r.fingerprint
	}
	type placed struct {
		added
		at uint64
	}
	all := make([]placed, len(records))
	for i, r := range records {
		at := r.fingerprint
		if with, ok := packed[r.With.member()]; ok {
			at = with
		}
		all[i] = placed{added: r, at: at}
	}
	slices.SortFunc(all, func(a, b placed) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Text, b.Text))
	})
	var pages [][]added
	room := 0
	for _, r := range all {
		if room < r.Weight {
			pages, room = append(pages, nil), pageRecords
		}
		pages[len(pages)-1] = append(pages[len(pages)-1], r.added)
		room -= r.Weight
	}
	return pages
}

// encodePage writes the version, the number of records, and per record its
// kind, its text, and its value: how much of it is that of the last record of
// this kind, and the rest. Texts and rests have their length as a varint before
// them. Of a record that follows from another of the page the kind is
// KindDerived and the value the number of that other.
func encodePage(records []added) []byte {
	b := binary.AppendUvarint(append(make([]byte, 0, 64*len(records)), Version), uint64(len(records)))
	last := map[byte][]byte{}
	written := make(map[member]int, len(records))
	for i, r := range records {
		written[r.member()] = i
		if from, ok := written[r.With.member()]; ok && r.Derived {
			b = binary.AppendUvarint(AppendText(append(b, KindDerived), r.Text), uint64(from))
			continue
		}
		same := samePrefix(last[r.Kind], r.Value)
		last[r.Kind] = r.Value
		b = binary.AppendUvarint(AppendText(append(b, r.Kind), r.Text), uint64(same))
		b = append(binary.AppendUvarint(b, uint64(len(r.Value)-same)), r.Value[same:]...)
	}
	return b
}

func samePrefix(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// page is the values of records by their names.
type page map[member][]byte

func decodePage(codec Codec, directory string, b []byte) (page, error) {
	d := Decoder{Rest: b}
	d.Version()
	n := d.Count(pageRecords)
	records := make(page, n)
	last := map[byte][]byte{}
	var order []Name
	for ; n > 0 && !d.Bad; n-- {
		name := Name{Directory: directory, Kind: d.Byte(), Text: d.Text()}
		var value []byte
		switch name.Kind {
		case KindBucket, KindPage:
			d.Bad = true
		case KindDerived:
			at := d.Count(len(order))
			if d.Bad || at >= len(order) {
				d.Bad = true
				break
			}
			var err error
			name.Kind, value, err = codec.Derive(order[at], records[order[at].member()])
			d.Bad = err != nil
		default:
			same := d.Count(len(last[name.Kind]))
			value = append(slices.Clone(last[name.Kind][:same]), d.Text()...)
			last[name.Kind] = value
		}
		d.Bad = d.Bad || codec.Key(name) == ""
		records[name.member()], order = value, append(order, name)
	}
	return records, d.End("page")
}
