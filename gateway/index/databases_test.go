package index

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/waybill-dev/waybill/test/postgres"
)

var (
	server  postgres.Shared
	schemas atomic.Int64
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := server.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// creator makes an empty index and opens it until the test ends.
type creator func(t testing.TB) *Index

func databases() map[string]creator {
	return map[string]creator{"sqlite": createFile, "postgres": createOnServer}
}

// onDatabases runs a test on each database.
func onDatabases(t *testing.T, test func(t *testing.T, create creator)) {
	for name, create := range databases() {
		t.Run(name, func(t *testing.T) { test(t, create) })
	}
}

func createFile(t testing.TB) *Index {
	path := filepath.Join(t.TempDir(), "a folder with ? and %", "index.db")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	return created(t, path)
}

// newSchema returns the URL of an index that is not there yet: a schema of its
// own on the shared server.
func newSchema(t testing.TB) string {
	return newDurableSchema(t) + "&synchronous_commit=off" // the tests write thousands of blocks
}

func newDurableSchema(t testing.TB) string {
	return fmt.Sprintf("%s&search_path=x%d", server.URL(t), schemas.Add(1))
}

func createOnServer(t testing.TB) *Index { return created(t, newSchema(t)) }

func created(t testing.TB, where string) *Index {
	t.Helper()
	if err := Create(t.Context(), where); err != nil {
		t.Fatal(err)
	}
	return opened(t, where)
}

func opened(t testing.TB, where string) *Index {
	t.Helper()
	x, err := Open(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	return x
}

// harm changes an index behind its back; x'..' is bytes.
func harm(t testing.TB, x *Index, text string) {
	t.Helper()
	var err error
	switch e := x.backend.(type) {
	case *sqliteBackend:
		_, err = e.write.ExecContext(t.Context(), text)
	case *postgresBackend:
		_, err = e.read.ExecContext(t.Context(), `BEGIN READ WRITE; `+strings.ReplaceAll(text, `x'`, `'\x`)+`; COMMIT`)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func fingerprint(t testing.TB, x *Index) string {
	t.Helper()
	f, err := x.Fingerprint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return f
}
