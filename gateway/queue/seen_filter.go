package queue

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// filter is a Bloom filter: how many bits an id sets, and the bits.
type filter []byte

// filterBits is how many bits an id has in the filter, so that one of 300 new
// ids reads a chunk in vain; maxFilter is the largest filter in bytes. A run of
// more than 11 million ids has fewer bits for each, and costs more reads.
const (
	filterBits = 12
	maxFilter  = 16 << 20
)

func newFilter(ids int64) filter {
	size := min(max(ids*filterBits/8, 8), maxFilter)
	hashes := math.Round(math.Ln2 * float64(size*8) / float64(max(ids, 1)))
	f := make(filter, 1+size)
	f[0] = byte(min(max(hashes, 1), filterBits))
	return f
}

func (f filter) sound() bool { return len(f) > 1 && f[0] > 0 }

// positions calls each with the bits of an id, until it returns false. Ids come from
// others as well, so that not every bit of theirs is as good as random.
func (f filter) positions(id provenance.EventID, each func(at uint64) bool) {
	first, second := spread(binary.LittleEndian.Uint64(id[:8])), spread(binary.LittleEndian.Uint64(id[8:]))|1
	for i := range uint64(f[0]) {
		if at, _ := bits.Mul64(first+i*second, uint64(len(f)-1)*8); !each(at) {
			return
		}
	}
}

func (f filter) add(id provenance.EventID) {
	f.positions(id, func(at uint64) bool {
		f[1+at/8] |= 1 << (at % 8)
		return true
	})
}

func (f filter) has(id provenance.EventID) bool {
	all := true
	f.positions(id, func(at uint64) bool {
		all = f[1+at/8]&(1<<(at%8)) != 0
		return all
	})
	return all
}

// spread is the finalizer of SplitMix64.
func spread(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
