package index

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

func TestRebuild(t *testing.T) {
	for name, place := range map[string]func(testing.TB) string{
		"sqlite":   func(t testing.TB) string { return filepath.Join(t.TempDir(), "index.db") },
		"postgres": newSchema,
	} {
		t.Run(name, func(t *testing.T) { testRebuild(t, place(t)) })
	}
}

func testRebuild(t *testing.T, where string) {
	c, other := randomChain(t, 15, 20), randomChain(t, 16, 9)
	fill := func(x *Index) error { return x.ApplyBatch(t.Context(), c.blocks) }
	fingerprintOf := func() string {
		x, err := Open(t.Context(), where)
		if err != nil {
			t.Fatal(err)
		}
		defer x.Close() //nolint:errcheck // a test's
		return fingerprint(t, x)
	}
	if err := Create(t.Context(), where); err != nil {
		t.Fatal(err)
	}
	old, err := Open(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(old.ApplyBatch(t.Context(), other.blocks), old.Close()); err != nil {
		t.Fatal(err)
	}
	before, broken := fingerprintOf(), errors.New("the peer went away")
	if err := Rebuild(t.Context(), where, func(x *Index) error { return errors.Join(x.Apply(t.Context(), c.blocks[0]), broken) }); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if fingerprintOf() != before {
		t.Error("a rebuild that failed changed the index")
	}
	if err := Rebuild(t.Context(), where, fill); err != nil {
		t.Fatal(err)
	}
	if fingerprintOf() != fingerprint(t, applied(t, createFile, c)) {
		t.Error("the rebuilt index is not the chain's")
	}
}

// Replicas that have the index open go on with the one that was put in its place.
func TestRebuildUnderReplicas(t *testing.T) {
	c := randomChain(t, 17, 30)
	where := newSchema(t)
	x := created(t, where)
	for _, b := range c.blocks[:20] {
		if err := x.Apply(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	answers(t, x) // all of its statements are known to the server
	err := Rebuild(t.Context(), where, func(beside *Index) error {
		if err := Rebuild(t.Context(), where, func(*Index) error { return nil }); provenance.CodeOf(err) != provenance.Conflict {
			t.Errorf("two rebuilds at once: %v", err)
		}
		return beside.ApplyBatch(t.Context(), c.blocks[:15])
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Apply(t.Context(), c.blocks[20]); !errors.Is(err, ErrMoved) {
		t.Fatalf("the next block: %v", err)
	}
	if n := follow(t, x, c, never); n != 15 {
		t.Errorf("%d blocks were applied, want 15", n)
	}
	answers(t, x)
	if fingerprint(t, x) != fingerprint(t, applied(t, createFile, c)) {
		t.Error("the index is not the chain's")
	}
}

// Whoever closed one may begin another at once: the server must not go on
// keeping others out until it notices that we hung up.
func TestClosedRebuildKeepsNobodyOut(t *testing.T) {
	where := newSchema(t)
	created(t, where)
	watcher, err := pgx.Connect(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // a test's
	for range 20 {
		r, err := NewReplacement(t.Context(), where)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		var locks int
		if err := watcher.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'`).Scan(&locks); err != nil || locks != 0 {
			t.Fatalf("%d locks are held still, %v", locks, err)
		}
	}
}

func TestOpenOnAServer(t *testing.T) {
	where := newSchema(t)
	if _, err := Open(t.Context(), where); provenance.CodeOf(err) != provenance.NotFound || !strings.Contains(err.Error(), "waybill-gateway init") {
		t.Errorf("none there: %v", err)
	}
	created(t, where)
	if err := Create(t.Context(), where); provenance.CodeOf(err) != provenance.Conflict {
		t.Errorf("create twice: %v", err)
	}
	foreign := newSchema(t)
	conn, err := pgx.Connect(t.Context(), foreign)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // a test's
	schema := conn.Config().RuntimeParams["search_path"]
	if _, err := conn.Exec(t.Context(), `CREATE SCHEMA `+schema+`; CREATE TABLE `+schema+`.meta (version INTEGER)`, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), foreign); provenance.CodeOf(err) != provenance.Conflict {
		t.Errorf("somebody else's tables: %v", err)
	}
	for url, want := range map[string]provenance.Code{
		"postgres://me:secret@nowhere.invalid:1/x":             provenance.Unavailable,
		"postgres://me:secret@/x?port=secret":                  provenance.Invalid,
		"postgres://me:secret@/x?search_path=A,secret":         provenance.Invalid,
		"postgresql://me:secret@127.0.0.1:1/x?sslmode=disable": provenance.Unavailable,
	} {
		for name, do := range map[string]func() error{
			"create": func() error { return Create(t.Context(), url) },
			"open":   func() error { _, err := Open(t.Context(), url); return err },
		} {
			if err := do(); provenance.CodeOf(err) != want || strings.Contains(err.Error(), ":secret") {
				t.Errorf("%s: %v (%s), want %s", name, err, provenance.CodeOf(err), want)
			}
		}
	}
}
