package index

import (
	"bytes"
	"cmp"
	"database/sql"
	"slices"
)

const (
	selectRuns = `SELECT r.id, coalesce(t.upto, x'') FROM runs r LEFT JOIN runs t ON t.id = r.target ORDER BY r.id`
	// selectStarts reads of each run the chunk that a key would be in.
	selectStarts = `WITH s AS MATERIALIZED (SELECT r.id AS run, coalesce(
			(SELECT f.first FROM chunks f WHERE f.run = r.id AND f.first <= ? ORDER BY f.first DESC LIMIT 1),
			(SELECT f.first FROM chunks f WHERE f.run = r.id ORDER BY f.first LIMIT 1)) AS first FROM runs r)
		SELECT s.run, s.first, c.data FROM s JOIN chunks c ON c.run = s.run AND c.first = s.first`
	selectAfter  = `SELECT first, data FROM chunks WHERE run = ? AND first > ? ORDER BY first LIMIT 1`
	selectBefore = `SELECT first, data FROM chunks WHERE run = ? AND first < ? ORDER BY first DESC LIMIT 1`
)

// span is the entries of a range of keys, from one up to another that is not in it.
type span struct {
	from, to []byte
	backward bool
}

func spanOf(prefix []byte) span { return span{from: prefix, to: after(prefix)} }

// reading is one run on the way through a span.
type reading struct {
	id      uint64
	from    []byte // what comes before is read elsewhere
	first   []byte // of the chunk at hand
	entries []entry
	ended   bool // no other chunk has any
}

// scan calls do for the entries of a span in their order, each key once, until it
// returns false. It reads a chunk of each run, and those that follow as they are
// needed.
func (s *Snapshot) scan(in span, do func(entry) (more bool, err error)) error {
	all, err := s.starts(in)
	if err != nil {
		return err
	}
	for {
		var least *reading
		for _, r := range all {
			if least == nil || in.compare(r.entries[0].key, least.entries[0].key) < 0 {
				least = r
			}
		}
		if least == nil {
			return nil
		}
		e := least.entries[0]
		kept := all[:0]
		for _, r := range all {
			if bytes.Equal(r.entries[0].key, e.key) {
				if r != least {
					if e.value, err = combined(e.key, e.value, r.entries[0].value); err != nil {
						return err
					}
				}
				r.entries = r.entries[1:]
				if err := s.turn(r, in); err != nil {
					return err
				}
			}
			if len(r.entries) > 0 {
				kept = append(kept, r)
			}
		}
		all = kept
		if more, err := do(e); err != nil || !more {
			return err
		}
	}
}

func (in span) compare(a, b []byte) int {
	if in.backward {
		return bytes.Compare(b, a)
	}
	return bytes.Compare(a, b)
}

// starts opens the runs that have entries in the span.
func (s *Snapshot) starts(in span) (all []*reading, err error) {
	if s.runs == nil {
		s.runs = map[uint64][]byte{}
		err := s.each(selectRuns, nil, func(row *sql.Rows) error {
			var id uint64
			var upto []byte
			if err := row.Scan(&id, &upto); err != nil {
				return err
			}
			s.runs[id] = upto
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	key := in.from
	if in.backward {
		key = in.to
	}
	err = s.each(selectStarts, []any{key}, func(row *sql.Rows) error {
		r := &reading{}
		var data sql.RawBytes
		if err := row.Scan(&r.id, &r.first, &data); err != nil {
			return err
		}
		r.from = s.runs[r.id]
		// Backwards a chunk that begins where the span ends leads to the one before it.
		if bytes.Compare(r.first, in.to) >= 0 && !in.backward || bytes.Compare(r.from, in.to) >= 0 {
			return nil
		}
		all = append(all, r)
		err := r.take(data, in)
		for i, e := range r.entries {
			r.entries[i].value = bytes.Clone(e.value) // it outlives the row
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		if err := s.turn(r, in); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(all, func(a, b *reading) int { return cmp.Compare(a.id, b.id) })
	return slices.DeleteFunc(all, func(r *reading) bool { return len(r.entries) == 0 }), nil
}

// take keeps what a chunk has of the span, in the span's order.
func (r *reading) take(data []byte, in span) error {
	from := in.from
	if bytes.Compare(r.from, from) > 0 {
		from = r.from
	}
	entries, before, beyond, err := decodeSpan(data, from, in.to)
	if err != nil {
		return err
	}
	if r.entries, r.ended = entries, beyond; in.backward {
		r.ended = before
		slices.Reverse(r.entries)
	}
	return nil
}

// turn goes on to the chunks that follow until one has entries of the span.
func (s *Snapshot) turn(r *reading, in span) error {
	text := selectAfter
	if in.backward {
		text = selectBefore
	}
	for len(r.entries) == 0 && !r.ended {
		r.ended = true
		err := s.each(text, []any{int64(r.id), r.first}, func(row *sql.Rows) error {
			var data []byte
			if err := row.Scan(&r.first, &data); err != nil {
				return err
			}
			r.ended = false
			return r.take(data, in)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
