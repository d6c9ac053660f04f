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
	if !ok || n.Kind == KindHead || n.Kind == KindPage || n.Kind == KindChunk {
		return name{}
	}
	d := r.directories[n.Directory]
	if d == nil {
		d = &directory{id: n.Directory, codec: r.codec, chunks: map[chunkOf][]entry{}, pages: map[uint64]page{}}
		r.directories[n.Directory] = d
	}
	return name{directory: d, Name: n, fingerprint: n.fingerprint()}
}

// Get implements Reader. A key of its own comes first.
func (r *Records) Get(keys ...string) ([][]byte, error) {
	values, err := r.reader.Get(keys...)
	if err != nil {
		return nil, err
	}
	names := r.names(keys)
	for i := range names {
		if values[i] != nil {
			names[i] = name{}
		}
	}
	at, _, err := r.locate(names, func(int) string { return "" })
	if err != nil {
		return nil, err
	}
	for i, n := range names {
		v, err := n.find(at[i])
		if err != nil {
			return nil, err
		}
		if v.known {
			values[i] = v.value
			r.unpacked = append(r.unpacked, Entry{Key: keys[i], Value: v.value})
		}
	}
	return values, nil
}

// Unpacked returns, under keys of their own, the records that Get found in pages.
// A transaction that writes those keys too lets later ones read what nobody who adds
// a record changes.
func (r *Records) Unpacked() []Entry { return r.unpacked }

// Found is what Find found.
type Found struct {
	Values [][]byte // of the keys in order, nil for one that was never recorded
	names  []name
	packed []version // where those stand that have no key of their own
}

// Find finds what Get finds, at the price of its directory for a name that was never
// recorded. It relies on what Writes and Unpacked see to: no record has a key of its
// own and no entry in its directory.
func (r *Records) Find(keys ...string) (Found, error) {
	f := Found{Values: make([][]byte, len(keys)), names: r.names(keys), packed: make([]version, len(keys))}
	at, own, err := r.locate(f.names, func(i int) string { return keys[i] })
	if err != nil {
		return f, err
	}
	for i, n := range f.names {
		if own[i] != nil {
			f.Values[i] = own[i]
			continue
		}
		v, err := n.find(at[i])
		if err != nil {
			return f, err
		}
		f.Values[i], f.packed[i] = v.value, v.version
	}
	return f, nil
}

// Name is what the i-th key was taken apart into; zero for a key of another kind.
func (f Found) Name(i int) Name { return f.names[i].Name }

// Own tells whether the i-th key was found as it is: whoever changes its record
// writes that key.
func (f Found) Own(i int) bool { return f.Values[i] != nil && !f.packed[i].known }

// Add takes the first record of the i-th key, or a later version of one that has no
// key of its own. Records.Writes writes it as it is then.
func (f Found) Add(i int, record *Record) error {
	n := f.names[i]
	if n.directory == nil || f.Own(i) {
		return provenance.Errorf(provenance.Internal, "key %d is of no record that may be packed, or has a key of its own", i)
	}
	n.added = append(n.added, added{name: n, Record: record, found: f.packed[i]})
	return nil
}

// locate reads what the directories say of names, in two rounds (their heads and
// the chunks of their runs), and in a third the pages that may hold them, with the
// key that own names where a name may be known, or has no directory.
func (r *Records) locate(names []name, own func(i int) string) (at [][]entry, values [][]byte, err error) {
	var round reading
	for _, n := range names {
		round.head(n.directory)
	}
	if _, err := round.run(r.reader); err != nil {
		return nil, nil, err
	}
	for _, n := range names {
		if n.directory != nil {
			for c := range n.head.chunks(n.fingerprint) {
				round.chunk(n.directory, c)
			}
		}
	}
	if _, err := round.run(r.reader); err != nil {
		return nil, nil, err
	}
	at, values = make([][]entry, len(names)), make([][]byte, len(names))
	var asked []int // the names that are read as they are
	for i, n := range names {
		if n.directory != nil {
			at[i] = n.entries()
		}
		if k := own(i); k != "" && (n.directory == nil || len(at[i]) > 0) {
			asked = append(asked, i)
			round.key(k)
		}
	}
	for i, n := range names {
		for _, e := range at[i] {
			if !e.at.own() {
				round.page(n.directory, e.at.page)
			}
		}
	}
	read, err := round.run(r.reader)
	if err != nil {
		return nil, nil, err
	}
	for j, i := range asked {
		values[i] = read[j]
	}
	return at, values, nil
}

// entries returns the newest of those that have the name's fingerprint.
func (n name) entries() []entry {
	all := slices.Clone(of(n.head.tail, n.fingerprint))
	for c := range n.head.chunks(n.fingerprint) {
		all = append(all, of(n.chunks[c], n.fingerprint)...)
	}
	if len(all) < 2 {
		return all
	}
	return merged(all)
}

// found is a version of a record and its value.
type found struct {
	version
	value []byte
}

// find finds a record in pages, by its whole name.
func (n name) find(at []entry) (found, error) {
	for _, e := range at {
		if e.at.own() {
			continue
		}
		p := n.pages[e.at.page]
		if int(e.at.slot) >= len(p) {
			return found{}, provenance.Errorf(provenance.Internal, "page %d of a directory has no record %d", e.at.page, e.at.slot)
		}
		if r := p[e.at.slot]; string(r.text) != n.Text && (!r.derived() || len(r.text) > 0) {
			continue
		}
		of, value, err := p.record(n.codec, n.id, int(e.at.slot))
		if err != nil {
			return found{}, err
		}
		if of.member() == n.member() {
			return found{version{e.at, true}, value}, nil
		}
	}
	return found{}, nil
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

// head reads the head of a directory that was not read yet.
func (r *reading) head(d *directory) {
	if d == nil || d.opened {
		return
	}
	d.opened = true
	r.decoded(d.headKey(), d.head.decode)
}

// chunk reads a chunk that was not read yet. One that a head names is there; one
// that is gone is damage, and its names must not become new ones.
func (r *reading) chunk(d *directory, c chunkOf) {
	if _, read := d.chunks[c]; read {
		return
	}
	d.chunks[c] = nil
	r.decoded(d.chunkKey(c), func(value []byte) error {
		from := Decoder{Rest: value}
		from.Version()
		d.chunks[c] = from.entries()
		return from.End("directory's run")
	})
}

// page reads a page that was not read yet; one that is gone is damage too.
func (r *reading) page(d *directory, n uint64) {
	if _, read := d.pages[n]; read {
		return
	}
	d.pages[n] = nil
	r.decoded(d.pageKey(n), func(value []byte) (err error) {
		d.pages[n], err = decodePage(value)
		return err
	})
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

// Unpack turns what a transaction wrote into the records it stands for: a page
// into its records under the keys of their own, a directory's head and chunks into
// nothing, any other entry into itself. A reader of blocks needs no directory.
func Unpack(codec Codec, e Entry) ([]Entry, error) {
	n, ok := codec.Name(e.Key)
	switch {
	case ok && (n.Kind == KindHead || n.Kind == KindChunk):
		return nil, nil
	case !ok || n.Kind != KindPage:
		return []Entry{e}, nil
	}
	records, err := decodePage(e.Value)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, len(records))
	for i, r := range records {
		of, value, err := records.record(codec, n.Directory, i)
		if err != nil {
			return nil, err
		}
		if entries[i] = (Entry{Key: codec.Key(of), Value: value, Changed: r.changed}); entries[i].Key == "" {
			return nil, provenance.Errorf(provenance.Internal, "a page holds a record that has no key")
		}
	}
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Key, b.Key) })
	return entries, nil
}
