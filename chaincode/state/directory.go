package state

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Fabric's price is per key: every peer reads each for the contract, for its
// key-level policy and for its version, and writes it. So the records of a push
// (places, tags, parents) share, as first recorded, a key with others of their
// segment and repository: a leaf. A directory of the repository says which: a
// bucket names the leaves of the records whose names hash into it. What changes
// after that (a tag that moves, an image that is pushed again or deleted) gets
// the key of its own that the key map gives it, and that one counts from then
// on; a leaf never changes.
//
// The directory grows by linear hashing (W. Litwin, "Linear Hashing: A New Tool
// for File and Table Addressing", VLDB 1980): one bucket at a time is split in
// two, in a fixed order, so that the number of buckets, which the first of them
// carries, is all that a lookup needs to know.
//
// Nothing of it is taken from the caller. A name that is not in its bucket was
// never recorded; one whose mark is there is looked for in the leaf, by its
// whole name, so that two names with one mark are two names still.

// Directory reads and adds the records of pushes in one transaction. It
// implements Reader over the peer's: what a push recorded is found wherever it
// stands, and all other keys are read as they are. What it read it keeps, as
// the state that a transaction sees does not change.
type Directory struct {
	r       Reader
	buckets map[string]*bucket
	leaves  map[string]leaf
	added   map[home][]record
}

// NewDirectory returns the directories of all repositories that r reads.
func NewDirectory(r Reader) *Directory {
	return &Directory{r: r, buckets: map[string]*bucket{}, leaves: map[string]leaf{}, added: map[home][]record{}}
}

// Get implements Reader. A key of its own comes first.
func (d *Directory) Get(keys ...string) ([][]byte, error) {
	wanted, names := slices.Clone(keys), make([]name, len(keys))
	for i, k := range keys {
		if n, ok := nameOf(k); ok {
			names[i], wanted = n, append(wanted, d.missing(n.bucketKey(0))...)
		}
	}
	values, err := d.read(wanted)
	if err != nil {
		return nil, err
	}
	values = values[:len(keys)]
	var packed []name // what has no key of its own
	for i, n := range names {
		if n.kind != 0 && values[i] == nil {
			packed = append(packed, n)
		}
	}
	candidates, err := d.locate(packed)
	if err != nil {
		return nil, err
	}
	wanted = wanted[:0]
	for _, n := range packed {
		wanted = append(wanted, d.missing(candidates[n]...)...)
	}
	if _, err := d.read(wanted); err != nil {
		return nil, err
	}
	for i, n := range names {
		if n.kind != 0 && values[i] == nil {
			values[i] = d.find(n, candidates[n])
		}
	}
	return values, nil
}

// Recorded returns what Get returns, at the price of a bucket for a name that
// was never recorded. It relies on what Add and its caller see to: no place or
// tag has a key of its own and no place in the directory.
func (d *Directory) Recorded(keys ...string) ([][]byte, error) {
	names := make([]name, len(keys))
	var packed []name
	for i, k := range keys {
		if n, ok := nameOf(k); ok {
			names[i], packed = n, append(packed, n)
		}
	}
	candidates, err := d.locate(packed)
	if err != nil {
		return nil, err
	}
	var wanted []string
	for i, n := range names {
		if n.kind == 0 || len(candidates[n]) > 0 {
			wanted = append(append(wanted, keys[i]), d.missing(candidates[n]...)...)
		}
	}
	read, err := d.read(wanted)
	if err != nil {
		return nil, err
	}
	own := make(map[string][]byte, len(wanted))
	for i, k := range wanted {
		own[k] = read[i]
	}
	values := make([][]byte, len(keys))
	for i, n := range names {
		values[i] = own[keys[i]]
		if n.kind != 0 && values[i] == nil {
			values[i] = d.find(n, candidates[n])
		}
	}
	return values, nil
}

// missing are those of keys that were not read yet.
func (d *Directory) missing(keys ...string) []string {
	return slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return d.buckets[k] != nil || d.leaves[k] != nil })
}

// read reads keys in one round trip and keeps the buckets and leaves among them.
func (d *Directory) read(keys []string) ([][]byte, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	unique := slices.Compact(slices.Sorted(slices.Values(keys)))
	read, err := d.r.Get(unique...)
	if err != nil {
		return nil, err
	}
	values := make([][]byte, len(keys))
	for i, k := range keys {
		j, _ := slices.BinarySearch(unique, k)
		values[i] = read[j]
	}
	for i, k := range unique {
		switch {
		case strings.HasPrefix(k, "\x00"+TypeBucket+"\x00"):
			b := &bucket{}
			if read[i] != nil {
				if err := b.UnmarshalBinary(read[i]); err != nil {
					return nil, err
				}
			}
			d.buckets[k] = b
		case strings.HasPrefix(k, "\x00"+TypeLeaf+"\x00"):
			l, err := decodeLeaf(read[i])
			if err != nil {
				return nil, err
			}
			d.leaves[k] = l
		}
	}
	return values, nil
}

// locate returns, for each name, the keys of the leaves that may hold it: none
// for nearly every name that was never recorded, one for nearly every other.
func (d *Directory) locate(names []name) (map[name][]string, error) {
	if err := d.open(names); err != nil {
		return nil, err
	}
	candidates := make(map[name][]string, len(names))
	for _, n := range names {
		for _, g := range d.bucket(n).groups {
			if _, ok := slices.BinarySearch(g.marks, n.mark); ok {
				candidates[n] = append(candidates[n], n.leafKey(g.leaf))
			}
		}
	}
	return candidates, nil
}

// open reads the buckets of names.
func (d *Directory) open(names []name) error {
	var wanted []string
	for _, n := range names {
		wanted = append(wanted, d.missing(n.bucketKey(0))...)
	}
	if _, err := d.read(wanted); err != nil {
		return err
	}
	wanted = wanted[:0]
	for _, n := range names {
		wanted = append(wanted, d.missing(n.bucketKey(address(n.mark, d.count(n.home))))...)
	}
	_, err := d.read(wanted)
	return err
}

// bucket is a name's, which was opened.
func (d *Directory) bucket(n name) *bucket {
	return d.buckets[n.bucketKey(address(n.mark, d.count(n.home)))]
}

// count is how many buckets a repository has; its first was read.
func (d *Directory) count(h home) uint64 { return max(1, d.buckets[h.bucketKey(0)].count) }

// find finds n in leaves, by its whole name.
func (d *Directory) find(n name, leaves []string) []byte {
	for _, k := range leaves {
		if v, ok := d.leaves[k][n.member]; ok {
			return v
		}
	}
	return nil
}

// Add takes the first record of what Recorded was asked for and did not find.
func (d *Directory) Add(key string, value []byte) error {
	n, ok := nameOf(key)
	if !ok {
		return provenance.Errorf(provenance.Internal, "key %q is of nothing that a push records", key)
	}
	d.added[n.home] = append(d.added[n.home], record{name: n, value: value})
	return nil
}

// Writes returns the leaves and buckets that hold what was added. unique names
// the transaction's segment and no other: leaves are called after it.
func (d *Directory) Writes(unique string) ([]Entry, error) {
	var writes []Entry
	homes := slices.SortedFunc(maps.Keys(d.added), func(a, b home) int {
		return cmp.Or(cmp.Compare(a.host, b.host), cmp.Compare(a.repository, b.repository))
	})
	for _, h := range homes {
		w, err := d.grow(h, unique)
		if err != nil {
			return nil, err
		}
		writes = append(writes, w...)
	}
	clear(d.added)
	return writes, nil
}

func (d *Directory) grow(h home, unique string) ([]Entry, error) {
	var writes []Entry
	fresh := map[uint64]int{} // names by bucket
	for i, records := range intoLeaves(d.added[h]) {
		id := nameLeaf(unique, i)
		writes = append(writes, Entry{Key: h.leafKey(id), Value: encodeLeaf(records)})
		for _, r := range records {
			d.bucket(r.name).add(id, r.mark)
			fresh[address(r.mark, d.count(h))]++
		}
	}
	changed, err := d.split(h, fresh)
	if err != nil {
		return nil, err
	}
	for _, at := range changed {
		key := h.bucketKey(at)
		writes = append(writes, Entry{Key: key, Value: d.buckets[key].encode()})
	}
	return writes, nil
}

// split splits a bucket for every bucketNames names in a bucket that grew, but
// none for an old name: somebody may choose names that all hash into one
// bucket, and must not make the directory grow faster than its names.
func (d *Directory) split(h home, fresh map[uint64]int) (changed []uint64, err error) {
	touched := map[uint64]bool{}
	splits := 0
	for at, n := range fresh {
		touched[at] = true
		splits += min(n, d.buckets[h.bucketKey(at)].size()/bucketNames)
	}
	count := d.count(h)
	splits = min(splits, int(maxBuckets-count))
	var sources []string
	for i := range uint64(splits) {
		if at := splitOf(count + i); at < count {
			sources = append(sources, d.missing(h.bucketKey(at))...)
		}
	}
	if _, err := d.read(sources); err != nil {
		return nil, err
	}
	for range splits {
		at, next := splitOf(count), count
		count++
		d.buckets[h.bucketKey(next)] = d.buckets[h.bucketKey(at)].cut(func(mark uint64) bool { return address(mark, count) == next })
		touched[at], touched[next] = true, true
	}
	if splits > 0 {
		d.buckets[h.bucketKey(0)].count, touched[0] = count, true
	}
	return slices.Sorted(maps.Keys(touched)), nil
}

// Unpack turns what a transaction wrote into the records it stands for: a leaf
// into its records under the keys of their own, a bucket into nothing, any
// other entry into itself. A reader of blocks needs no directory.
func Unpack(e Entry) ([]Entry, error) {
	objectType, a, ok := SplitKey(e.Key)
	switch {
	case ok && objectType == TypeBucket:
		return nil, nil
	case !ok || objectType != TypeLeaf || len(a) != 3:
		return []Entry{e}, nil
	}
	l, err := decodeLeaf(e.Value)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, 0, len(l))
	for m, v := range l {
		entries = append(entries, Entry{Key: m.key(home{a[0], a[1]}), Value: v})
	}
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Key, b.Key) })
	return entries, nil
}
