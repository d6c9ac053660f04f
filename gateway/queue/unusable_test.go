package queue

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
)

func oddity(connector, body string) delivery.Unusable {
	return delivery.Unusable{
		Host: testHost, Connector: connector, Reason: "no digest", Hash: sha256.Sum256([]byte(body)), Size: int64(len(body)),
		Body: []byte(body), ReceivedAt: time.UnixMilli(1_700_000_000_000).UTC(),
	}
}

func listUnusable(t *testing.T, q *Queue, after int64, limit int) []delivery.Unusable {
	t.Helper()
	got, err := q.Unusable(t.Context(), after, limit)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func bodies(all []delivery.Unusable) (out []string) {
	for _, u := range all {
		out = append(out, fmt.Sprintf("%s %s x%d", u.Connector, u.Body, u.Times))
	}
	return out
}

// What cannot be used is on disk once it was accepted, as it came, and once
// however often it comes.
func TestUnusableIsKept(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		path := create(t)
		q := open(t, path, Options{Lanes: 1})
		first := oddity("main", "one")
		if err := q.AcceptUnusable(t.Context(), []delivery.Unusable{first}); err != nil {
			t.Fatal(err)
		}
		crash(t, q)
		q = open(t, path, Options{Lanes: 1})
		again := first
		again.ReceivedAt, again.Reason = first.ReceivedAt.Add(time.Minute), "still none"
		long := oddity("main", strings.Repeat("a", 2*delivery.MaxUnusable))
		empty := oddity("main", "")
		empty.Body = nil
		for _, u := range []delivery.Unusable{again, long, oddity("other", "one"), empty} {
			if err := q.AcceptUnusable(t.Context(), []delivery.Unusable{u}); err != nil {
				t.Fatal(err)
			}
		}
		got := listUnusable(t, q, 0, 10)
		want := first
		want.ID, want.Times, want.Reason, want.LastAt = got[0].ID, 2, "still none", again.ReceivedAt
		if diff := cmp.Diff(want, got[0]); diff != "" {
			t.Error(diff)
		}
		if len(got) != 4 || len(got[1].Body) != delivery.MaxUnusable || got[1].Size != int64(2*delivery.MaxUnusable) || got[2].Connector != "other" || got[3].Size != 0 {
			t.Errorf("%d are listed: %v", len(got), bodies(got))
		}
		if page := listUnusable(t, q, got[0].ID, 1); len(page) != 1 || page[0].ID != got[1].ID {
			t.Errorf("second page: %v", bodies(page))
		}
		if n, err := q.RemoveUnusable(t.Context(), got[0].ID, got[0].ID, 1<<40); n != 1 || err != nil {
			t.Errorf("removed %d, %v", n, err)
		}
		if n, err := q.RemoveUnusable(t.Context()); n != 3 || err != nil {
			t.Errorf("removed %d, %v", n, err)
		}
		if got := listUnusable(t, q, 0, 10); len(got) != 0 {
			t.Errorf("left: %v", bodies(got))
		}
		_, err := q.Unusable(t.Context(), 0, 1001)
		wantCode(t, err, provenance.Invalid)
	})
}

// A flood of one connector leaves the others theirs, and is counted.
func TestUnusableIsBounded(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		path := create(t)
		q := open(t, path, Options{Lanes: 1})
		q.writer.maxUnusable = 3
		if err := q.AcceptUnusable(t.Context(), []delivery.Unusable{oddity("calm", "a"), oddity("calm", "b")}); err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			if err := q.AcceptUnusable(t.Context(), []delivery.Unusable{oddity("noisy", fmt.Sprint(i))}); err != nil {
				t.Fatal(err)
			}
		}
		var calm, noisy []string
		for _, text := range bodies(listUnusable(t, q, 0, 100)) {
			if strings.HasPrefix(text, "calm") {
				calm = append(calm, text)
			} else {
				noisy = append(noisy, text)
			}
		}
		if diff := cmp.Diff([]string{"noisy 7 x1", "noisy 8 x1", "noisy 9 x1"}, noisy); diff != "" || len(calm) != 2 {
			t.Errorf("%v, %s", calm, diff)
		}
		crash(t, q)
		q = open(t, path, Options{Lanes: 1})
		counts, err := q.UnusableCounts(t.Context())
		want := map[string]delivery.UnusableCount{"calm": {Kept: 2}, "noisy": {Kept: 3, Dropped: 7}}
		if diff := cmp.Diff(want, counts); diff != "" || err != nil {
			t.Error(diff, err)
		}
		// One call that brings more than there is room for leaves the last room full.
		q.writer.maxUnusable = 3
		var many []delivery.Unusable
		for i := range 8 {
			many = append(many, oddity("burst", fmt.Sprint(i)))
		}
		if err := q.AcceptUnusable(t.Context(), many); err != nil {
			t.Fatal(err)
		}
		if counts, err := q.UnusableCounts(t.Context()); err != nil || counts["burst"] != (delivery.UnusableCount{Kept: 3, Dropped: 5}) {
			t.Errorf("%v, %v", counts, err)
		}
	})
}

// Nothing is acknowledged by a commit that failed, and a full disk takes nothing.
func TestUnusableIsNotPromised(t *testing.T) {
	path := createFile(t)
	q := open(t, path, Options{Lanes: 1})
	q.disk.at, q.disk.free = time.Time{}, func(string) (int64, error) { return 0, nil }
	wantCode(t, q.AcceptUnusable(t.Context(), []delivery.Unusable{oddity("main", "a")}), provenance.Full)
	q.disk = nil
	q.writer.commitFault = func() error { return bytes.ErrTooLarge }
	wantCode(t, q.AcceptUnusable(t.Context(), []delivery.Unusable{oddity("main", "a")}), provenance.Internal)
	crash(t, q)
	q = open(t, path, Options{Lanes: 1})
	if got := listUnusable(t, q, 0, 10); len(got) != 0 {
		t.Errorf("kept: %v", bodies(got))
	}
}

// A queue of version 4 gets its tables when it is opened, once.
func TestUpgradeFromVersion4(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		path := create(t)
		q := open(t, path, Options{Lanes: 1})
		accept(t, q, testDelivery("a", 0))
		old := `PRAGMA user_version = 4`
		if q.shared() {
			old = `UPDATE meta SET version = 4`
		}
		crash(t, q)
		db := tables(t, path)
		asVersion5(t, path, db)
		for _, s := range []string{`DROP TABLE unusable`, `DROP TABLE unusable_dropped`, old} {
			if _, err := db.ExecContext(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			q = open(t, path, Options{Lanes: 1})
			if got := listUnusable(t, q, 0, 10); len(got) != i {
				t.Errorf("opened for the %d. time: %v", i+1, bodies(got))
			}
			if err := q.AcceptUnusable(t.Context(), []delivery.Unusable{oddity("main", "a")}); err != nil {
				t.Fatal(err)
			}
			if got := accept(t, q, testDelivery("a", 0)); got.New != 0 {
				t.Error("a known event is new")
			}
			crash(t, q)
		}
	})
}
