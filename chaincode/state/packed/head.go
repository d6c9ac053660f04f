package packed

import (
	"encoding/binary"
	"iter"
	"math/bits"
	"slices"
	"time"
)

const (
	// tailEntries is how many entries the head holds: what adds a record rewrites
	// the head, so fewer make a single one cheaper and runs smaller.
	tailEntries = 32
	// fanout is how many runs of a size are merged, largeFanout from largeRun entries on.
	// A lookup reads up to a chunk less of each size, and each entry is written once for
	// each size: what many pushes at once bring begins with large ones, and reads all
	// chunks in any case.
	fanout      = 4
	largeFanout = 8
	largeRun    = tailEntries * fanout * fanout * fanout
	// chunkEntries is the most that a chunk holds where names are not chosen for it:
	// some 3 KiB.
	chunkEntries = 512
	// largestChunk keeps runs from being merged further where somebody chose names
	// that all fall into one chunk: it must fit into a transaction. Lookups read more
	// chunks then, in this directory and no other.
	largestChunk = 16 * chunkEntries
	// maxRuns and maxChunkBits bound what a head may say, beyond what any can come to.
	maxRuns      = 1 << 16
	maxChunkBits = 24
	// Pages and runs are numbered by the second in which they are written, perSecond
	// of a directory in each; what is more borrows from the next. So keys are in the
	// order in which they come, over all directories, and whoever keeps them sorted
	// appends: LevelDB rewrote them up to twenty times when each directory's came
	// together. lastPage is a bound that no clock reaches.
	perSecond = 1 << 8
	lastPage  = 1 << 48
)

// run is a sorted part of a directory's entries, in chunks by the first bits of
// their fingerprints.
type run struct {
	id      uint64
	entries uint64
	bits    uint8  // it has 1<<bits chunks
	largest uint64 // entries in its largest chunk
}

func (r run) chunks() uint64 { return 1 << r.bits }

// chunk is the chunk of a fingerprint, first the first fingerprint of a chunk.
func (r run) chunk(fingerprint uint32) uint64 {
	return uint64(fingerprint) >> (fingerprintBits - r.bits)
}

func (r run) first(chunk uint64) uint64 { return chunk << (fingerprintBits - r.bits) }

// size is the size class of a run, and how many of it are merged: each is fanout times
// the one before.
func (r run) size() (class, many int) {
	for most := uint64(tailEntries * fanout); r.entries >= most; class++ {
		if most < largeRun {
			most *= fanout
		} else {
			most *= largeFanout
		}
	}
	if r.entries < largeRun {
		return class, fanout
	}
	return class, largeFanout
}

// bitsFor is how many chunks hold n entries, as the number of bits that tell them apart.
func bitsFor(n uint64) uint8 {
	return uint8(min(maxChunkBits, bits.Len64((max(n, 1)-1)/chunkEntries)))
}

// merge is a compaction under way: the first done chunks of out are written, and
// what is in them stands for that part of the inputs.
type merge struct {
	out    run
	done   uint64
	inputs []run
}

// head is the first key of a directory: all else is found from it.
type head struct {
	pages, ids uint64 // the next page and the next run
	runs       []run
	merges     []merge
	tail       []entry
}

// chunkOf names a chunk of a run.
type chunkOf struct{ run, chunk uint64 }

// chunks are those that may have a fingerprint. Each name of a segment asks, of every run.
func (h *head) chunks(fingerprint uint32) iter.Seq[chunkOf] {
	return func(yield func(chunkOf) bool) {
		for _, r := range h.runs {
			if !yield(chunkOf{r.id, r.chunk(fingerprint)}) {
				return
			}
		}
		for i := range h.merges {
			m := &h.merges[i]
			if at := m.out.chunk(fingerprint); at < m.done {
				if !yield(chunkOf{m.out.id, at}) {
					return
				}
				continue
			}
			for _, r := range m.inputs {
				if !yield(chunkOf{r.id, r.chunk(fingerprint)}) {
					return
				}
			}
		}
	}
}

// reach moves the numbers of pages and runs on to a time, which never moves them back.
func (h *head) reach(now time.Time) {
	number := uint64(min(max(now.Unix(), 0), lastPage/perSecond/2)) * perSecond
	h.pages, h.ids = max(h.pages, number), max(h.ids, number)
}

// encode writes the version, the next page and run, the runs, the merges with
// their inputs, and the tail.
func (h *head) encode() []byte {
	b := append(make([]byte, 0, 32+16*len(h.runs)+10*len(h.tail)), Version)
	b = binary.AppendUvarint(binary.AppendUvarint(b, h.pages), h.ids)
	b = appendRuns(b, h.runs)
	b = binary.AppendUvarint(b, uint64(len(h.merges)))
	for _, m := range h.merges {
		b = appendRuns(b, append([]run{m.out}, m.inputs...))
		b = binary.AppendUvarint(b, m.done)
	}
	return appendEntries(b, h.tail)
}

func appendRuns(b []byte, runs []run) []byte {
	b = binary.AppendUvarint(b, uint64(len(runs)))
	for _, r := range runs {
		b = append(binary.AppendUvarint(binary.AppendUvarint(b, r.id), r.entries), r.bits)
		b = binary.AppendUvarint(b, r.largest)
	}
	return b
}

func (d *Decoder) runs() []run {
	n := d.Count(maxRuns)
	runs := make([]run, 0, min(n, 64))
	for ; n > 0 && !d.Bad; n-- {
		r := run{id: d.Uvarint(), entries: d.Uvarint(), bits: d.Byte()}
		r.largest = d.Uvarint()
		d.Bad = d.Bad || r.bits > maxChunkBits
		runs = append(runs, r)
	}
	return runs
}

// decode reads what encode wrote; nothing at all is an empty directory.
func (h *head) decode(from []byte) error {
	*h = head{}
	if from == nil {
		return nil
	}
	d := Decoder{Rest: from}
	d.Version()
	h.pages, h.ids = d.Uvarint(), d.Uvarint()
	d.Bad = d.Bad || h.pages > lastPage || h.ids > lastPage
	h.runs = d.runs()
	for n := d.Count(maxRuns); n > 0 && !d.Bad; n-- {
		runs := d.runs()
		m := merge{done: d.Uvarint()}
		if d.Bad || len(runs) < 2 || m.done >= runs[0].chunks() {
			d.Bad = true
			break
		}
		m.out, m.inputs = runs[0], runs[1:]
		d.Bad = slices.ContainsFunc(m.inputs, func(r run) bool { return r.bits > m.out.bits })
		h.merges = append(h.merges, m)
	}
	h.tail = d.entries()
	return d.End("directory")
}
