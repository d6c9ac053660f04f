package fsck

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/follow"
	"github.com/waybill-dev/waybill/gateway/index"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/gateway/record/recordtest"
)

// peerOf is a chain: a peer whose blocks are these.
type peerOf []block.Block

// chain is the fake ledger's state as a chain: a block per segment, after one
// without any. It grows at its end.
func (b *installation) chain() peerOf {
	b.Ledger.Mu.Lock()
	defer b.Ledger.Mu.Unlock()
	if b.peer == nil {
		b.peer = peerOf{{Hash: []byte("0")}}
	}
	for _, key := range slices.Sorted(maps.Keys(b.Ledger.Segments)) {
		name := strings.Fields(strings.Trim(key, "[]"))
		seq, _ := strconv.ParseUint(name[2], 10, 64) // the submitter wrote it
		write := block.Write{Key: state.JournalKey(time.Time{}, provenance.Host(name[0]), "VendorMSP", name[1], seq), Value: b.Ledger.Segments[key]}
		if !slices.ContainsFunc(b.peer, func(on block.Block) bool { return len(on.Txs) > 0 && on.Txs[0].Writes[0].Key == write.Key }) {
			b.peer = b.peer.with(write)
		}
	}
	return b.peer
}

// with adds a block of one transaction.
func (p peerOf) with(writes ...block.Write) peerOf {
	last := p[len(p)-1]
	sum := sha256.Sum256(fmt.Append(nil, last.Hash, writes))
	return append(slices.Clone(p), block.Block{Number: last.Number + 1, Hash: sum[:], PreviousHash: last.Hash, Txs: []block.Tx{{
		ID: fmt.Sprint("tx", len(p)), Creator: policy.Person{MSP: "VendorMSP", Name: "gateway"}, At: time.UnixMilli(1_700_000_000_000), Writes: writes,
	}}})
}

func (p peerOf) Height(context.Context) (uint64, error) { return uint64(len(p)), nil }

// Blocks waits after the last one, as a peer does.
func (p peerOf) Blocks(ctx context.Context, from uint64, apply func(block.Block) error) error {
	for _, b := range p[from:] {
		if err := apply(b); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

// installation is a folder with a queue that worked, and an index of the same
// height.
type installation struct {
	*recordtest.Bench
	dir    string
	driver string
	index  string // where the index is
	peer   peerOf
	scope  scope
}

// installed makes one whose queue and index are in files, or on a server.
func installed(t *testing.T, url string) *installation {
	t.Helper()
	b := &installation{Bench: recordtest.New(t), driver: "sqlite"}
	b.dir = filepath.Dir(b.Path)
	b.index = filepath.Join(b.dir, "index.db")
	if url != "" {
		if err := b.Queue.Close(); err != nil {
			t.Fatal(err)
		}
		if err := queue.Create(t.Context(), url); err != nil {
			t.Fatal(err)
		}
		b.Path, b.driver, b.index = url, "pgx", url+"_index&synchronous_commit=off"
		b.Open()
	}
	for i := range 4 {
		b.Accept(recordtest.Pushes(fmt.Sprint("repo", i), 12)...)
	}
	b.Run(t.Context(), recordtest.Empty)
	b.indexed(b.chain())
	return b
}

// onQueues runs a test on each database that a queue can be in, both at once:
// what is tested waits for databases most of the time.
func onQueues(t *testing.T, test func(t *testing.T, fresh func(t *testing.T) *installation)) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, func(t *testing.T) *installation { return installed(t, "") })
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, func(t *testing.T) *installation {
			return installed(t, server.Schema(t))
		})
	})
}

// damage changes the queue's tables behind its back, while it is closed.
func (b *installation) damage(statements ...string) {
	b.T.Helper()
	if err := b.Queue.Close(); err != nil {
		b.T.Fatal(err)
	}
	spoil(b.T, b.driver, b.Path, statements...)
	b.Open()
}

func spoil(t *testing.T, driver, where string, statements ...string) {
	t.Helper()
	db, err := sql.Open(driver, where)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // a test's
	for _, s := range statements {
		result, err := db.ExecContext(t.Context(), s)
		if err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			t.Fatalf("%s: %d rows, %v: it damages nothing", s, n, err)
		}
	}
}

// removeDatabase removes a SQLite database with its side files.
func removeDatabase(path string) error {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (b *installation) indexed(blocks []block.Block) {
	b.T.Helper()
	err := index.Rebuild(b.T.Context(), b.index, func(x *index.Index) error {
		for _, block := range blocks {
			if err := x.Apply(b.T.Context(), block); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.T.Fatal(err)
	}
}

func (b *installation) fsckAt(peer follow.Source, repair bool) Report {
	b.T.Helper()
	c := &run{index: b.index, queue: b.Queue, peer: peer, log: slog.New(slog.DiscardHandler), stall: 5 * time.Second, scope: b.scope}
	if c.scope.msp == "" {
		c.scope.msp = "VendorMSP"
	}
	r, err := c.run(b.T.Context(), repair)
	if err != nil {
		b.T.Fatalf("%v\n%s", err, r)
	}
	if left, _ := filepath.Glob(filepath.Join(b.dir, "reindex.db*")); len(left) > 0 {
		b.T.Errorf("the index built for the comparison is left behind: %v", left)
	}
	return r
}

func (b *installation) fsck(repair bool) Report { return b.fsckAt(b.chain(), repair) }

// codes are those of the findings, sorted, each once.
func codes(r Report) []Code {
	var out []Code
	for _, f := range r.Findings {
		out = append(out, f.Code)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// wantFound wants just these kinds of differences, and that saying so changed nothing.
func (b *installation) wantFound(want ...Code) Report {
	b.T.Helper()
	before := b.fsck(false)
	slices.Sort(want)
	if got := codes(before); !slices.Equal(got, want) {
		b.T.Errorf("found %q, want %q\n%s", got, want, before)
	}
	if again := b.fsck(false); again.String() != before.String() {
		b.T.Errorf("without repair it has changed something:\n%s\n%s", before, again)
	}
	return before
}

// wantClean wants the differences, repairs them, and wants none after that.
func (b *installation) wantClean(want ...Code) {
	b.T.Helper()
	before := b.wantFound(want...)
	if r := b.fsck(true); r.Left() > 0 || len(r.Findings) != len(before.Findings) {
		b.T.Errorf("not all is repaired:\n%s", r)
	}
	for range 2 { // the second time as after a restart
		if r := b.fsck(false); len(r.Findings) > 0 {
			b.T.Errorf("after the repair:\n%s", r)
		}
		b.Reopen()
	}
}

// wantAll wants n events on the ledger, each once.
func (b *installation) wantAll(n int) {
	b.T.Helper()
	got := b.Ledger.Recordings(b.T)
	for id, times := range got {
		if times != 1 {
			b.T.Errorf("event %s stands %d times", id, times)
		}
	}
	if len(got) != n {
		b.T.Errorf("%d events on the ledger, want %d", len(got), n)
	}
}

// seal leaves open segments behind, sealed and not sent.
func (b *installation) seal() {
	b.T.Helper()
	b.Ledger.OnSubmit = func(int) error { return provenance.Errorf(provenance.Unavailable, "no orderer") }
	b.Run(b.T.Context(), func(s delivery.Stats) bool { return s.Sealed > 0 })
	b.Ledger.OnSubmit = nil
	b.Reopen()
}

func (b *installation) openSegments() (open []queue.Segment) {
	b.T.Helper()
	for lane := range b.Queue.Lanes() {
		s, err := b.Queue.Sealed(b.T.Context(), lane)
		if err != nil {
			b.T.Fatal(err)
		}
		if s != nil {
			open = append(open, *s)
		}
	}
	if len(open) == 0 {
		b.T.Fatal("no segment is open")
	}
	return open
}

// order brings the open segments onto the ledger.
func (b *installation) order() {
	b.T.Helper()
	for _, s := range b.openSegments() {
		if err := b.Ledger.Order(ledger.Endorsed{TxID: s.TxID, Bytes: s.Tx}); err != nil {
			b.T.Fatal(err)
		}
	}
}
