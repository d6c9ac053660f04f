package packed

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// pageRecords bounds a page, of which looking one record up reads the whole: some
// 3 KiB. Below that keys cost more than the bytes that a lookup reads too much. A
// slot must be below ownKey.
const pageRecords = 64

// Record is a record to be added, or a later version of one.
type Record struct {
	Value []byte // as it stands under a key of its own
	// Weight is how many records of a page it is as large as, from 1.
	Weight int
	// Own: it stands under a key of its own, in no page.
	Own bool
	// With names the record, of the same directory, whose page this one should be in;
	// zero for none. Derived: Codec.Derive makes this one of that, with Rest.
	With    Name
	Derived bool
	Rest    []byte
}

// added is a record on its way to the ledger.
type added struct {
	name
	*Record
	found version
}

// version is where the version of a record stands that a transaction found; not
// known for none.
type version struct {
	at    location
	known bool
}

// intoPages parts records by their fingerprints; one goes where the record is that
// it follows from.
func intoPages(records []added) [][]added {
	packed := make(map[member]uint32, len(records))
	for _, r := range records {
		packed[r.member()] = r.fingerprint
	}
	type placed struct {
		added
		at uint32
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

// changedFlag stands in the byte of a record's kind: it had an earlier version.
const changedFlag = 0x80

// encodePage writes the version, the number of records, and per record its
// kind, its text, and its value: how much of it is that of the last record of
// this kind, and the rest. Texts and rests have their length as a varint before
// them. Of a record that follows from another of the page the kind is
// KindDerived and the value the number of that other, or KindDerivedWith and what
// it takes besides after the number, and the text is empty where it follows too.
func encodePage(codec Codec, records []added) ([]byte, error) {
	b := binary.AppendUvarint(append(make([]byte, 0, 64*len(records)), Version), uint64(len(records)))
	last := map[byte][]byte{}
	written := make(map[member]int, len(records))
	for i, r := range records {
		written[r.member()] = i
		flag := byte(0)
		if r.found.known {
			flag = changedFlag
		}
		if from, ok := written[r.With.member()]; ok && r.Derived {
			text := r.Text
			n, _, err := codec.Derive(records[from].Name, records[from].Value, "", r.Rest)
			if err != nil {
				return nil, err
			}
			if n.Text == text {
				text = ""
			}
			if len(r.Rest) == 0 {
				b = binary.AppendUvarint(AppendText(append(b, KindDerived|flag), text), uint64(from))
				continue
			}
			b = binary.AppendUvarint(AppendText(append(b, KindDerivedWith|flag), text), uint64(from))
			b = AppendText(b, string(r.Rest))
			continue
		}
		same := samePrefix(last[r.Kind], r.Value)
		last[r.Kind] = r.Value
		b = binary.AppendUvarint(AppendText(append(b, r.Kind|flag), r.Text), uint64(same))
		b = append(binary.AppendUvarint(b, uint64(len(r.Value)-same)), r.Value[same:]...)
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

// page is the records of a page in its order. Values are put together when they
// are asked for: a lookup wants one of them.
type page []pageRecord

type pageRecord struct {
	kind    byte // as it is written, without the flag
	changed bool
	text    []byte
	// from is the record whose value this one's begins with, -1 for none, or follows from.
	from int
	same int    // how much of that
	rest []byte // and what is different
}

func decodePage(b []byte) (page, error) {
	d := Decoder{Rest: b}
	d.Version()
	n := d.Count(pageRecords)
	records := make(page, 0, n)
	last := map[byte]int{}
	size := func(i int) int { return records[i].same + len(records[i].rest) }
	for ; n > 0 && !d.Bad; n-- {
		kind := d.Byte()
		r := pageRecord{kind: kind &^ changedFlag, changed: kind&changedFlag != 0, text: d.bytes(), from: -1}
		switch r.kind {
		case KindHead, KindPage, KindChunk:
			d.Bad = true
		case KindDerived, KindDerivedWith:
			r.from = d.Count(len(records))
			if d.Bad || r.from >= len(records) || records[r.from].derived() {
				d.Bad = true
				break
			}
			if r.kind == KindDerivedWith {
				r.rest = d.bytes()
			}
		default:
			most := 0
			if at, ok := last[r.kind]; ok {
				r.from, most = at, size(at)
			}
			r.same = d.Count(most)
			r.rest = d.bytes()
			last[r.kind] = len(records)
		}
		records = append(records, r)
	}
	return records, d.End("page")
}

func (r pageRecord) derived() bool { return r.kind == KindDerived || r.kind == KindDerivedWith }

// prefix appends the first n bytes of the value of a record that is not derived.
func (p page) prefix(to []byte, i, n int) []byte {
	r := p[i]
	if n <= r.same {
		return p.prefix(to, r.from, n)
	}
	if r.same > 0 {
		to = p.prefix(to, r.from, r.same)
	}
	return append(to, r.rest[:n-r.same]...)
}

// record returns the name and the value of a record.
func (p page) record(codec Codec, directory string, i int) (Name, []byte, error) {
	r := p[i]
	n := Name{Directory: directory, Kind: r.kind, Text: string(r.text)}
	if !r.derived() {
		size := r.same + len(r.rest)
		return n, p.prefix(make([]byte, 0, size), i, size), nil
	}
	from, value, err := p.record(codec, directory, r.from)
	if err != nil {
		return n, nil, err
	}
	return codec.Derive(from, value, n.Text, r.rest)
}
