package packed

import (
	"math/rand/v2"
	"testing"
)

// Every name is in the bucket of its address, whatever the number of buckets.
func TestAddress(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for range 2000 {
		fingerprint, n := r.Uint64()>>(64-fingerprintBits), 1+r.Uint64N(1<<12)
		before, after := address(fingerprint, n), address(fingerprint, n+1)
		if before >= n || (after != before && (after != n || before != splitOf(n))) {
			t.Fatalf("fingerprint %x is in bucket %d of %d and in %d of %d, which splits bucket %d", fingerprint, before, n, after, n+1, splitOf(n))
		}
	}
}
