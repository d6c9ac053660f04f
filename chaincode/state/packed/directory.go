package packed

import (
	"cmp"
	"slices"
	"time"
)

// directory is what knows the records of one Name.Directory, as far as it was read.
type directory struct {
	id     string
	codec  Codec
	opened bool
	head   head
	chunks map[chunkOf][]entry
	pages  map[uint64]page
	added  []added
}

// packFrom is how many records a transaction must bring for them to share keys: an
// import or a backlog, and not the ones that people wait for, whose acts should read
// no directory.
const packFrom = 64

// Writes returns what records all that was added, at a time of which keys are called.
func (r *Records) Writes(now time.Time) ([]Entry, error) {
	var changed []*directory
	records := 0
	for _, d := range r.directories {
		if len(d.added) > 0 {
			changed, records = append(changed, d), records+len(d.added)
		}
	}
	slices.SortFunc(changed, func(a, b *directory) int { return cmp.Compare(a.id, b.id) })
	var writes []Entry
	for _, d := range changed {
		d.head.reach(now)
		w, err := d.grow(r.reader, records >= packFrom)
		if err != nil {
			return nil, err
		}
		writes = append(writes, w...)
	}
	return writes, nil
}

// grow writes what was added, in pages or under keys of their own, and enters it.
func (d *directory) grow(r Reader, pack bool) ([]Entry, error) {
	records, before := len(d.added), len(d.head.tail)
	own, shared := d.added, []added(nil)
	if pack {
		own, shared = parted(d.added)
	}
	d.added = nil
	writes := d.unpacked(own)
	pages, err := d.pack(shared)
	if err != nil {
		return nil, err
	}
	writes = append(writes, pages...)
	if len(d.head.tail) == before { // all were known: the head stays as it is
		return writes, nil
	}
	d.head.tail = merged(d.head.tail)
	if len(d.head.tail) > tailEntries {
		runs := d.flush()
		compacted, err := d.compact(r, records)
		if err != nil {
			return nil, err
		}
		writes = append(writes, lasting(append(runs, compacted...))...)
	}
	return append(writes, Entry{Key: d.headKey(), Value: d.head.encode()}), nil
}

// parted parts those that get keys of their own from those that share pages.
func parted(records []added) (own, shared []added) {
	for _, r := range records {
		if r.Own {
			own = append(own, r)
		} else {
			shared = append(shared, r)
		}
	}
	return own, shared
}

func (d *directory) pack(records []added) (writes []Entry, err error) {
	for _, records := range intoPages(records) {
		n := d.head.pages
		d.head.pages++
		page, err := encodePage(d.codec, records)
		if err != nil {
			return nil, err
		}
		writes = append(writes, Entry{Key: d.pageKey(n), Value: page})
		for slot, r := range records {
			d.head.tail = append(d.head.tail, entry{
				fingerprint: r.fingerprint, at: location{page: n, slot: byte(slot)}, replaces: r.found.at, replacing: r.found.known,
			})
		}
	}
	return writes, nil
}

// unpacked gives records keys of their own. What was in a page is found by the entry that
// it has.
func (d *directory) unpacked(records []added) (writes []Entry) {
	for _, r := range records {
		writes = append(writes, Entry{Key: d.codec.Key(r.Name), Value: r.Value})
		if !r.found.known {
			d.head.tail = append(d.head.tail, entry{fingerprint: r.fingerprint, at: location{slot: ownKey}})
		}
	}
	return writes
}

// lasting leaves out chunks that were written and merged at once: no key of one
// is ever written twice.
func lasting(writes []Entry) []Entry {
	times := make(map[string]int, len(writes))
	for _, e := range writes {
		times[e.Key]++
	}
	return slices.DeleteFunc(writes, func(e Entry) bool { return times[e.Key] > 1 })
}
