package pullclients

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/index"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/gateway/wait"
)

// purging is a peer whose clients are purged: the numbers of the segments, as
// they come. A number that is known was purged before.
type purging struct {
	known map[string]bool
	calls []string
	fails string // the number of a segment that cannot be purged now
}

func (p *purging) SubmitPrivate(_ context.Context, _ map[string][]byte, fn string, args ...string) (ledger.Result, error) {
	if fn != "record:PurgeClients" || args[0] != "registry.example" || args[1] != "main" || args[2] == p.fails {
		return ledger.Result{}, provenance.Errorf(provenance.Unavailable, "%s %q", fn, args)
	}
	p.calls = append(p.calls, args[2])
	if p.known[args[2]] {
		return ledger.Result{}, nil
	}
	p.known[args[2]] = true
	return ledger.Result{Block: 9}, nil
}

// retaining is an index of segments, one a block: of each what it holds,
// "private", "open" (a pull anybody may see) or "foreign" (a private one that
// another organisation recorded), and how many hours ago it was recorded.
func retaining(t *testing.T, kinds ...string) *index.Index {
	t.Helper()
	where := filepath.Join(t.TempDir(), "index.db")
	if err := index.Create(t.Context(), where); err != nil {
		t.Fatal(err)
	}
	x, err := index.Open(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.Close() })
	apply := func(number int, txs ...block.Tx) {
		b := block.Block{Number: uint64(number), Hash: fmt.Append(nil, "block ", number), Txs: txs}
		if number > 0 {
			b.PreviousHash = fmt.Append(nil, "block ", number-1)
		}
		if err := x.Apply(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	apply(0)
	for i, text := range kinds {
		var kind string
		var hours int
		if _, err := fmt.Sscan(text, &kind, &hours); err != nil {
			t.Fatal(err)
		}
		e := private("team/app", i).Event
		e.Address, e.UserAgent, e.Actor, e.Blind = "", "", "", provenance.SHA256Of([]byte(text))
		if kind == "open" {
			e.Blind = provenance.Digest{}
		}
		segment, err := provenance.EncodeSegment([]provenance.Event{e})
		if err != nil {
			t.Fatal(err)
		}
		by := policy.Person{MSP: "VendorMSP", Name: "gateway"}
		if kind == "foreign" {
			by.MSP = "AuditMSP"
		}
		apply(i+1, block.Tx{ID: fmt.Sprint("tx-", i), Creator: by, At: time.Now().Add(-time.Duration(hours) * time.Hour), Function: "record:Segment",
			Writes: []block.Write{{Key: state.JournalKey(time.Time{}, "registry.example", "VendorMSP", "main", uint64(i)), Value: segment}}})
	}
	return x
}

func newRetaining(t *testing.T, x *index.Index, p privateLedger, path string, keep time.Duration) *Retention {
	t.Helper()
	r, err := NewRetention(Retention{
		Index: x, Ledger: p, Waits: &wait.Reasons{}, Log: slog.New(slog.DiscardHandler), MSP: "VendorMSP", Path: path,
		Keep: map[provenance.Host]time.Duration{"registry.example": keep}, Purged: func() {},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.page, r.backoff = 2, time.Millisecond
	return r
}

// What is old is purged once, in the order of the ledger, by whom it belongs
// to. A segment that looks older than the one before waits for that one.
func TestRetention(t *testing.T) {
	x := retaining(t, "private 90", "open 80", "private 70", "foreign 60", "private 50", "private 20", "private 60", "private 10")
	path := filepath.Join(t.TempDir(), RetentionFile)
	p := &purging{known: map[string]bool{}, fails: "4"}
	r := newRetaining(t, x, p, path, 30*time.Hour)
	purged := 0
	r.Purged = func() { purged++ }
	expect := func(now time.Time, code provenance.Code, calls ...string) {
		t.Helper()
		p.calls = nil
		if err := r.pass(t.Context(), now); provenance.CodeOf(err) != code || !slices.Equal(p.calls, calls) {
			t.Errorf("purged %v, %v; want %v, %q", p.calls, err, calls, code)
		}
	}
	now := time.Now()
	expect(now, provenance.Unavailable, "0", "2")
	p.fails = ""
	expect(now, "", "4")
	expect(now, "")
	r = newRetaining(t, x, p, path, 30*time.Hour) // a restart
	expect(now.Add(11*time.Hour), "", "5", "6")
	if purged != 3 {
		t.Errorf("%d counted before the restart", purged)
	}
	r = newRetaining(t, x, p, filepath.Join(t.TempDir(), "lost"), 30*time.Hour)
	r.Purged = func() { t.Error("counted, and was purged before") }
	expect(now, "", "0", "2", "4")
}

func TestRetentionRuns(t *testing.T) {
	x := retaining(t, "private 2", "private 3")
	p := &purging{known: map[string]bool{}, fails: "1"}
	r := newRetaining(t, x, p, filepath.Join(t.TempDir(), RetentionFile), time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := r.Run(ctx); err == nil || r.Waits.Longest().Reason == "" || !slices.Equal(p.calls, []string{"0"}) {
		t.Errorf("%v, waits for %q, purged %v", err, r.Waits.Longest().Reason, p.calls)
	}
}

// What the disk made of the file, or somebody wrote there, stops no purging for good.
func TestRetentionFile(t *testing.T) {
	x := retaining(t, "private 90")
	for text, code := range map[string]provenance.Code{"null": "", "{}": "", "": provenance.Internal, "[": provenance.Internal} {
		path := filepath.Join(t.TempDir(), RetentionFile)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p := &purging{known: map[string]bool{}}
		r := &Retention{Index: x, Ledger: p, MSP: "VendorMSP", Path: path, page: 2, Keep: map[provenance.Host]time.Duration{"registry.example": time.Hour}, Purged: func() {}}
		if err := r.load(); provenance.CodeOf(err) != code || code != "" && !strings.Contains(err.Error(), "may be deleted") {
			t.Errorf("%q: %v, want %q", text, err, code)
		}
		if err := r.pass(t.Context(), time.Now()); err != nil || len(p.calls) != 1 {
			t.Errorf("%q: purged %v, %v", text, p.calls, err)
		}
	}
}
