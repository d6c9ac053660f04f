package index

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// The kinds of entries, the first byte of their keys. What follows it is 16
// bytes of a hash of what the entry is about: two things that hash alike cost
// 2^64 trials, and rows compare the whole.
const (
	// ofDigest: image, number of a record about it → repository, 0 for all.
	ofDigest = 'd'
	// ofImage: image, repository → imageValue. The digest stands here whole, and as it is:
	// images are found by how it begins.
	ofImage = 'i'
	// ofPulls: image, number of a segment with pulls of it, repository → when last.
	ofPulls = 'p'
	// ofVersions: image, repository, block → row of versions with what the image's place
	// there was before that block changed it.
	ofVersions = 'v'
	// ofReferrers: image and repository, digest that names it as its subject.
	ofReferrers = 'f'
	// ofRepository: repository, number of a record about it.
	ofRepository = 'r'
	// ofKind: kind, or nothing for all, number of the record of an act.
	ofKind = 'k'
	// ofActor: organisation, number of the record of an act of one of its people.
	ofActor = 'a'
	// ofTag: repository; tag and a NUL, number of a record about it.
	ofTag = 't'
)

const (
	hashLength   = 16
	prefixLength = 1 + hashLength
	// chunkBytes bounds a chunk: with its first key it fits into a page of 4 KiB.
	chunkBytes = 4000
)

// entry is a key that says something, and what it says.
type entry struct{ key, value []byte }

// prefixOf is what the keys of all entries about one thing open with.
func prefixOf(kind byte, about ...string) []byte {
	var text []byte
	for _, part := range about {
		text = append(binary.AppendUvarint(text, uint64(len(part))), part...)
	}
	sum := sha256.Sum256(text)
	return append(append(make([]byte, 0, prefixLength+12), kind), sum[:hashLength]...)
}

func imagePrefix(kind byte, d provenance.Digest) []byte {
	if kind == ofImage {
		return append([]byte{kind}, digestBytes(d)...)
	}
	return prefixOf(kind, string(digestBytes(d)))
}

func repositoryPrefix(kind byte, host provenance.Host, repo provenance.Repository) []byte {
	return prefixOf(kind, string(host), string(repo))
}

// tagPrefix is within the entries of a repository, whose tags are in order thereby.
func tagPrefix(host provenance.Host, repo provenance.Repository, tag provenance.Tag) []byte {
	return append(append(repositoryPrefix(ofTag, host, repo), tag...), 0)
}

// numbered adds a number to a key: entries of one thing are in its order.
func numbered(prefix []byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64(prefix[:len(prefix):len(prefix)], n)
}

// lastNumber is the number that a key ends in.
func lastNumber(key []byte) uint64 { return binary.BigEndian.Uint64(key[len(key)-8:]) }

func numberValue(n uint64) []byte { return binary.AppendUvarint(nil, n) }

func valueNumber(value []byte) uint64 {
	n, _ := binary.Uvarint(value)
	return n
}

// imageValue is what is counted of an image in a repository.
type imageValue struct {
	place bool   // it was pushed there
	born  uint64 // in which block its place was first written
	count uint64
	last  time.Time // of the pulls; zero: none
}

func (v imageValue) encode() []byte {
	flags, last := byte(0), int64(0)
	if v.place {
		flags = 1
	}
	if !v.last.IsZero() {
		last = v.last.UnixNano()
		flags |= 2
	}
	b := binary.AppendUvarint([]byte{flags}, v.count)
	b = binary.AppendVarint(b, last)
	if v.place {
		b = binary.AppendUvarint(b, v.born)
	}
	return b
}

func decodeImage(b []byte) (v imageValue, err error) {
	if len(b) == 0 {
		return v, errEntry()
	}
	var n, m int
	var last int64
	v.count, n = binary.Uvarint(b[1:])
	if n > 0 {
		last, m = binary.Varint(b[1+n:])
	}
	if n <= 0 || m <= 0 {
		return v, errEntry()
	}
	if v.place = b[0]&1 != 0; v.place {
		if v.born, n = binary.Uvarint(b[1+n+m:]); n <= 0 {
			return v, errEntry()
		}
	}
	if b[0]&2 != 0 {
		v.last = time.Unix(0, last).UTC()
	}
	return v, nil
}

func (v imageValue) with(o imageValue) imageValue {
	if o.place && (!v.place || o.born < v.born) {
		v.born = o.born
	}
	v.place, v.count = v.place || o.place, v.count+o.count
	if o.last.After(v.last) {
		v.last = o.last
	}
	return v
}

// combined is what two entries of one key say together.
func combined(key, a, b []byte) ([]byte, error) {
	if key[0] != ofImage {
		return a, nil
	}
	one, err := decodeImage(a)
	if err != nil {
		return nil, err
	}
	two, err := decodeImage(b)
	return one.with(two).encode(), err
}

// lead is the first bytes of a key as a number, which nearly always tells which of two
// keys comes first.
func lead(key []byte) uint64 {
	if len(key) >= 8 {
		return binary.BigEndian.Uint64(key)
	}
	var b [8]byte
	copy(b[:], key)
	return binary.BigEndian.Uint64(b[:])
}

// sorted puts the entries of a block in order, each key once.
func sorted(all []entry) ([]entry, error) {
	type place struct {
		lead uint64
		at   int
	}
	order := make([]place, len(all))
	for i, e := range all {
		order[i] = place{lead(e.key), i}
	}
	slices.SortFunc(order, func(a, b place) int {
		if a.lead != b.lead {
			return cmp.Compare(a.lead, b.lead)
		}
		return cmp.Or(bytes.Compare(all[a.at].key, all[b.at].key), cmp.Compare(a.at, b.at))
	})
	out := make([]entry, 0, len(all))
	for _, p := range order {
		e := all[p.at]
		if n := len(out); n > 0 && bytes.Equal(out[n-1].key, e.key) {
			value, err := combined(e.key, out[n-1].value, e.value)
			if err != nil {
				return nil, err
			}
			out[n-1].value = value
			continue
		}
		out = append(out, e)
	}
	return out, nil
}

// chunk is a part of a run: of each entry how much of its key is that of the
// entry before, the rest of it, and its value.
type chunk struct {
	first []byte
	data  []byte
	last  []byte
}

// add takes the next entry, unless the chunk is full.
func (c *chunk) add(e entry) bool {
	shared := 0
	for shared < min(len(c.last), len(e.key)) && c.last[shared] == e.key[shared] {
		shared++
	}
	rest := e.key[shared:]
	if c.first != nil && len(c.first)+len(c.data)+len(rest)+len(e.value)+3*2 > chunkBytes {
		return false
	}
	if c.first == nil {
		c.first, c.data = e.key, make([]byte, 0, chunkBytes)
	}
	c.data = binary.AppendUvarint(c.data, uint64(shared))
	c.data = append(binary.AppendUvarint(c.data, uint64(len(rest))), rest...)
	c.data = append(binary.AppendUvarint(c.data, uint64(len(e.value))), e.value...)
	c.last = e.key
	return true
}

// chunksOf parts entries into chunks.
func chunksOf(entries []entry) []chunk {
	var all []chunk
	current := chunk{}
	for _, e := range entries {
		if !current.add(e) {
			all, current = append(all, current), chunk{}
			current.add(e)
		}
	}
	if current.first != nil {
		all = append(all, current)
	}
	return all
}

// decodeChunk reads the entries of a chunk.
func decodeChunk(data []byte) ([]entry, error) {
	all, _, _, err := decodeSpan(data, nil, nil)
	return all, err
}

// decodeSpan reads the entries of a chunk from one key up to another that is not among
// them, nil for none, and tells whether there are others before and after them. A
// lookup wants a few of some hundred, and asks many chunks.
func decodeSpan(data, from, to []byte) (all []entry, before, beyond bool, err error) {
	var keys []byte
	if from == nil {
		all, keys = make([]entry, 0, len(data)/12), make([]byte, 0, 2*len(data))
	}
	var last []byte
	passed := make([]byte, 0, 128) // the key at hand, until the span begins
	next := func() (n int, ok bool) {
		v, used := binary.Uvarint(data)
		if used <= 0 || v > chunkBytes {
			return 0, false
		}
		data = data[used:]
		return int(v), true
	}
	for len(data) > 0 {
		shared, ok := next()
		rest, ok2 := next()
		if !ok || !ok2 || shared > len(last) || rest > len(data) || shared+rest < prefixLength {
			return nil, false, false, errEntry()
		}
		within := len(all) > 0 || from == nil
		if !within {
			passed = append(passed[:shared], data[:rest]...)
			if within = bytes.Compare(passed, from) >= 0; !within {
				last, before = passed, true
			}
		}
		if within {
			start := len(keys)
			keys = append(append(keys, last[:shared]...), data[:rest]...)
			last = keys[start:len(keys):len(keys)]
			if to != nil && bytes.Compare(last, to) >= 0 {
				return all, before, true, nil
			}
		}
		data = data[rest:]
		size, ok := next()
		if !ok || size > len(data) {
			return nil, false, false, errEntry()
		}
		if within {
			all = append(all, entry{last, data[:size:size]})
		}
		data = data[size:]
	}
	return all, before, false, nil
}

func errEntry() error {
	return provenance.Errorf(provenance.Internal, "index: a chunk of a run is damaged; run: waybill-gateway reindex")
}

// after is the first key after all that a prefix opens.
func after(prefix []byte) []byte {
	end := slices.Clone(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return bytes.Repeat([]byte{0xff}, len(prefix)+1)
}
