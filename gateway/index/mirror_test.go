package index

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
)

// What a reader has read of the ledger's larger values it finds in its cache: SQLite
// reads what does not fit into its place past the cache, each time a key is compared.
func TestLargeValuesAreCached(t *testing.T) {
	if _, err := os.Stat("/proc/self/io"); err != nil {
		t.Log("bytes that are read are counted on Linux only")
		return
	}
	path := filepath.Join(t.TempDir(), "index.db")
	x := created(t, path)
	const n = 2000
	var writes []block.Write
	for i := range n {
		writes = append(writes, block.Write{Key: state.Key("chunk", fmt.Sprintf("%06d", i)), Value: bytes.Repeat([]byte{byte(i)}, 3000)})
	}
	if err := x.Apply(t.Context(), newGrower(t, 1, 1).next(writes)); err != nil {
		t.Fatal(err)
	}
	ask := func() {
		err := x.View(t.Context(), func(s *Snapshot) error {
			for i := 0; i < n; i += 100 {
				if _, err := s.Get(writes[i].Key); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	ask()
	before := readBytes(t)
	ask()
	if got := readBytes(t) - before; got > 20*4096 {
		t.Errorf("%d values that were read a moment ago took %d bytes of the file", n/100, got)
	}
}

// readBytes is how much this process has read from files.
func readBytes(t *testing.T) (n int) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/io")
	if err == nil {
		_, err = fmt.Sscanf(string(b), "rchar: %d", &n)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}
