package index

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The same chain gives the same index, whatever keeps it and however its blocks
// were batched.
func TestBothDatabasesAnswerAlike(t *testing.T) {
	for seed := range uint64(2) {
		c := randomChain(t, seed, 100)
		lite, server := applied(t, createFile, c), createOnServer(t)
		for from := 0; from < len(c.blocks); from += 1 + from%7 {
			if err := server.ApplyBatch(t.Context(), c.blocks[from:min(from+1+from%7, len(c.blocks))]); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		want := answers(t, lite)
		got := answers(t, server)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("seed %d: the answers differ (-sqlite +postgres):\n%s", seed, diff)
		}
		if a, b := fingerprint(t, lite), fingerprint(t, server); a != b {
			t.Errorf("seed %d: fingerprints %s and %s", seed, a, b)
		}
		t.Logf("seed %d: %d answers", seed, len(want))
	}
}
