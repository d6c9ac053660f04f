package packed

import (
	"cmp"
	"slices"
)

const (
	// compactLeast and compactShare are how many entries a transaction that makes a
	// run merges at most: an entry is merged once for each size of run, which is six
	// times in a directory of two million, so runs do not pile up, and no transaction
	// carries a large merge alone: it might not fit into a block.
	compactLeast = 2 * chunkEntries
	compactShare = 8 // of the entries that the transaction adds
)

// flush makes a run of the tail.
func (d *directory) flush() []Entry {
	r := d.newRun(uint64(len(d.head.tail)))
	var writes []Entry
	for n := range r.chunks() {
		part := span(d.head.tail, r.first(n), r.first(n+1))
		r.largest = max(r.largest, uint64(len(part)))
		writes = append(writes, d.write(chunkOf{r.id, n}, part))
	}
	d.head.runs, d.head.tail = append(d.head.runs, r), nil
	return writes
}

func (d *directory) newRun(entries uint64) run {
	r := run{id: d.head.ids, entries: entries, bits: bitsFor(entries)}
	d.head.ids++
	return r
}

// write keeps a chunk as the transaction leaves it.
func (d *directory) write(at chunkOf, entries []entry) Entry {
	d.chunks[at] = entries
	return Entry{Key: d.chunkKey(at), Value: appendEntries([]byte{Version}, entries)}
}

// compact merges runs of a size, or goes on with it, for as long as the budget lasts.
func (d *directory) compact(r Reader, added int) ([]Entry, error) {
	var writes []Entry
	for budget := max(compactLeast, compactShare*added); budget > 0; {
		d.begin()
		if len(d.head.merges) == 0 {
			break
		}
		w, spent, err := d.step(r, budget)
		if err != nil {
			return nil, err
		}
		writes, budget = append(writes, w...), budget-spent
	}
	return writes, nil
}

// begin begins merges of the sizes of which there are enough runs.
func (d *directory) begin() {
	h := &d.head
	sizes, enough := map[int][]run{}, map[int]int{}
	for _, r := range h.runs {
		size, many := r.size()
		sizes[size], enough[size] = append(sizes[size], r), many
	}
	for size := range 64 { // no map order: every peer must come to the same
		group := sizes[size]
		var entries, largest uint64
		for _, r := range group {
			entries, largest = entries+r.entries, largest+r.largest
		}
		if len(group) == 0 || len(group) < enough[size] || largest > largestChunk {
			continue
		}
		h.runs = slices.DeleteFunc(h.runs, func(r run) bool { of, _ := r.size(); return of == size })
		out := d.newRun(entries)
		out.entries = 0
		h.merges = append(h.merges, merge{out: out, inputs: group})
	}
	// The small ones first: they are done soon, and lookups have fewer runs to read.
	slices.SortStableFunc(h.merges, func(a, b merge) int { return cmp.Compare(a.out.bits, b.out.bits) })
}

// step goes on with the first merge, and ends it if the budget, in entries, lasts.
func (d *directory) step(r Reader, budget int) (writes []Entry, spent int, err error) {
	m := &d.head.merges[0]
	until := min(m.out.chunks(), m.done+max(1, uint64(budget)/chunkEntries))
	var round reading
	for _, in := range m.inputs {
		for n := in.chunk(uint32(m.out.first(m.done))); n < in.chunks() && in.first(n) < m.out.first(until); n++ {
			round.chunk(d, chunkOf{in.id, n})
		}
	}
	if _, err := round.run(r); err != nil {
		return nil, 0, err
	}
	for ; m.done < until; m.done++ {
		from, to := m.out.first(m.done), m.out.first(m.done+1)
		var part []entry
		for _, in := range m.inputs {
			at := chunkOf{in.id, in.chunk(uint32(from))}
			part = append(part, span(d.chunks[at], from, to)...)
			if in.first(at.chunk+1) == to { // all of it is merged
				writes = append(writes, Entry{Key: d.chunkKey(at)})
			}
		}
		spent += max(1, len(part))
		part = merged(part)
		m.out.entries += uint64(len(part))
		m.out.largest = max(m.out.largest, uint64(len(part)))
		writes = append(writes, d.write(chunkOf{m.out.id, m.done}, part))
	}
	if m.done == m.out.chunks() {
		d.head.runs = append(d.head.runs, m.out)
		d.head.merges = slices.Delete(d.head.merges, 0, 1)
	}
	return writes, spent, nil
}
