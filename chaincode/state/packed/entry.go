package packed

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
)

// location is where a version of a record stands: a page and its place in it, or
// under a key of its own.
type location struct {
	page uint64
	slot byte
}

// ownKey stands in place of a slot, which are below it, for a record that has a key of its own from
// the first. It has no page, and one entry for all names with its fingerprint.
const ownKey = 0x40

func (l location) own() bool { return l.slot == ownKey }

// entry says where the record of a fingerprint stands, and which version it is
// instead of.
type entry struct {
	fingerprint uint32
	at          location
	replaces    location
	replacing   bool
}

func (e entry) compare(o entry) int {
	if e.fingerprint != o.fingerprint {
		return cmp.Compare(e.fingerprint, o.fingerprint)
	}
	return cmp.Or(cmp.Compare(e.at.page, o.at.page), cmp.Compare(e.at.slot, o.at.slot))
}

// replacingFlag stands in the byte of a slot.
const replacingFlag = 0x80

// appendEntries writes entries in ascending order: their number, the first of their
// pages, and of each how far its fingerprint is from the one before, its slot, how far
// its page is from the first, and where it replaces another version how far that
// one's page is before, and its slot.
func appendEntries(b []byte, entries []entry) []byte {
	first := firstPage(entries)
	b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(len(entries))), first)
	base := uint32(0)
	for _, e := range entries {
		b = binary.AppendUvarint(b, uint64(e.fingerprint-base))
		base = e.fingerprint
		slot := e.at.slot
		if e.replacing {
			slot |= replacingFlag
		}
		b = append(b, slot)
		if e.at.own() {
			continue
		}
		b = binary.AppendUvarint(b, e.at.page-first)
		if e.replacing {
			b = append(binary.AppendUvarint(b, e.at.page-e.replaces.page), e.replaces.slot)
		}
	}
	return b
}

func firstPage(entries []entry) uint64 {
	first := uint64(math.MaxUint64)
	for _, e := range entries {
		if !e.at.own() {
			first = min(first, e.at.page)
		}
	}
	if first == math.MaxUint64 {
		return 0
	}
	return first
}

// entries reads what appendEntries wrote. It is what lookups spend their time on, and
// keeps its place in a variable of its own.
func (d *Decoder) entries() []entry {
	n := d.Count(len(d.Rest))
	entries := make([]entry, 0, n)
	b, last := d.Rest, uint64(0)
	number := func() uint64 {
		v, used := binary.Uvarint(b)
		if used <= 0 || v > lastPage {
			d.Bad = true
			return 0
		}
		b = b[used:]
		return v
	}
	first := number()
	for ; n > 0 && !d.Bad; n-- {
		last += number()
		if d.Bad || len(b) == 0 || last > math.MaxUint32 {
			d.Bad = true
			break
		}
		slot := b[0]
		b = b[1:]
		e := entry{fingerprint: uint32(last), at: location{slot: slot &^ replacingFlag}, replacing: slot&replacingFlag != 0}
		if !e.at.own() {
			e.at.page = first + number()
		}
		if e.replacing {
			before := number()
			e.replaces.page = e.at.page - before
			if d.Bad || e.at.own() || before > e.at.page || len(b) == 0 {
				d.Bad = true
				break
			}
			e.replaces.slot, b = b[0], b[1:]
		}
		// Lookups search by halves.
		d.Bad = d.Bad || e.at.page > lastPage || len(entries) > 0 && entries[len(entries)-1].compare(e) >= 0
		entries = append(entries, e)
	}
	d.Rest = b
	return entries
}

// of returns the entries of a fingerprint.
func of(entries []entry, fingerprint uint32) []entry {
	from := lower(entries, uint64(fingerprint))
	to := from
	for to < len(entries) && entries[to].fingerprint == fingerprint {
		to++
	}
	return entries[from:to]
}

// span returns the entries from one fingerprint to before another.
func span(entries []entry, from, to uint64) []entry {
	return entries[lower(entries, from):lower(entries, to)]
}

// lower is the first entry whose fingerprint is not below one. Lookups come here for
// each name in each run.
func lower(entries []entry, fingerprint uint64) int {
	low, high := 0, len(entries)
	for low < high {
		if middle := int(uint(low+high) >> 1); uint64(entries[middle].fingerprint) < fingerprint {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low
}

// merged sorts entries, and leaves out versions that others of them replace: whoever
// replaces one takes over what that one replaced, which may stand elsewhere.
func merged(entries []entry) []entry {
	slices.SortFunc(entries, entry.compare)
	entries = slices.CompactFunc(entries, func(a, b entry) bool { return a.compare(b) == 0 })
	out := entries[:0]
	for len(entries) > 0 {
		n := 1
		for n < len(entries) && entries[n].fingerprint == entries[0].fingerprint {
			n++
		}
		out = append(out, newest(entries[:n])...)
		entries = entries[n:]
	}
	return out
}

// newest leaves of the entries of a fingerprint those that no other replaces.
func newest(same []entry) []entry {
	replacing := false
	for _, e := range same {
		replacing = replacing || e.replacing
	}
	if len(same) < 2 || !replacing {
		return same
	}
	at := make(map[location]int, len(same))
	for i, e := range same {
		at[e.at] = i
	}
	gone := make([]bool, len(same))
	// A version is on a later page than the one it replaces, so the order is from the oldest on.
	for i := range same {
		if !same[i].replacing {
			continue
		}
		if j, ok := at[same[i].replaces]; ok && j != i {
			gone[j] = true
			same[i].replacing, same[i].replaces = same[j].replacing, same[j].replaces
		}
	}
	kept := same[:0]
	for i, e := range same {
		if !gone[i] {
			kept = append(kept, e)
		}
	}
	return kept
}
