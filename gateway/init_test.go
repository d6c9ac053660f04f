package gateway

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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

// owned is a file's mode and owner.
type owned struct {
	fs.FileInfo
	mode fs.FileMode
	uid  uint32
}

func (o owned) Mode() fs.FileMode { return o.mode }
func (o owned) Sys() any          { return &syscall.Stat_t{Uid: o.uid} }

func TestExposedFiles(t *testing.T) {
	for _, c := range []struct {
		mode fs.FileMode
		uid  uint32
		self int
		want bool
	}{
		{0o600, 65532, 65532, false},
		{0o440, 0, 65532, false}, // a pod's Secret, by its fsGroup
		{0o640, 0, 65532, false},
		{0o440, 0, 0, true},
		{0o440, 65532, 65532, true},
		{0o460, 0, 65532, true},
		{0o444, 0, 65532, true},
		{0o604, 0, 65532, true},
	} {
		if got := exposed(owned{mode: c.mode, uid: c.uid}, c.self); got != c.want {
			t.Errorf("mode %04o of user %d is exposed to others than %d: %v, want %v", c.mode, c.uid, c.self, got, c.want)
		}
	}
}
