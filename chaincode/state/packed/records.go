package packed

import (
	"cmp"
	"slices"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Records reads and adds records in one transaction. It implements Reader over
// the peer's: a record is found wherever it stands, and all other keys are read as
// they are. What it read it keeps, as the state that a transaction sees does not
// change.
type Records struct {
	reader      Reader
	codec       Codec
	directories map[string]*directory
	// unpacked are the records that Get found in pages.
	unpacked []Entry
}

// New returns the records of all directories that r reads.
func New(r Reader, codec Codec) *Records {
	return &Records{reader: r, codec: codec, directories: map[string]*directory{}}
}

// names takes keys apart; a name without a directory is of another kind of key.
func (r *Records) names(keys []string) []name {
	names := make([]name, len(keys))
	for i, k := range keys {
		names[i] = r.name(k)
	}
	return names
}

func (r *Records) name(key string) name {
	n, ok := r.codec.Name(key)
	if !ok || n.Kind == KindBucket || n.Kind == KindPage {
		return name{}
	}
	d := r.directories[n.Directory]
	if d == nil {
		d = &directory{id: n.Directory, codec: r.codec, buckets: map[uint64]*bucket{}, pages: map[pageID]page{}}
		r.directories[n.Directory] = d
	}
	return name{directory: d, Name: n, fingerprint: n.fingerprint()}
}

// Get implements Reader. A key of its own comes first.
func (r *Records) Get(keys ...string) ([][]byte, error) {
	values, err := r.Own(keys...)
	if err != nil {
		return nil, err
	}
	names, round := r.names(keys), reading{}
	for i := range names {
		if values[i] != nil {
			names[i] = name{}
		}
	}
	if err := r.open(names); err != nil {
		return nil, err
	}
	pages := make([][]pageID, len(names))
	for i, n := range names {
		pages[i], _ = round.pages(n)
	}
	if _, err := round.run(r.reader); err != nil {
		return nil, err
	}
	for i, n := range names {
		if values[i] != nil {
			continue
		}
		if values[i] = n.find(pages[i]); values[i] != nil {
			r.unpacked = append(r.unpacked, Entry{Key: keys[i], Value: values[i]})
		}
	}
	return values, nil
}

// Own returns the values of keys as they stand, nil for what is in a page: that
// was written once, and changed never.
func (r *Records) Own(keys ...string) ([][]byte, error) { return r.reader.Get(keys...) }

// Unpacked returns, under keys of their own, the records that Get found in pages.
// A transaction that writes those keys too lets later ones read what nobody who adds
// a record changes.
func (r *Records) Unpacked() []Entry { return r.unpacked }

// Found is what Find found.
type Found struct {
	Values [][]byte // of the keys in order, nil for one that was never recorded
	names  []name
}

// Find finds what Get finds, at the price of a bucket for a name that was never
// recorded. It relies on what Add and its caller see to: no record has a key of its
// own and no place in its directory.
func (r *Records) Find(keys ...string) (Found, error) {
	f := Found{Values: make([][]byte, len(keys)), names: r.names(keys)}
	if err := r.open(f.names); err != nil {
		return f, err
	}
	round, pages := reading{}, make([][]pageID, len(keys))
	var read []int // the keys that are read as they are
	for i, n := range f.names {
		var known bool
		if pages[i], known = round.pages(n); n.directory == nil || known {
			read = append(read, i)
		}
	}
	first := len(round.keys)
	for _, i := range read {
		round.key(keys[i])
	}
	own, err := round.run(r.reader)
	if err != nil {
		return f, err
	}
	for j, i := range read {
		if f.Values[i] = own[first+j]; f.Values[i] == nil {
			f.Values[i] = f.names[i].find(pages[i])
		}
	}
	return f, nil
}

// Name is what the i-th key was taken apart into; zero for a key of another kind.
func (f Found) Name(i int) Name { return f.names[i].Name }

// Add takes the first record of the i-th key, which was not found. Records.Writes
// writes it as it is then.
func (f Found) Add(i int, record *Record) error {
	n := f.names[i]
	if n.directory == nil || f.Values[i] != nil {
		return provenance.Errorf(provenance.Internal, "key %d is of no record that may be packed, or was found", i)
	}
	n.added = append(n.added, added{name: n, Record: record})
	return nil
}

// open reads the buckets of names, in two rounds: the first bucket of a
// directory says which of the others.
func (r *Records) open(names []name) error {
	var round reading
	for _, n := range names {
		if n.directory != nil {
			round.bucket(n.directory, 0)
		}
	}
	if _, err := round.run(r.reader); err != nil {
		return err
	}
	for _, n := range names {
		if n.directory != nil {
			round.bucket(n.directory, n.address())
		}
	}
	_, err := round.run(r.reader)
	return err
}

// reading is what one round trip reads.
type reading struct {
	keys []string
	into []func(value []byte) error // nil: the caller wants the bytes
}

func (r *reading) key(k string) { r.keys, r.into = append(r.keys, k), append(r.into, nil) }

func (r *reading) decoded(k string, into func([]byte) error) {
	r.keys, r.into = append(r.keys, k), append(r.into, into)
}

// bucket reads a bucket that was not read yet. One that nobody wrote is empty.
func (r *reading) bucket(d *directory, n uint64) {
	if d.buckets[n] != nil {
		return
	}
	b := &bucket{}
	d.buckets[n] = b
	r.decoded(d.bucketKey(n), func(value []byte) error {
		if value == nil {
			return nil
		}
		return b.decode(value)
	})
}

// pages returns the pages that may hold a name whose bucket was read, and
// whether its fingerprint is in there at all: not for nearly every name that was
// never recorded. A page that a bucket names is there; one that is gone is damage.
func (r *reading) pages(n name) (all []pageID, known bool) {
	if n.directory == nil {
		return nil, false
	}
	d := n.directory
	for _, g := range d.buckets[n.address()].groups {
		if _, ok := slices.BinarySearch(g.fingerprints, n.fingerprint); !ok {
			continue
		}
		known = true
		id := g.page
		if id.none() {
			continue
		}
		if _, read := d.pages[id]; !read {
			d.pages[id] = nil
			r.decoded(d.pageKey(id), func(value []byte) (err error) {
				d.pages[id], err = decodePage(d.codec, d.id, value)
				return err
			})
		}
		all = append(all, id)
	}
	return all, known
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
		if into[i] == nil {
			continue
		}
		if err := into[i](v); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// find finds a record in pages, by its whole name.
func (n name) find(pages []pageID) []byte {
	for _, id := range pages {
		if v, ok := n.pages[id][n.member()]; ok {
			return v
		}
	}
	return nil
}

// Unpack turns what a transaction wrote into the records it stands for: a page
// into its records under the keys of their own, a bucket into nothing, any other
// entry into itself. A reader of blocks needs no directory.
func Unpack(codec Codec, e Entry) ([]Entry, error) {
	n, ok := codec.Name(e.Key)
	switch {
	case ok && n.Kind == KindBucket:
		return nil, nil
	case !ok || n.Kind != KindPage:
		return []Entry{e}, nil
	}
	records, err := decodePage(codec, n.Directory, e.Value)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, 0, len(records))
	for m, v := range records {
		entries = append(entries, Entry{Key: codec.Key(Name{Directory: n.Directory, Kind: m.kind, Text: m.text}), Value: v})
	}
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Key, b.Key) })
	return entries, nil
}
