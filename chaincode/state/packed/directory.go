package packed

import (
	"cmp"
	"maps"
	"slices"
)

// directory is what knows the records of one Name.Directory, as far as it was read.
type directory struct {
	id      string
	codec   Codec
	buckets map[uint64]*bucket
	pages   map[pageID]page
	added   []added
}

// packFrom is how many new records of a directory a writer must bring at once
// for them to share keys: an import, and not the ones that people wait for.
const packFrom = 64

// Writes returns what records all that was added. unique names the transaction's
// act and no other: pages are called after it.
func (r *Records) Writes(unique string) ([]Entry, error) {
	var changed []*directory
	for _, d := range r.directories {
		if len(d.added) > 0 {
			changed = append(changed, d)
		}
	}
	slices.SortFunc(changed, func(a, b *directory) int { return cmp.Compare(a.id, b.id) })
	pages := make([][][]added, len(changed))
	for i, d := range changed {
		pages[i] = d.pack()
	}
	ids, err := r.pageIDs(changed, pages, unique)
	if err != nil {
		return nil, err
	}
	var writes []Entry
	for i, d := range changed {
		w, err := d.grow(r.reader, pages[i], ids[i])
		if err != nil {
			return nil, err
		}
		writes = append(writes, w...)
	}
	return writes, nil
}

// pack takes the records that go into pages out of those that were added.
func (d *directory) pack() [][]added {
	if len(d.added) < packFrom {
		return nil
	}
	var packed []added
	d.added = slices.DeleteFunc(d.added, func(r added) bool {
		if r.Pack {
			packed = append(packed, r)
		}
		return r.Pack
	})
	return intoPages(packed)
}

// pageIDs finds names for pages, of each directory some, that no page of the
// same directory has: they are short, so that a bucket holds many.
func (r *Records) pageIDs(directories []*directory, pages [][][]added, unique string) ([][]pageID, error) {
	ids, tried := make([][]pageID, len(directories)), make([]int, len(directories))
	for {
		var keys []string
		var at []int // the directory of each key
		asked := make([][]pageID, len(directories))
		for i, d := range directories {
			for len(ids[i])+len(asked[i]) < len(pages[i]) {
				id := namePage(unique, tried[i])
				tried[i]++
				if !id.none() && !slices.Contains(ids[i], id) && !slices.Contains(asked[i], id) {
					asked[i], keys, at = append(asked[i], id), append(keys, d.pageKey(id)), append(at, i)
				}
			}
		}
		if len(keys) == 0 {
			return ids, nil
		}
		taken, err := r.reader.Get(keys...)
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

func (d *directory) grow(r Reader, pages [][]added, ids []pageID) ([]Entry, error) {
	var writes []Entry
	fresh := map[uint64]int{} // names by bucket
	enter := func(id pageID, fingerprint uint64) {
		at := address(fingerprint, d.count())
		d.buckets[at].add(id, fingerprint)
		fresh[at]++
	}
	for i, records := range pages {
		writes = append(writes, Entry{Key: d.pageKey(ids[i]), Value: encodePage(records)})
		for _, r := range records {
			enter(ids[i], r.fingerprint)
		}
	}
	for _, r := range d.added {
		writes = append(writes, Entry{Key: d.codec.Key(r.Name), Value: r.Value})
		enter(pageID{}, r.fingerprint)
	}
	d.added = nil
	changed, err := d.split(r, fresh)
	if err != nil {
		return nil, err
	}
	for _, at := range changed {
		writes = append(writes, Entry{Key: d.bucketKey(at), Value: d.buckets[at].encode()})
	}
	return writes, nil
}

// split splits a bucket for every bucketNames names in a bucket that grew, but
// none for an old name: somebody may choose names that all hash into one
// bucket, and must not make the directory grow faster than its names.
func (d *directory) split(r Reader, fresh map[uint64]int) (changed []uint64, err error) {
	touched := map[uint64]bool{}
	splits := 0
	for at, n := range fresh {
		touched[at] = true
		splits += min(n, d.buckets[at].size()/bucketNames)
	}
	if splits == 0 {
		return slices.Sorted(maps.Keys(touched)), nil
	}
	count := d.count()
	splits = min(splits, int(maxBuckets-count))
	var round reading
	for i := range uint64(splits) {
		if at := splitOf(count + i); at < count {
			round.bucket(d, at)
		}
	}
	if _, err := round.run(r); err != nil {
		return nil, err
	}
	for range splits {
		at, next := splitOf(count), count
		count++
		d.buckets[next] = d.buckets[at].cut(func(fingerprint uint64) bool { return address(fingerprint, count) == next })
		touched[at], touched[next] = true, true
	}
	d.buckets[0].count, touched[0] = count, true
	return slices.Sorted(maps.Keys(touched)), nil
}

// count is how many buckets the directory has; its first was read.
func (d *directory) count() uint64 { return max(1, d.buckets[0].count) }
