package packed

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

const (
	// bucketNames is how many names a bucket holds before the directory grows: what
	// adds a record rewrites its buckets, so fewer make a single one smaller and many
	// together dearer.
	bucketNames = 128
	// fingerprintBits is how much of a name's hash its bucket keeps. Its first bits
	// say which bucket; what is left keeps other names from looking alike, but for
	// five in a million in a directory of 20,000 names and five in a thousand in one
	// of twenty million. The price of those is the reading of a page that does not
	// hold them.
	fingerprintBits = 32
	// maxBuckets leaves some of the bits of a fingerprint; after it buckets get longer.
	maxBuckets = 1 << 20
)

// bucket names the pages of the names that hash into it.
type bucket struct {
	count  uint64 // of the directory's buckets; in the first one only, 0 is 1
	groups []group
}

// group is the fingerprints that one page has in a bucket, ascending.
type group struct {
	page         pageID
	fingerprints []uint64
}

func (b *bucket) size() int {
	n := 0
	for _, g := range b.groups {
		n += len(g.fingerprints)
	}
	return n
}

// add adds a fingerprint. Those of a page come one after the other; those
// without one come at any time, and are one group.
func (b *bucket) add(page pageID, fingerprint uint64) {
	at := len(b.groups) - 1
	if at < 0 || b.groups[at].page != page {
		at = -1
		if page.none() {
			at = slices.IndexFunc(b.groups, func(g group) bool { return g.page.none() })
		}
	}
	if at < 0 {
		b.groups = append(b.groups, group{page: page, fingerprints: []uint64{fingerprint}})
		return
	}
	g := &b.groups[at]
	i, _ := slices.BinarySearch(g.fingerprints, fingerprint)
	g.fingerprints = slices.Insert(g.fingerprints, i, fingerprint)
}

// cut takes the fingerprints out that belong into another bucket, and returns that.
func (b *bucket) cut(belongs func(fingerprint uint64) bool) *bucket {
	other := &bucket{}
	kept := b.groups[:0]
	for _, g := range b.groups {
		var stay []uint64
		for _, f := range g.fingerprints {
			if belongs(f) {
				other.add(g.page, f)
			} else {
				stay = append(stay, f)
			}
		}
		if len(stay) > 0 {
			kept = append(kept, group{page: g.page, fingerprints: stay})
		}
	}
	b.groups = kept
	return other
}

// encode writes the version, the number of buckets and of groups, and per
// group its page, the number of its fingerprints, and these.
func (b *bucket) encode() []byte {
	out := make([]byte, 0, 2*binary.MaxVarintLen64+8*len(b.groups)+fingerprintBits/8*b.size())
	out = binary.AppendUvarint(append(out, Version), b.count)
	out = binary.AppendUvarint(out, uint64(len(b.groups)))
	for _, g := range b.groups {
		out = binary.AppendUvarint(append(out, g.page[:]...), uint64(len(g.fingerprints)))
		for _, f := range g.fingerprints {
			out = binary.BigEndian.AppendUint32(out, uint32(f))
		}
	}
	return out
}

func (b *bucket) decode(from []byte) error {
	d := Decoder{Rest: from}
	d.Version()
	*b = bucket{count: d.Uvarint()}
	d.Bad = d.Bad || b.count > maxBuckets
	for n := d.Count(len(d.Rest)); n > 0 && !d.Bad; n-- {
		g := group{}
		for i := range g.page {
			g.page[i] = d.Byte()
		}
		m := d.Count(len(d.Rest))
		g.fingerprints = make([]uint64, 0, m)
		for ; m > 0 && !d.Bad; m-- {
			fingerprint := uint64(0)
			for range fingerprintBits / 8 {
				fingerprint = fingerprint<<8 | uint64(d.Byte())
			}
			// Lookups search by halves.
			d.Bad = d.Bad || (len(g.fingerprints) > 0 && fingerprint < g.fingerprints[len(g.fingerprints)-1])
			g.fingerprints = append(g.fingerprints, fingerprint)
		}
		b.groups = append(b.groups, g)
	}
	return d.End("bucket")
}

// address is the bucket of a fingerprint among count. Its bits count from the
// fingerprint's first, so that a bucket is a range of fingerprints and neighbours
// share pages.
func address(fingerprint, count uint64) uint64 {
	reversed := bits.Reverse64(fingerprint << (64 - fingerprintBits))
	level := bits.Len64(count) - 1
	a := reversed & (1<<level - 1)
	if a < count-1<<level { // split already in this round
		a = reversed & (1<<(level+1) - 1)
	}
	return a
}

// splitOf is the bucket whose split makes bucket n.
func splitOf(n uint64) uint64 { return n - 1<<(bits.Len64(n)-1) }
