package state

import (
	"cmp"
	"maps"
	"slices"
)

// shelf is a repository's part of the directory, as far as it was read.
type shelf struct {
	home
	buckets map[uint64]*bucket
	leaves  map[leafID]*leaf
	added   []record
}

// packFrom is how many new names of a repository a segment must hold for them
// to share keys: an import, and not the pushes that people wait for.
const packFrom = 64

// Writes returns what records all that was added. unique names the
// transaction's segment and no other: leaves are called after it.
func (d *Directory) Writes(unique string) ([]Entry, error) {
	var shelves []*shelf
	for _, s := range d.shelves {
		if len(s.added) > 0 {
			shelves = append(shelves, s)
		}
	}
	slices.SortFunc(shelves, func(a, b *shelf) int {
		return cmp.Or(cmp.Compare(a.host, b.host), cmp.Compare(a.repository, b.repository))
	})
	leaves := make([][][]record, len(shelves))
	for i, s := range shelves {
		leaves[i] = s.pack()
	}
	ids, err := d.leafNames(shelves, leaves, unique)
	if err != nil {
		return nil, err
	}
	var writes []Entry
	for i, s := range shelves {
		w, err := s.grow(d.r, leaves[i], ids[i])
		if err != nil {
			return nil, err
		}
		writes = append(writes, w...)
	}
	return writes, nil
}

// pack takes the records that go into leaves out of those that were added.
func (s *shelf) pack() [][]record {
	if len(s.added) < packFrom {
		return nil
	}
	var packed []record
	s.added = slices.DeleteFunc(s.added, func(r record) bool {
		t, isTag := r.of.(*Tag)
		leaf := !isTag || t.Moves == 1 // see Own
		if leaf {
			packed = append(packed, r)
		}
		return leaf
	})
	return intoLeaves(packed)
}

// leafNames finds names for leaves, of each shelf some, that no leaf of the
// same repository has: they are short, so that a bucket holds many.
func (d *Directory) leafNames(shelves []*shelf, leaves [][][]record, unique string) ([][]leafID, error) {
	ids, tried := make([][]leafID, len(shelves)), make([]int, len(shelves))
	for {
		var keys []string
		var at []int // the shelf of each key
		asked := make([][]leafID, len(shelves))
		for i, s := range shelves {
			for len(ids[i])+len(asked[i]) < len(leaves[i]) {
				id := nameLeaf(unique, tried[i])
				tried[i]++
				if !id.none() && !slices.Contains(ids[i], id) && !slices.Contains(asked[i], id) {
					asked[i], keys, at = append(asked[i], id), append(keys, s.leafKey(id)), append(at, i)
				}
			}
		}
		if len(keys) == 0 {
			return ids, nil
		}
		taken, err := d.r.Get(keys...)
		if err != nil {
			return nil, err
		}
		for n, i := range at {
			id := asked[i][0]
			asked[i] = asked[i][1:]
			if taken[n] == nil {
				ids[i] = append(ids[i], id)
			}
		}
	}
}

func (s *shelf) grow(r Reader, leaves [][]record, ids []leafID) ([]Entry, error) {
	var writes []Entry
	fresh := map[uint64]int{} // names by bucket
	enter := func(id leafID, mark uint64) {
		at := address(mark, s.count())
		s.buckets[at].add(id, mark)
		fresh[at]++
	}
	for i, records := range leaves {
		b, err := encodeLeaf(records)
		if err != nil {
			return nil, err
		}
		writes = append(writes, Entry{Key: s.leafKey(ids[i]), Value: b})
		for _, r := range records {
			enter(ids[i], r.mark)
		}
	}
	for _, r := range s.added {
		b, err := Encode(r.of)
		if err != nil {
			return nil, err
		}
		writes = append(writes, Entry{Key: r.key(s.home), Value: b})
		enter(leafID{}, r.mark)
	}
	s.added = nil
	changed, err := s.split(r, fresh)
	if err != nil {
		return nil, err
	}
	for _, at := range changed {
		writes = append(writes, Entry{Key: s.bucketKey(at), Value: s.buckets[at].encode()})
	}
	return writes, nil
}

// split splits a bucket for every bucketNames names in a bucket that grew, but
// none for an old name: somebody may choose names that all hash into one
// bucket, and must not make the directory grow faster than its names.
func (s *shelf) split(r Reader, fresh map[uint64]int) (changed []uint64, err error) {
	touched := map[uint64]bool{}
	splits := 0
	for at, n := range fresh {
		touched[at] = true
		splits += min(n, s.buckets[at].size()/bucketNames)
	}
	if splits == 0 {
		return slices.Sorted(maps.Keys(touched)), nil
	}
	count := s.count()
	splits = min(splits, int(maxBuckets-count))
	var round reading
	for i := range uint64(splits) {
		if at := splitOf(count + i); at < count {
			round.bucket(s, at)
		}
	}
	if _, err := round.run(r); err != nil {
		return nil, err
	}
	for range splits {
		at, next := splitOf(count), count
		count++
		s.buckets[next] = s.buckets[at].cut(func(mark uint64) bool { return address(mark, count) == next })
		touched[at], touched[next] = true, true
	}
	s.buckets[0].count, touched[0] = count, true
	return slices.Sorted(maps.Keys(touched)), nil
}

// count is how many buckets the repository has; its first was read.
func (s *shelf) count() uint64 { return max(1, s.buckets[0].count) }
