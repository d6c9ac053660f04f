package state

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

const (
	// bucketNames is how many names a bucket holds before the directory grows:
	// a push rewrites its buckets, so fewer make a single push smaller and many
	// together dearer.
	bucketNames = 128
	// markBits is how much of a name's hash its bucket keeps. Its first bits say
	// which bucket; what is left keeps other names from looking alike, but for five
	// in a million in a repository of 10,000 images and five in a thousand in one of
	// ten million. The price of those is the reading of a leaf that does not hold them.
	markBits = 32
	// maxBuckets leaves some of the bits of a mark; after it buckets get longer.
	maxBuckets = 1 << 20
)

// bucket names the leaves of the names that hash into it.
type bucket struct {
	count  uint64 // of the repository's buckets; in the first one only, 0 is 1
	groups []group
}

// group is the marks that one leaf has in a bucket, ascending.
type group struct {
	leaf  leafID
	marks []uint64
}

func (b *bucket) size() int {
	n := 0
	for _, g := range b.groups {
		n += len(g.marks)
	}
	return n
}

// add adds a mark. Those of a leaf come one after the other; those without one
// come at any time, and are one group.
func (b *bucket) add(leaf leafID, mark uint64) {
	at := len(b.groups) - 1
	if at < 0 || b.groups[at].leaf != leaf {
		at = -1
		if leaf.none() {
			at = slices.IndexFunc(b.groups, func(g group) bool { return g.leaf.none() })
		}
	}
	if at < 0 {
		b.groups = append(b.groups, group{leaf: leaf, marks: []uint64{mark}})
		return
	}
	g := &b.groups[at]
	i, _ := slices.BinarySearch(g.marks, mark)
	g.marks = slices.Insert(g.marks, i, mark)
}

// cut takes the marks out that belong into another bucket, and returns that.
func (b *bucket) cut(belongs func(mark uint64) bool) *bucket {
	other := &bucket{}
	kept := b.groups[:0]
	for _, g := range b.groups {
		var stay []uint64
		for _, m := range g.marks {
			if belongs(m) {
				other.add(g.leaf, m)
			} else {
				stay = append(stay, m)
			}
		}
		if len(stay) > 0 {
			kept = append(kept, group{leaf: g.leaf, marks: stay})
		}
	}
	b.groups = kept
	return other
}

// encode writes the version, the number of buckets and of groups, and per
// group its leaf, the number of its marks, and the marks.
func (b *bucket) encode() []byte {
	out := make([]byte, 0, 2*binary.MaxVarintLen64+8*len(b.groups)+markBits/8*b.size())
	out = binary.AppendUvarint(append(out, compactVersion), b.count)
	out = binary.AppendUvarint(out, uint64(len(b.groups)))
	for _, g := range b.groups {
		out = binary.AppendUvarint(append(out, g.leaf[:]...), uint64(len(g.marks)))
		for _, m := range g.marks {
			out = binary.BigEndian.AppendUint32(out, uint32(m))
		}
	}
	return out
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (b *bucket) UnmarshalBinary(from []byte) error {
	d := reader{rest: from}
	d.version()
	*b = bucket{count: d.uvarint()}
	d.bad = d.bad || b.count > maxBuckets
	for n := d.count(len(d.rest)); n > 0 && !d.bad; n-- {
		g := group{}
		for i := range g.leaf {
			g.leaf[i] = d.byte()
		}
		m := d.count(len(d.rest))
		g.marks = make([]uint64, 0, m)
		for ; m > 0 && !d.bad; m-- {
			mark := uint64(0)
			for range markBits / 8 {
				mark = mark<<8 | uint64(d.byte())
			}
			// Lookups search by halves.
			d.bad = d.bad || (len(g.marks) > 0 && mark < g.marks[len(g.marks)-1])
			g.marks = append(g.marks, mark)
		}
		b.groups = append(b.groups, g)
	}
	return d.end("bucket")
}

// address is the bucket of a mark among count. Its bits count from the mark's
// first, so that a bucket is a range of marks and neighbours share leaves.
func address(mark, count uint64) uint64 {
	reversed := bits.Reverse64(mark << (64 - markBits))
	level := bits.Len64(count) - 1
	a := reversed & (1<<level - 1)
	if a < count-1<<level { // split already in this round
		a = reversed & (1<<(level+1) - 1)
	}
	return a
}

// splitOf is the bucket whose split makes bucket n.
func splitOf(n uint64) uint64 { return n - 1<<(bits.Len64(n)-1) }
