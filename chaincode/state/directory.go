package state

import (
	"cmp"
	"encoding"
	"slices"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Fabric's price is per key: every peer reads each for the contract, for its
// key-level policy and for its version, and writes it. So where a segment holds
// many pushes into a repository, their places and tags, as first recorded, share
// keys: leaves. What changes after that (a tag that moves, an image that is
// pushed again or deleted) gets the key of its own that the key map gives it, and
// that one counts from then on; a leaf never changes. Few pushes at once have
// keys of their own from the first.
//
// A directory of the repository knows all of them: a bucket says of the names
// that hash into it which leaf they are in, or that they have their own key. It
// grows by linear hashing (W. Litwin, "Linear Hashing: A New Tool for File and
// Table Addressing", VLDB 1980): one bucket at a time is split in two, in a fixed
// order, so that the number of buckets, which the first of them carries, is all
// that a lookup needs to know.
//
// Nothing of it is taken from the caller. A name that is not in its bucket was
// never recorded; one whose mark is there is looked for in the leaf, by its
// whole name, so that two names with one mark are two names still.
//
// Every push changes buckets, so an act that reads one loses to every push in
// its block. It need not: it looks for the key of its own first, and gives one
// to a place that it found in a leaf (Settle), for the acts that follow.

// Directory reads and adds the records of pushes in one transaction. It
// implements Reader over the peer's: what a push recorded is found wherever it
// stands, and all other keys are read as they are. What it read it keeps, as
// the state that a transaction sees does not change.
type Directory struct {
	r       Reader
	shelves map[home]*shelf
	// unsettled are the places that Get found in leaves.
	unsettled []Entry
}

// NewDirectory returns the directories of all repositories that r reads.
func NewDirectory(r Reader) *Directory {
	return &Directory{r: r, shelves: map[home]*shelf{}}
}

// names takes keys apart; a name without a shelf is of another kind of key.
func (d *Directory) names(keys []string) []name {
	names := make([]name, len(keys))
	for i, k := range keys {
		names[i] = d.name(k)
	}
	return names
}

func (d *Directory) name(key string) name {
	h, m, ok := splitMember(key)
	if !ok {
		return name{}
	}
	s := d.shelves[h]
	if s == nil {
		s = &shelf{home: h, buckets: map[uint64]*bucket{}, leaves: map[leafID]*leaf{}}
		d.shelves[h] = s
	}
	return name{shelf: s, member: m, mark: m.mark()}
}

// Get implements Reader. A key of its own comes first.
func (d *Directory) Get(keys ...string) ([][]byte, error) {
	values, err := d.Own(keys...)
	if err != nil {
		return nil, err
	}
	names, round := d.names(keys), reading{}
	for i := range names {
		if values[i] != nil {
			names[i] = name{}
		}
	}
	if err := d.open(names); err != nil {
		return nil, err
	}
	leaves := make([][]*leaf, len(names))
	for i, n := range names {
		leaves[i], _ = round.leaves(n)
	}
	if _, err := round.run(d.r); err != nil {
		return nil, err
	}
	for i, n := range names {
		if values[i] != nil {
			continue
		}
		if values[i] = find(n.member, leaves[i]); values[i] != nil && n.kind == kindPlace {
			d.unsettled = append(d.unsettled, Entry{Key: keys[i], Value: values[i]})
		}
	}
	return values, nil
}

// Own returns the values of keys as they stand, nil for what is in a leaf. Of a
// tag that an image was pushed under nil means that it names the image still:
// what is in a leaf was set once, and changed never.
func (d *Directory) Own(keys ...string) ([][]byte, error) { return d.r.Get(keys...) }

// Settle returns, once, the places that Get found in leaves. A transaction that
// writes writes them under their own keys, so that later acts about these
// images read what no push into their repository changes.
func (d *Directory) Settle() []Entry {
	found := d.unsettled
	d.unsettled = nil
	return found
}

// Found is what Recorded found.
type Found struct {
	Values [][]byte // of the keys in order, nil for one that was never recorded
	names  []name
}

// Recorded finds what Get finds, at the price of a bucket for a name that was
// never recorded. It relies on what Add and its caller see to: nothing that a
// push records has a key of its own and no place in the directory.
func (d *Directory) Recorded(keys ...string) (Found, error) {
	f := Found{Values: make([][]byte, len(keys)), names: d.names(keys)}
	if err := d.open(f.names); err != nil {
		return f, err
	}
	round, leaves := reading{}, make([][]*leaf, len(keys))
	var read []int // the keys that are read as they are
	for i, n := range f.names {
		var marked bool
		if leaves[i], marked = round.leaves(n); n.shelf == nil || marked {
			read = append(read, i)
		}
	}
	first := len(round.keys)
	for _, i := range read {
		round.key(keys[i])
	}
	own, err := round.run(d.r)
	if err != nil {
		return f, err
	}
	for j, i := range read {
		if f.Values[i] = own[first+j]; f.Values[i] == nil {
			f.Values[i] = find(f.names[i].member, leaves[i])
		}
	}
	return f, nil
}

// Add takes the first record of the i-th key, which was not found: a *Place or
// a *Tag. Directory.Writes writes it.
func (f Found) Add(i int, r any) error {
	n := f.names[i]
	if n.shelf == nil || f.Values[i] != nil {
		return provenance.Errorf(provenance.Internal, "key %d is of nothing that a push records, or was found", i)
	}
	n.added = append(n.added, record{name: n, of: r})
	return nil
}

// open reads the buckets of names, in two rounds: the first bucket of a
// repository says which of the others.
func (d *Directory) open(names []name) error {
	var round reading
	for _, n := range names {
		if n.shelf != nil {
			round.bucket(n.shelf, 0)
		}
	}
	if _, err := round.run(d.r); err != nil {
		return err
	}
	for _, n := range names {
		if n.shelf != nil {
			round.bucket(n.shelf, n.address())
		}
	}
	_, err := round.run(d.r)
	return err
}

// reading is what one round trip reads.
type reading struct {
	keys []string
	into []encoding.BinaryUnmarshaler // nil: the caller wants the bytes
}

func (r *reading) key(k string) { r.keys, r.into = append(r.keys, k), append(r.into, nil) }

// bucket reads a bucket that was not read yet.
func (r *reading) bucket(s *shelf, n uint64) {
	if s.buckets[n] == nil {
		b := &bucket{}
		s.buckets[n] = b
		r.keys, r.into = append(r.keys, s.bucketKey(n)), append(r.into, b)
	}
}

// leaves returns the leaves that may hold a name whose bucket was read, and
// whether its mark is in there at all: not for nearly every name that was never
// recorded.
func (r *reading) leaves(n name) (all []*leaf, marked bool) {
	if n.shelf == nil {
		return nil, false
	}
	for _, g := range n.buckets[n.address()].groups {
		if _, ok := slices.BinarySearch(g.marks, n.mark); !ok {
			continue
		}
		marked = true
		if g.leaf.none() {
			continue
		}
		l := n.leaves[g.leaf]
		if l == nil {
			l = &leaf{}
			n.leaves[g.leaf] = l
			r.keys, r.into = append(r.keys, n.leafKey(g.leaf)), append(r.into, l)
		}
		all = append(all, l)
	}
	return all, marked
}

// run reads what was asked for since it last ran.
func (r *reading) run(from Reader) ([][]byte, error) {
	keys, into := r.keys, r.into
	r.keys, r.into = nil, nil
	if len(keys) == 0 {
		return nil, nil
	}
	values, err := from.Get(keys...)
	if err != nil {
		return nil, err
	}
	for i, v := range values {
		_, isBucket := into[i].(*bucket)
		if into[i] == nil || (v == nil && isBucket) {
			continue // a bucket nobody wrote is empty; a leaf that a bucket names is there
		}
		if err := into[i].UnmarshalBinary(v); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// find finds a record in leaves, by its whole name.
func find(m member, leaves []*leaf) []byte {
	for _, l := range leaves {
		if v, ok := l.records[m]; ok {
			return v
		}
	}
	return nil
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
	var l leaf
	if err := l.UnmarshalBinary(e.Value); err != nil {
		return nil, err
	}
	entries := make([]Entry, 0, len(l.records))
	for m, v := range l.records {
		entries = append(entries, Entry{Key: m.key(home{a[0], a[1]}), Value: v})
	}
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Key, b.Key) })
	return entries, nil
}
