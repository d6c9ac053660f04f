package gateway

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/index"
)

// The first replica creates the shared databases, the next finds them; what is
// no index of ours is not taken for one, and an empty database is not a new gateway.
func TestInitOnAServer(t *testing.T) {
	on := func() string {
		path := filepath.Join(t.TempDir(), "url")
		if err := os.WriteFile(path, []byte(server.Schema(t)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	one, two := valid(t), valid(t)
	one.Queue.URLFile, one.Index.URLFile = on(), on()
	two.Queue.URLFile, two.Index.URLFile = one.Queue.URLFile, one.Index.URLFile
	if err := Run(t.Context(), one); provenance.CodeOf(err) != provenance.NotFound || !strings.Contains(err.Error(), "init") {
		t.Errorf("run on an empty database: %v", err)
	}
	for i, c := range []Config{one, two} {
		if err := Init(t.Context(), c); err != nil {
			t.Fatalf("replica %d: %v", i, err)
		}
		if entries, err := os.ReadDir(c.DataDir); err != nil || len(entries) != 0 {
			t.Errorf("replica %d keeps %v, %v", i, entries, err)
		}
	}
	where, err := indexPlace(two)
	if err != nil {
		t.Fatal(err)
	}
	x, err := index.Open(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	three := valid(t)
	three.Queue.URLFile, three.Index.URLFile = one.Queue.URLFile, one.Queue.URLFile
	if err := Init(t.Context(), three); provenance.CodeOf(err) != provenance.Conflict || strings.Contains(err.Error(), "postgres://") {
		t.Errorf("the queue's schema as an index: %v", err)
	}
}

// A pod says init at each start. What is there stays; a queue that was lost is missed.
func TestInitOnce(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{DataDir: dir}
	for range 2 {
		if err := InitOnce(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	if err := Init(t.Context(), cfg); provenance.CodeOf(err) != provenance.Conflict {
		t.Errorf("Init over databases: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, indexFile)); err != nil {
		t.Fatal(err)
	}
	if err := InitOnce(t.Context(), cfg); err != nil {
		t.Errorf("without the index, which can be rebuilt: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, queueFile)); err != nil {
		t.Fatal(err)
	}
	if err := InitOnce(t.Context(), cfg); provenance.CodeOf(err) != provenance.Conflict || !strings.Contains(err.Error(), "lost") {
		t.Errorf("without the queue: %v", err)
	}
}
