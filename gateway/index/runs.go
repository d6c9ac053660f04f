package index

import (
	"bytes"
	"maps"
	"slices"
)

// Entries are a log-structured merge: each block's are a sorted run, and runs of
// about one size become one, eight times as large. What is written is appended, so
// that a block costs what it holds and not what the ledger does. All of it follows
// from the blocks alone, however they were batched.
const (
	// fanOut is how many runs of a size become one: fewer are read faster and
	// written more often.
	fanOut = 8
	// atOnce is how many entries are merged within the block that asks for it. A
	// larger merge goes in steps, each of a multiple of what its block added: it ends
	// long before as much again has come.
	atOnce    = 8192
	mergeRate = 4
	mergeStep = 2048 // the fewest entries that a step is worth
)

// run is a sorted run of entries, in chunks.
type run struct {
	id, entries uint64
	target      uint64 // the run that it is being merged into; 0: none
	// upto is set while a run is being made: what comes before stands in it, the rest
	// still where it is made from.
	upto   []byte
	credit uint64 // entries that may be merged into it
	held   []entry
	stored bool // its row is in the table
	stale  bool // ... and says something else
}

func (r *run) isWhole() bool { return len(r.upto) == 0 }

// size is the run's class.
func (r *run) size() int {
	class := 0
	for n := r.entries; n >= fanOut; n /= fanOut {
		class++
	}
	return class
}

// runs are all of them as the transaction has them, by id.
type runs struct {
	all  []*run
	next uint64
}

func (w *writer) loadRuns() (*runs, error) {
	out := &runs{next: 1}
	for {
		r := &run{stored: true}
		found, err := w.row(&w.st.nextRun, []any{int64(out.next - 1)}, &r.id, &r.entries, &r.target, &r.upto, &r.credit)
		if err != nil || !found {
			return out, err
		}
		out.all, out.next = append(out.all, r), r.id+1
	}
}

func (r *runs) create() *run {
	one := &run{id: r.next, stale: true}
	r.next, r.all = r.next+1, append(r.all, one)
	return one
}

func (r *runs) sources(target *run) (all []*run) {
	for _, one := range r.all {
		if one.target == target.id {
			all = append(all, one)
		}
	}
	return all
}

// mergeable returns runs of a size that are enough to become one, nil where there
// are none.
func (r *runs) mergeable() []*run {
	sizes := map[int][]*run{}
	for _, one := range r.all {
		if one.isWhole() && one.target == 0 {
			sizes[one.size()] = append(sizes[one.size()], one)
		}
	}
	for _, size := range slices.Sorted(maps.Keys(sizes)) {
		if len(sizes[size]) >= fanOut {
			return sizes[size][:fanOut]
		}
	}
	return nil
}

// addRun makes a block's entries a run, and merges what is due.
func (w *writer) addRun(entries []entry) error {
	entries, err := sorted(entries)
	if err != nil || len(entries) == 0 {
		return err
	}
	if err := w.hold(w.runs.create(), entries); err != nil {
		return err
	}
	for due := w.runs.mergeable(); due != nil; due = w.runs.mergeable() {
		if err := w.merge(due); err != nil {
			return err
		}
	}
	for _, one := range slices.Clone(w.runs.all) {
		if one.isWhole() {
			continue
		}
		one.credit, one.stale = one.credit+mergeRate*uint64(len(entries)), true
		if one.credit >= mergeStep {
			if err := w.step(one); err != nil {
				return err
			}
		}
	}
	return nil
}

// hold keeps the entries of a small run in memory until the transaction ends: most
// of them are merged before. Those of a large one are written at once.
func (w *writer) hold(r *run, entries []entry) error {
	r.entries, r.held = uint64(len(entries)), entries
	if len(entries) > atOnce {
		return w.store(r)
	}
	return nil
}

func (w *writer) store(r *run) error {
	for _, c := range chunksOf(r.held) {
		if err := w.exec(&w.st.putChunk, r.id, c.first, c.data); err != nil {
			return err
		}
	}
	r.held = nil
	return nil
}

// merge merges runs into one: at once, or from now on.
func (w *writer) merge(due []*run) error {
	total := uint64(0)
	for _, one := range due {
		total += one.entries
	}
	target := w.runs.create()
	if total > atOnce {
		target.upto = []byte{0} // before all keys
		for _, one := range due {
			one.target, one.stale = target.id, true
			if err := w.store(one); err != nil {
				return err
			}
		}
		return nil
	}
	all := make([]entry, 0, total)
	merging, err := w.merging(due, nil)
	if err != nil {
		return err
	}
	for {
		e, _, err := merging.next()
		if err != nil {
			return err
		}
		if e == nil {
			break
		}
		all = append(all, *e)
	}
	if err := w.remove(due); err != nil {
		return err
	}
	return w.hold(target, all)
}

func (w *writer) remove(all []*run) error {
	for _, one := range all {
		w.runs.all = slices.DeleteFunc(w.runs.all, func(r *run) bool { return r == one })
		if one.held == nil {
			if err := w.exec(&w.st.dropChunks, one.id); err != nil {
				return err
			}
		}
		if one.stored {
			if err := w.exec(&w.st.dropRun, one.id); err != nil {
				return err
			}
		}
	}
	return nil
}

// step merges as many entries as the target has credit for, in whole chunks.
// What it took away from its sources is read from the target from now on.
func (w *writer) step(target *run) error {
	sources := w.runs.sources(target)
	merging, err := w.merging(sources, target.upto)
	if err != nil {
		return err
	}
	taken, current := uint64(0), chunk{}
	for {
		e, n, err := merging.next()
		if err != nil {
			return err
		}
		if e == nil || !current.add(*e) {
			if current.first != nil {
				if err := w.exec(&w.st.putChunk, target.id, current.first, current.data); err != nil {
					return err
				}
			}
			if e == nil {
				target.upto, target.credit = []byte{}, 0
				return w.remove(sources)
			}
			if taken >= target.credit {
				target.upto, target.credit = e.key, 0
				return w.trim(sources, e.key)
			}
			current = chunk{}
			current.add(*e)
		}
		taken += uint64(n)
		target.entries++
	}
}

// trim removes the chunks of which everything comes before a key.
func (w *writer) trim(sources []*run, upto []byte) error {
	for _, one := range sources {
		if err := w.exec(&w.st.trimChunks, one.id, one.id, upto); err != nil {
			return err
		}
	}
	return nil
}

// storeRuns writes what the transaction still holds in memory.
func (w *writer) storeRuns() error {
	for _, one := range w.runs.all {
		if err := w.store(one); err != nil {
			return err
		}
		if !one.stale {
			continue
		}
		if err := w.exec(&w.st.putRun, one.id, one.entries, one.target, notNil(one.upto), one.credit); err != nil {
			return err
		}
		one.stored, one.stale = true, false
	}
	return nil
}

// merging reads runs in the order of their keys, from one on.
type merging struct {
	heads []*runCursor
}

// runCursor walks one run.
type runCursor struct {
	entries []entry
	lead    uint64                  // of the first of them
	more    func() ([]entry, error) // the next chunk's; nil after the last
}

func (w *writer) merging(all []*run, from []byte) (*merging, error) {
	m := &merging{}
	for _, one := range all {
		c := &runCursor{entries: one.held, more: func() ([]entry, error) { return nil, nil }}
		if one.held == nil {
			last := notNil(from)
			c.more = func() ([]entry, error) { return w.chunkAfter(one.id, &last) }
			var first, data []byte
			found, err := w.row(&w.st.floorChunk, []any{one.id, last}, &first, &data)
			if err != nil {
				return nil, err
			}
			if found {
				last = first
				if c.entries, err = decodeChunk(data); err != nil {
					return nil, err
				}
			}
		}
		if err := c.fill(); err != nil {
			return nil, err
		}
		for len(c.entries) > 0 && bytes.Compare(c.entries[0].key, from) < 0 {
			if err := c.skip(); err != nil {
				return nil, err
			}
		}
		m.heads = append(m.heads, c)
	}
	return m, nil
}

func (w *writer) chunkAfter(id uint64, last *[]byte) ([]entry, error) {
	var first, data []byte
	found, err := w.row(&w.st.nextChunk, []any{id, *last}, &first, &data)
	if err != nil || !found {
		return nil, err
	}
	*last = first
	return decodeChunk(data)
}

func (c *runCursor) fill() (err error) {
	if len(c.entries) == 0 {
		c.entries, err = c.more()
	}
	if len(c.entries) > 0 {
		c.lead = lead(c.entries[0].key)
	}
	return err
}

func (c *runCursor) skip() error {
	c.entries = c.entries[1:]
	return c.fill()
}

// next returns the next entry, and how many it was made of; nil after the last.
func (m *merging) next() (*entry, int, error) {
	var least *runCursor
	for _, c := range m.heads {
		if len(c.entries) > 0 && (least == nil || c.before(least)) {
			least = c
		}
	}
	if least == nil {
		return nil, 0, nil
	}
	out, first := least.entries[0], least.lead
	n := 0
	for _, c := range m.heads {
		if c.lead != first || len(c.entries) == 0 || !bytes.Equal(c.entries[0].key, out.key) {
			continue
		}
		if n++; n > 1 {
			value, err := combined(out.key, out.value, c.entries[0].value)
			if err != nil {
				return nil, 0, err
			}
			out.value = value
		}
		if err := c.skip(); err != nil {
			return nil, 0, err
		}
	}
	return &out, n, nil
}

func (c *runCursor) before(o *runCursor) bool {
	if c.lead != o.lead {
		return c.lead < o.lead
	}
	return bytes.Compare(c.entries[0].key, o.entries[0].key) < 0
}
