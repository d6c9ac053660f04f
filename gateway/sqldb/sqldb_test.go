package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

func TestDollars(t *testing.T) {
	for query, want := range map[string]string{
		"":                                       "",
		"SELECT 1":                               "SELECT 1",
		"a = ? AND b = ?":                        "a = $1 AND b = $2",
		"VALUES (?1, ?2) ON CONFLICT SET a = ?1": "VALUES ($1, $2) ON CONFLICT SET a = $1",
	} {
		if got := Dollars(query); got != want {
			t.Errorf("%q became %q, want %q", query, got, want)
		}
	}
}

func TestCode(t *testing.T) {
	server := func(code string) error { return fmt.Errorf("exec: %w", &pgconn.PgError{Code: code}) }
	for _, x := range []struct {
		name                    string
		err                     error
		want                    provenance.Code
		disconnected, contended bool
	}{
		{"full disk", server("53100"), provenance.Full, false, false},
		{"too many connections", server("53300"), provenance.Unavailable, false, false},
		{"lock not given", server("55P03"), provenance.Unavailable, false, false},
		{"cancelled", server("57014"), provenance.Unavailable, false, false},
		{"shut down", server("57P01"), provenance.Unavailable, true, false},
		{"connection lost", server("08006"), provenance.Unavailable, true, false},
		{"idle too long", server("25P03"), provenance.Unavailable, true, false},
		{"standby", server("25006"), provenance.Unavailable, true, false},
		{"serialization", server("40001"), provenance.Unavailable, false, true},
		{"deadlock", server("40P01"), provenance.Unavailable, false, true},
		{"our mistake", server("42601"), provenance.Internal, false, false},
		{"torn", sql.ErrConnDone, provenance.Unavailable, true, false},
		{"caller left", context.Canceled, provenance.Unavailable, false, false},
		{"anything else", errors.New("no"), provenance.Internal, false, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			if got := Code(x.err); got != x.want || IsDisconnected(x.err) != x.disconnected || IsContended(x.err) != x.contended {
				t.Errorf("%s, disconnected %t, contended %t", got, IsDisconnected(x.err), IsContended(x.err))
			}
			if err := Wrap(x.err, "read %s", "row"); provenance.CodeOf(err) != x.want || !errors.Is(err, x.err) || !strings.Contains(err.Error(), "read row") {
				t.Errorf("wrapped: %v", err)
			}
		})
	}
	if err := Wrap(nil, "read"); err != nil {
		t.Error(err)
	}
	coded := provenance.Errorf(provenance.Conflict, "moved")
	if err := Wrap(coded, "read"); !errors.Is(err, coded) || err.Error() != coded.Error() {
		t.Errorf("a code was lost: %v", err)
	}
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "what? 100% a#b.db") // a name that a URL would swallow
	options := FileOptions{Synchronous: "FULL", BusyTimeout: time.Millisecond, CacheKiB: 100, CheckpointPages: 10, Connections: 1}
	if err := CreateFile(path); err != nil {
		t.Fatal(err)
	}
	if err := CreateFile(path); provenance.CodeOf(err) != provenance.Conflict {
		t.Errorf("created twice: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	db, err := OpenFile(path, options)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "busy_timeout": "1", "wal_autocheckpoint": "10", "query_only": "0"} {
		var got string
		if err := db.QueryRowContext(t.Context(), `PRAGMA `+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q, want %q; %v", pragma, got, want, err)
		}
	}
	if _, err := db.ExecContext(t.Context(), `CREATE TABLE kept (n INTEGER)`); err != nil {
		t.Fatal(err)
	}
	options.ReadOnly = true
	reader, err := OpenFile(path, options)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	if _, err := reader.ExecContext(t.Context(), `INSERT INTO kept VALUES (1)`); err == nil {
		t.Error("a reader wrote")
	}
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() //nolint:errcheck // it wrote nothing
	if _, err := tx.ExecContext(t.Context(), `DELETE FROM kept`); err != nil {
		t.Fatal(err)
	}
	options.ReadOnly = false
	other, err := OpenFile(path, options)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	if _, err := other.ExecContext(t.Context(), `DELETE FROM kept`); Code(err) != provenance.Unavailable {
		t.Errorf("a busy file: %v", err)
	}
}

func TestReplaceFile(t *testing.T) {
	dir := t.TempDir()
	old, next := filepath.Join(dir, "old"), filepath.Join(dir, "next")
	for path, text := range map[string]string{old: "old", old + "-wal": "a log of the old one", next: "next"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(ReplaceFile(next, old), SyncDir(dir)); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(old); err != nil || string(b) != "next" {
		t.Errorf("%q, %v", b, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the old log would be taken for the new file's: %v, %v", entries, err)
	}
}

func TestURL(t *testing.T) {
	for url, want := range map[string]string{
		"postgres://me:hunter2@h/db":                                        "waybill_queue",
		"postgresql://me:hunter2@h/db?search_path=mine":                     "mine",
		"postgres://me:hunter2@h/db?search_path=a,b":                        "",
		"postgres://me:hunter2@h/db?search_path=" + strings.Repeat("a", 60): "", // no room for the suffix
		"postgres://me:hunter2@%zz/db":                                      "",
	} {
		s, err := ParseURL("queue", url, 10)
		switch {
		case want == "" && (provenance.CodeOf(err) != provenance.Invalid || strings.Contains(err.Error(), "hunter2")):
			t.Errorf("%v", err)
		case want != "" && (err != nil || s.Schema != want || s.In("x").Schema != "x" || s.Schema != want):
			t.Errorf("%+v, %v", s, err)
		}
		if !IsURL(url) || IsURL("/var/lib/waybill/postgres.db") {
			t.Error("a URL is taken for a path, or a path for a URL")
		}
	}
}

func TestReadAgain(t *testing.T) {
	for err, want := range map[error]int{sql.ErrConnDone: 2, sql.ErrNoRows: 1, nil: 1} {
		times := 0
		if got := ReadAgain(func() error { times++; return err }); !errors.Is(got, err) || times != want {
			t.Errorf("%v: read %d times, %v", err, times, got)
		}
	}
}
