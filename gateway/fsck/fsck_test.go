package fsck

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/gateway/record/recordtest"
)

func TestFsckClean(t *testing.T) {
	b := installed(t, "")
	b.Accept(recordtest.Pushes("waiting", 3)...)
	r := b.fsck(false)
	if len(r.Findings) > 0 || r.Ledger.OwnEvents != 48 || r.Ledger.Events != 48 || r.Queue.Done != 48 || r.Queue.Waiting != 3 || r.Queue.Known != 51 ||
		r.Ledger.Height != r.Index.Height || r.Ledger.Hash != r.Index.Hash || r.Ledger.OwnSegments != int64(r.Ledger.Height)-1 || r.Index.Fingerprint == "" || r.Index.Fingerprint != r.Index.Rebuilt {
		t.Errorf("%s %+v", r, r)
	}
	b.Run(t.Context(), recordtest.Empty)
	if r := b.fsck(false); len(r.Findings) > 0 || len(r.Notes) != 1 || !strings.Contains(r.String(), "behind its peer") {
		t.Errorf("an index that has only to follow: %s", r)
	}
}

// A segment that is on its way is worth a note. Once it stands on the ledger,
// as after a crash between the commit and Recorded, it is closed.
func TestFsckOpenSegment(t *testing.T) {
	onQueues(t, func(t *testing.T, fresh func(t *testing.T) *installation) {
		b := fresh(t)
		b.Accept(recordtest.Pushes("repo0", 20)[12:]...)
		b.seal()
		if r := b.fsck(true); len(r.Findings) > 0 || len(r.Notes) == 0 || !strings.Contains(r.String(), "sends it again") {
			t.Errorf("an open segment: %s", r)
		}
		b.order()
		b.wantClean(QueueSegmentRecorded)
		b.Run(t.Context(), recordtest.Empty)
		b.wantAll(4*12 + 8)
	})
}

// The file of a backup is put back: the ledger has what it thinks is waiting,
// under numbers that it thinks are free. Repaired, it records what is new, and
// nothing twice.
func TestFsckOldCopy(t *testing.T) {
	for name, sealed := range map[string]bool{"waiting only": false, "with an open segment": true} {
		t.Run(name, func(t *testing.T) {
			b := installed(t, "")
			for i := range 4 {
				b.Accept(recordtest.Pushes(fmt.Sprint("repo", i), 24)[12:]...)
			}
			if sealed {
				b.seal()
			}
			backup := b.backup()
			if sealed { // it went on with other segments than those of the backup
				for _, s := range b.openSegments() {
					if err := b.Queue.Unseal(t.Context(), s); err != nil {
						t.Fatal(err)
					}
				}
				b.Recorder.Limits.Events = 3
			}
			late := recordtest.Pushes("late", 4) // accepted and recorded after the backup
			b.Accept(late...)
			b.Run(t.Context(), recordtest.Empty)
			b.restore(backup)
			b.Accept(recordtest.Pushes("repo0", 30)[24:]...)
			want := []Code{QueueItemRecorded, QueueNumber, QueueCount, QueueEventForgotten}
			if sealed {
				want = append(want, QueueSegmentSuperseded)
			}
			b.wantClean(want...)
			b.Accept(late...) // delivered again
			b.Run(t.Context(), recordtest.Empty)
			b.wantAll(4*24 + 6 + 4)
			if s, err := b.Queue.Stats(t.Context()); err != nil || s.Dead != 0 || s.Done != 4*24+6+4 {
				t.Errorf("%+v, %v", s, err)
			}
			if r := b.fsck(false); len(r.Findings) > 0 {
				t.Errorf("after the run:\n%s", r)
			}
		})
	}
}

// backup copies the closed queue's files, restore puts them back.
func (b *installation) backup() map[string][]byte {
	b.T.Helper()
	if err := b.Queue.Close(); err != nil {
		b.T.Fatal(err)
	}
	files := map[string][]byte{}
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(b.Path + suffix)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			b.T.Fatal(err)
		}
		if err == nil {
			files[suffix] = content
		}
	}
	b.Open()
	return files
}

func (b *installation) restore(files map[string][]byte) {
	b.T.Helper()
	if err := errors.Join(b.Queue.Close(), removeDatabase(b.Path)); err != nil {
		b.T.Fatal(err)
	}
	for suffix, content := range files {
		if err := os.WriteFile(b.Path+suffix, content, 0o600); err != nil {
			b.T.Fatal(err)
		}
	}
	b.Open()
}

// What stops an event that is on the ledger from being recorded again, where
// nobody runs fsck: its number is taken, by the same bytes, which is success, or
// by others, which makes a dead letter. Where the number is free nothing stops it.
func TestWithoutFsck(t *testing.T) {
	b := installed(t, "")
	backup := b.backup()
	more := recordtest.Pushes("repo0", 14)[12:]
	b.Accept(more...)
	b.Run(t.Context(), recordtest.Empty)
	b.restore(backup)
	b.Accept(more...)
	b.Run(t.Context(), recordtest.Empty)
	b.wantFound()
	b.restore(backup)
	b.Accept(more[1:]...)
	b.Run(t.Context(), recordtest.Empty)
	b.wantAll(4*12 + 2)
	if s, err := b.Queue.Stats(t.Context()); err != nil || s.Dead != 1 {
		t.Errorf("the old copy: %+v, %v", s, err)
	}
	b.wantClean(QueueItemRecorded, QueueCount, QueueEventForgotten)

	b = installed(t, "")
	b.replaceQueue()
	b.Accept(recordtest.Pushes("repo1", 2)...)
	b.Run(t.Context(), recordtest.Empty)
	if got := b.Ledger.Recordings(t)[recordtest.Pushes("repo1", 1)[0].Event.ID]; got != 2 {
		t.Errorf("a queue without memory recorded %d times what was delivered twice: if that is 1, something else prevents it, and the guide is wrong", got)
	}
	b.wantFound(LedgerTwice)
	if r := b.fsck(true); r.Left() != 2 {
		t.Errorf("the ledger cannot be repaired:\n%s", r)
	}
}

func (b *installation) replaceQueue() {
	b.T.Helper()
	if err := b.Queue.Close(); err != nil {
		b.T.Fatal(err)
	}
	b.Path = filepath.Join(b.dir, "new.db")
	if err := queue.Create(b.T.Context(), b.Path); err != nil {
		b.T.Fatal(err)
	}
	b.Open()
}

// A queue that was lost and made anew is sent the same again by its senders. It
// learns from the ledger what an earlier one recorded of its registries.
func TestFsckNewQueue(t *testing.T) {
	b := installed(t, "")
	b.replaceQueue()
	b.Accept(recordtest.Pushes("repo1", 15)...)
	b.wantClean(QueueItemRecorded)
	b.scope = scope{msp: "OtherMSP", hosts: map[provenance.Host]bool{recordtest.Host: true}}
	b.wantFound()
	b.scope = scope{msp: "VendorMSP", hosts: map[provenance.Host]bool{"other.example": true}}
	b.wantFound()
	b.scope = scope{msp: "VendorMSP", hosts: map[provenance.Host]bool{recordtest.Host: true}, forgets: time.Now()}
	b.wantFound()
	b.scope.forgets = time.Time{}
	b.wantClean(QueueEventForgotten)
	for i := range 4 {
		b.Accept(recordtest.Pushes(fmt.Sprint("repo", i), 12)...)
	}
	b.Run(t.Context(), recordtest.Empty)
	b.wantAll(4*12 + 3)
}

// What the ledger cannot prove is left for somebody to look at.
func TestFsckLeaves(t *testing.T) {
	b := installed(t, "")
	peer := b.chain()
	last := len(peer) - 1
	gap := slices.Clone(peer)
	gap[1].Txs = nil
	unread := slices.Clone(peer)
	unread = unread.with(block.Write{Key: state.JournalKey(time.Time{}, recordtest.Host, "VendorMSP", "another-0", 1), Value: []byte("of another version")})
	for name, c := range map[string]struct {
		peer  peerOf
		want  []Code
		index peerOf
	}{
		"rolled back":            {peer[:5], []Code{LedgerBehind, QueueCount, QueueEventLost}, peer[:5]}, // the fake ledger says block 7 of each commit
		"shorter":                {peer[:last], []Code{LedgerBehind, QueueCount, QueueEventLost}, peer[:last]},
		"a segment is gone":      {gap, []Code{LedgerGap, QueueCount, QueueEventLost}, gap},
		"a segment is not read":  {unread, []Code{LedgerUnreadable}, peer},
		"the index is ahead":     {peer[:last], []Code{IndexAhead, LedgerBehind, QueueCount, QueueEventLost}, peer},
		"the chain is torn":      {slices.Concat(peer[:3], peer[4:]), []Code{LedgerChain}, peer},
		"another block in place": {slices.Concat(peer[:3], peerOf{{Number: 3, PreviousHash: peer[2].Hash, Hash: []byte("x")}}, peer[4:]), []Code{LedgerChain}, peer},
	} {
		b.indexed(c.index)
		for range 2 {
			got := b.fsckAt(c.peer, true)
			if slices.Sort(c.want); !slices.Equal(codes(got), c.want) || got.Left() != len(got.Findings) {
				t.Errorf("%s: want %v left, got %v\n%s", name, c.want, codes(got), got)
			}
			for _, f := range got.Findings {
				if f.Next == "" || f.Thing == "" {
					t.Errorf("%s: it does not say what to do: %+v", name, f)
				}
			}
		}
	}
}

func TestFsckIndex(t *testing.T) {
	onQueues(t, func(t *testing.T, fresh func(t *testing.T) *installation) { testFsckIndex(t, fresh(t)) })
}

func testFsckIndex(t *testing.T, b *installation) {
	peer := b.chain()

	skipped := slices.Clone(peer)
	skipped[3].Txs = nil
	b.indexed(skipped)
	b.wantClean(IndexContents)

	other := slices.Clone(peer)
	other[len(other)-1].Hash = []byte("another")
	b.indexed(other)
	b.wantClean(IndexContents, IndexHash)

	damages := []string{
		`DELETE FROM kv WHERE key = (SELECT key FROM kv ORDER BY key LIMIT 1)`, `UPDATE records SET actor = 'somebody'`, `DELETE FROM txs WHERE block = 2`, `UPDATE meta SET height = height - 1`,
	}
	if b.driver != "sqlite" {
		damages = damages[2:] // a comparison on a server takes its time
	}
	for _, damage := range damages {
		spoil(t, b.driver, b.index, damage)
		if r := b.fsck(false); !strings.Contains(r.String(), "in a rebuild; ") && !strings.Contains(damage, "meta") {
			t.Errorf("%s: %s", damage, r)
		}
		if strings.Contains(damage, "meta") {
			b.wantClean(IndexContents, IndexHash)
		} else {
			b.wantClean(IndexContents)
		}
	}

	if b.driver != "sqlite" {
		db, err := sql.Open(b.driver, b.index)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close() //nolint:errcheck // a test's
		if _, err := db.ExecContext(t.Context(), `DROP TABLE meta`); err != nil {
			t.Fatal(err)
		}
		b.wantClean(IndexMissing)
		return
	}
	if err := removeDatabase(b.index); err != nil {
		t.Fatal(err)
	}
	b.wantClean(IndexMissing)
	if err := os.WriteFile(b.index, []byte("no database"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.wantClean(IndexMissing)
}

// The guide names every code.
func TestFsckGuide(t *testing.T) {
	guide, err := os.ReadFile("../../docs/guides/fsck.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("report.go")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\|").FindAllStringSubmatch(string(guide), -1)
	declared := regexp.MustCompile(`Code += "([a-z-]+)"`).FindAllStringSubmatch(string(source), -1)
	list := func(matches [][]string) (all []string) {
		for _, m := range matches {
			all = append(all, m[1])
		}
		slices.Sort(all)
		return all
	}
	if diff := cmp.Diff(list(declared), list(named)); diff != "" || len(declared) < 10 {
		t.Errorf("codes and the guide's: %s", diff)
	}
}
