package faults

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/fsck"
	"github.com/waybill-dev/waybill/test/lab"
	"github.com/waybill-dev/waybill/test/postgres"
)

// TestFsck damages a gateway's databases by hand between two runs of it.
func TestFsck(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	l := start(t, ctx)
	const repo, each = "faults/fsck", 40
	if err := l.PushBlob(ctx, repo); err != nil {
		t.Fatal(err)
	}
	pushed := 0
	push := func() {
		t.Helper()
		for range each {
			if _, err := l.PushImage(ctx, repo, fmt.Sprintf("t%d", pushed%7), fmt.Sprint("image ", pushed)); err != nil {
				t.Fatal(err)
			}
			pushed++
		}
		// Every event once, on another organisation's peer.
		err := lab.Poll(ctx, time.Minute, func() error {
			j, err := l.ReadJournal(ctx, "security", repo)
			if err == nil && len(j.Pushes) < pushed {
				err = fmt.Errorf("%d of %d events are recorded", len(j.Pushes), pushed)
			}
			for id, n := range j.Pushes {
				if n != 1 {
					t.Fatalf("event %s stands %d times", id, n)
				}
			}
			return err
		})
		if err := errors.Join(err, l.Settle(ctx)); err != nil {
			t.Fatal(err)
		}
	}
	push()
	if r, code := runFsck(t, ctx, l); code != 2 {
		t.Fatalf("beside the running gateway: exit %d, %s", code, r)
	}
	if err := l.StopGateway(lab.Owner); err != nil {
		t.Fatal(err)
	}
	// Another organisation's gateway may have moved the ledger's clock since.
	same := func(r fsck.Report) bool { return r.Ledger.Hash == r.Index.Hash || r.Ledger.Height > r.Index.Height }
	if r, code := runFsck(t, ctx, l); code != 0 || len(r.Findings) > 0 || r.Ledger.OwnEvents != each || r.Queue.Done != each || !same(r) {
		t.Fatalf("after pushes: exit %d\n%s", code, r)
	}

	damage(t, ctx, l, "index.db", `DELETE FROM kv WHERE key = (SELECT max(key) FROM kv)`, `UPDATE records SET actor = 'somebody else' WHERE kind = 'push'`)
	damage(t, ctx, l, "queue.db", `UPDATE meta SET done = done + 1`, `UPDATE lanes SET next = 1`, `DELETE FROM seen`)
	e := recordedEvent(t, ctx, l)
	one, err := provenance.EncodeSegment([]provenance.Event{e})
	if err != nil {
		t.Fatal(err)
	}
	damage(t, ctx, l, "queue.db", fmt.Sprintf(`INSERT INTO items (state, lane, repo, connector, event, body, received, attempts, due, reason)
		SELECT 0, lane, id, 'main', x'%x', x'00', 1, 0, 0, '' FROM repositories WHERE name = '%s'`, one, e.Repository))

	want := []fsck.Code{fsck.IndexContents, fsck.QueueCount, fsck.QueueEventForgotten, fsck.QueueItemRecorded, fsck.QueueNumber}
	r, code := runFsck(t, ctx, l)
	t.Logf("after the damage: exit %d\n%s", code, r)
	var got []fsck.Code
	for _, f := range r.Findings {
		got = append(got, f.Code)
	}
	slices.Sort(got)
	if got = slices.Compact(got); !slices.Equal(got, want) || code != 1 {
		t.Errorf("exit %d, found %q, want %q", code, got, want)
	}
	if again, code := runFsck(t, ctx, l); code != 1 || len(again.Findings) != len(r.Findings) {
		t.Errorf("without --repair something was repaired: exit %d\n%s", code, again)
	}
	if r, code := runFsck(t, ctx, l, "--repair"); code != 0 || r.Left() > 0 {
		t.Fatalf("--repair: exit %d\n%s", code, r)
	}
	if r, code := runFsck(t, ctx, l); code != 0 || len(r.Findings) > 0 {
		t.Fatalf("after the repair: exit %d\n%s", code, r)
	}
	if err := l.StartGateway(ctx, lab.Owner); err != nil {
		t.Fatal(err)
	}
	push()
	if err := l.StopGateway(lab.Owner); err != nil {
		t.Fatal(err)
	}
	if r, code := runFsck(t, ctx, l); code != 0 || len(r.Findings) > 0 || r.Queue.Done != int64(pushed) {
		t.Fatalf("after the gateway went on: exit %d\n%s", code, r)
	}
	loseDatabases(t, ctx, l, pushed)
	t.Run("PostgreSQL", func(t *testing.T) { fsckOnServer(t, ctx, l, push) })
}

// fsckOnServer does the same to a queue that replicas share.
func fsckOnServer(t *testing.T, ctx context.Context, l *lab.Lab, push func()) {
	server := postgres.Start(t)
	file := filepath.Join(t.TempDir(), "url")
	if err := errors.Join(os.WriteFile(file, []byte(server.URL()), 0o600), os.RemoveAll(filepath.Join(data(l), "data"))); err != nil {
		t.Fatal(err)
	}
	t.Setenv("WAYBILL_QUEUE_URL_FILE", file)
	if err := l.StartGateway(ctx, lab.Owner); err != nil {
		t.Fatal(err)
	}
	push()
	if r, code := runFsck(t, ctx, l); code != 2 {
		t.Errorf("beside a running replica: exit %d\n%s", code, r)
	}
	push()
	if err := l.KillGateway(lab.Owner); err != nil {
		t.Fatal(err)
	}
	// The dead one's lanes are waited for. What the queue before recorded is not known to this one.
	if r, code := runFsck(t, ctx, l, "--repair"); code != 0 || len(r.Findings) != 1 || r.Findings[0].Code != fsck.QueueEventForgotten {
		t.Fatalf("after kill -9: exit %d\n%s", code, r)
	}
	spoil(t, ctx, "pgx", server.URL()+"&search_path=waybill_queue", `UPDATE meta SET done = 0`, `UPDATE lanes SET next = 1 WHERE next > 1`, `DELETE FROM seen`)
	if r, code := runFsck(t, ctx, l); code != 1 || len(r.Findings) < 3 {
		t.Errorf("after the damage: exit %d\n%s", code, r)
	}
	if r, code := runFsck(t, ctx, l, "--repair"); code != 0 {
		t.Errorf("--repair: exit %d\n%s", code, r)
	}
	if r, code := runFsck(t, ctx, l); code != 0 || len(r.Findings) > 0 {
		t.Errorf("after the repair: exit %d\n%s", code, r)
	}
}

// loseDatabases makes new ones, and lets the queue learn what the lost one knew.
func loseDatabases(t *testing.T, ctx context.Context, l *lab.Lab, recorded int) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(data(l), "data")); err != nil {
		t.Fatal(err)
	}
	if r, code := runFsck(t, ctx, l); code != 2 {
		t.Fatalf("without a queue: exit %d\n%s", code, r)
	}
	if out, err := exec.CommandContext(ctx, filepath.Join(l.Bin, "waybill-gateway"), "init", "--config", filepath.Join(data(l), "config.yaml")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if r, code := runFsck(t, ctx, l, "--repair"); code != 0 || len(r.Findings) != 1 || r.Findings[0].Code != fsck.QueueEventForgotten || !r.Findings[0].Repaired {
		t.Fatalf("a new queue: exit %d\n%s", code, r)
	}
	if r, code := runFsck(t, ctx, l); code != 0 || len(r.Findings) > 0 || r.Queue.Known != int64(recorded) {
		t.Fatalf("the new queue knows %d of %d events: exit %d\n%s", r.Queue.Known, recorded, code, r)
	}
}

func data(l *lab.Lab) string {
	return filepath.Join(l.Dir, "network", "orgs", lab.Owner, "gateway")
}

// runFsck runs the command and returns its report, empty where it made none.
func runFsck(t *testing.T, ctx context.Context, l *lab.Lab, args ...string) (r fsck.Report, code int) {
	t.Helper()
	cmd := exec.CommandContext(ctx, filepath.Join(l.Bin, "waybill-gateway"), append([]string{"fsck", "-o", "json", "--config", filepath.Join(data(l), "config.yaml")}, args...)...)
	var out, progress bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &progress
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	code = cmd.ProcessState.ExitCode()
	if code != 2 {
		if err := json.Unmarshal(out.Bytes(), &r); err != nil {
			t.Fatalf("exit %d: %v\n%s", code, err, out.Bytes())
		}
	}
	t.Logf("waybill-gateway fsck %v: exit %d\n%s", args, code, progress.String())
	return r, code
}

func damage(t *testing.T, ctx context.Context, l *lab.Lab, file string, statements ...string) {
	t.Helper()
	spoil(t, ctx, "sqlite", filepath.Join(data(l), "data", file), statements...)
}

func spoil(t *testing.T, ctx context.Context, driver, where string, statements ...string) {
	t.Helper()
	db, err := sql.Open(driver, where)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }() // everything was committed before
	for _, s := range statements {
		result, err := db.ExecContext(ctx, s)
		if err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			t.Fatalf("%s: %d rows, %v", s, n, err)
		}
	}
}

// recordedEvent is one that stands on the ledger.
func recordedEvent(t *testing.T, ctx context.Context, l *lab.Lab) (e provenance.Event) {
	t.Helper()
	c, err := l.Dial(lab.Owner, "auditor")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }() // only read from
	found := errors.New("found")
	err = c.Blocks(ctx, 0, func(b block.Block) error {
		for _, tx := range b.Txs {
			for _, w := range tx.Writes {
				if kind, _, _ := state.SplitKey(w.Key); kind != state.TypeJournal {
					continue
				}
				events, err := provenance.DecodeSegment(w.Value)
				if err != nil {
					return err
				}
				e = events[0]
				return found
			}
		}
		return nil
	})
	if !errors.Is(err, found) {
		t.Fatal(err)
	}
	return e
}
