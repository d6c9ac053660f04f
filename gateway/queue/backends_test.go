package queue

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/sqldb"
	"github.com/waybill-dev/waybill/test/postgres"
)

var (
	server  postgres.Shared
	schemas atomic.Int64
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == replicaArg {
		os.Exit(replicaMain(os.Args[2:]))
	}
	code := m.Run()
	if err := server.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// creator makes an empty queue and returns where it is.
type creator func(t testing.TB) string

// onEngines runs a test on each database.
func onBackends(t *testing.T, test func(t *testing.T, create creator)) {
	t.Run("sqlite", func(t *testing.T) { test(t, createFile) })
	t.Run("postgres", func(t *testing.T) { test(t, createSchema) })
}

func createOn(t testing.TB, onServer bool) string {
	t.Helper()
	if onServer {
		return createSchema(t)
	}
	return createFile(t)
}

func createFile(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "queue.db")
	if err := Create(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	return path
}

// createSchema makes a queue in a schema of its own on the shared server.
func createSchema(t testing.TB) string {
	t.Helper()
	url := fmt.Sprintf("%s&search_path=q%d", server.URL(t), schemas.Add(1))
	if err := Create(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	return url
}

// tables opens a queue's database beside the queue.
func tables(t testing.TB, where string) *sql.DB {
	t.Helper()
	if !sqldb.IsURL(where) {
		db, err := openFile(where, 1, false)
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	server, err := sqldb.ParseURL("queue", where, 0)
	if err != nil {
		t.Fatal(err)
	}
	return server.Open(1)
}

// idsOf returns the event ids of the test's own kind of segment (see segment).
func idsOf(b []byte) []provenance.EventID {
	var ids []provenance.EventID
	for n := len(provenance.EventID{}); len(b) >= n; b = b[n:] {
		ids = append(ids, provenance.EventID(b[:n]))
	}
	return ids
}
