package queue

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

func audit(t *testing.T, q *Queue) (Audit, []AuditItem) {
	t.Helper()
	var items []AuditItem
	a, err := q.Audit(t.Context(), func(it AuditItem) error {
		items = append(items, it)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return a, items
}

func known(t *testing.T, q *Queue) []provenance.EventID {
	t.Helper()
	var ids []provenance.EventID
	err := q.KnownIDs(t.Context(), func(id provenance.EventID) error {
		ids = append(ids, id)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func TestAuditAndConfirm(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		path := create(t)
		q := open(t, path, Options{Lanes: 1})
		accept(t, q, deliveries("a", 0, 2500)...)
		seal := func(seq uint64, n int) Segment {
			items := lease(t, q, 0, n)
			s := segment(q, 0, seq, items)
			if err := q.Seal(t.Context(), s, items); err != nil {
				t.Fatal(err)
			}
			return s
		}
		if err := q.Recorded(t.Context(), seal(1, 100), 9); err != nil {
			t.Fatal(err)
		}
		s := seal(2, 3)
		dead := lease(t, q, 0, 1)[0]
		if err := q.DeadLetter(t.Context(), dead, "test"); err != nil {
			t.Fatal(err)
		}
		a, items := audit(t, q)
		if a.Waiting != 2396 || a.Sealed != 3 || a.Dead != 1 || a.Done != 100 || len(a.Faults) > 0 || len(items) != 2400 || a.Reasons["test"] != 1 {
			t.Fatalf("%+v, %d items", a, len(items))
		}
		if !slices.IsSortedFunc(items, func(a, b AuditItem) int { return int(a.ID - b.ID) }) || items[0].State != StateSealed || items[3].State != StateDead || items[3].Host != dead.Host {
			t.Errorf("items: %+v", items[:4])
		}
		if len(a.Lanes) != 1 || a.Lanes[0].Next != 2 || a.Lanes[0].Block != 9 || a.Lanes[0].Open == nil || a.Lanes[0].Open.TxID != s.TxID || a.Lanes[0].Name != q.LaneName(0) {
			t.Errorf("lanes: %+v", a.Lanes)
		}
		ids := known(t, q)
		if len(ids) != 2500 || !slices.IsSortedFunc(ids, func(a, b provenance.EventID) int { return slices.Compare(a[:], b[:]) }) || ids[0] == ids[1] {
			t.Errorf("%d ids are known", len(ids))
		}
		// One sealed, one waiting, one dead, one that is not there: two are taken.
		n, err := q.Confirm(t.Context(), []int64{items[0].ID, dead.ID, items[4].ID, 1 << 40})
		if err != nil || n != 2 {
			t.Fatalf("confirmed %d, %v", n, err)
		}
		if s := stats(t, q); s.Pending != 2395 || s.Sealed != 3 || s.Dead != 0 || s.Done != 100 {
			t.Errorf("stats %+v", s)
		}
		if got := accept(t, q, deliveries("a", 0, 2500)...); got.Duplicate != 2500 {
			t.Errorf("a confirmed event is not known any more: %+v", got)
		}
		if err := q.SetDone(t.Context(), 7); err != nil {
			t.Fatal(err)
		}
		crash(t, q)
		q = open(t, path, Options{Lanes: 1})
		if s := stats(t, q); s.Pending != 2395 || s.Done != 7 {
			t.Errorf("after a restart: stats %+v", s)
		}
	})
}

// Bind puts right which items are the open segment's.
func TestBind(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		q := open(t, create(t), Options{Lanes: 1})
		accept(t, q, deliveries("a", 0, 9)...)
		if err := q.Bind(t.Context(), 0, []int64{1}); provenance.CodeOf(err) != provenance.Conflict {
			t.Errorf("no segment is open, and items are bound to it: %v", err)
		}
		items := lease(t, q, 0, 4)
		s := segment(q, 0, 1, items)
		if err := q.Seal(t.Context(), s, items); err != nil {
			t.Fatal(err)
		}
		others := lease(t, q, 0, 2)
		want := []int64{items[0].ID, items[1].ID, others[1].ID}
		if err := q.Bind(t.Context(), 0, want); err != nil {
			t.Fatal(err)
		}
		sealed := func() (ids []int64) {
			_, all := audit(t, q)
			for _, it := range all {
				if it.State == StateSealed {
					ids = append(ids, it.ID)
				}
			}
			return ids
		}
		if diff := cmp.Diff(want, sealed()); diff != "" {
			t.Error(diff)
		}
		if s := stats(t, q); s.Sealed != 3 || s.Pending != 6 {
			t.Errorf("stats %+v", s)
		}
		if err := q.Bind(t.Context(), 0, nil); err != nil || len(sealed()) != 0 {
			t.Errorf("%v, sealed %v", err, sealed())
		}
	})
}

// A forgotten id that is noted again keeps every body out.
func TestMarkKnown(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		q := open(t, create(t), Options{Lanes: 1})
		ds := deliveries("a", 0, 3)
		accept(t, q, ds[0])
		if err := q.MarkKnown(t.Context(), []provenance.EventID{ds[0].Event.ID, ds[1].Event.ID}); err != nil {
			t.Fatal(err)
		}
		ds[1].BodyHash[0]++
		if got := accept(t, q, ds...); got.New != 1 || got.Duplicate != 2 {
			t.Errorf("%+v", got)
		}
		ds[0].BodyHash[0]++
		if _, err := q.Accept(t.Context(), ds[:1]); provenance.CodeOf(err) != provenance.Conflict {
			t.Errorf("an id that was known with its body takes another: %v", err)
		}
	})
}

// What cannot be is named.
func TestAuditFaults(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		for damage, want := range map[string]struct {
			text  string
			items int
		}{
			`UPDATE items SET event = body WHERE id = 2`: {"item 2: its event cannot be read", 4},
			`UPDATE repositories SET lane = 1`:           {"item 1: it is in lane 0, its repository in lane 1", 5},
			`DELETE FROM repositories`:                   {"item 1: its repository is missing", 5},
			`UPDATE items SET state = 5 WHERE id = 3`:    {"item 3: there is no state 5", 4},
		} {
			q := open(t, create(t), Options{Lanes: 1})
			accept(t, q, deliveries("a", 0, 5)...)
			if err := q.writer.do(t.Context(), &op{rows: 1, run: func(b *batch) error { return b.w.exec(b.ctx, damage) }}); err != nil {
				t.Fatal(err)
			}
			a, items := audit(t, q)
			var got []string
			for _, f := range a.Faults {
				got = append(got, f.Thing+": "+f.Text)
			}
			if !strings.Contains(strings.Join(got, "\n"), want.text) || len(items) != want.items {
				t.Errorf("%s: want %d items and a fault with %q, got %d and %q", damage, want.items, want.text, len(items), got)
			}
			crash(t, q)
		}
	})
}

// Exclusive refuses while another is at work, takes the lanes of the dead, and
// disturbs nobody by asking.
func TestExclusive(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		path := create(t)
		other := open(t, path, Options{Lanes: 4, LaneTTL: minLaneTTL})
		options := Options{Lanes: 4, LaneTTL: minLaneTTL, Exclusive: true}
		if _, err := Open(t.Context(), path, options); provenance.CodeOf(err) != provenance.Conflict {
			t.Errorf("opened beside another: %v", err)
		}
		for lane := range 4 {
			if !other.holds(lane) {
				t.Errorf("lane %d was taken by who only asked", lane)
			}
		}
		if other.shared() { // it dies without a word
			other.cancel()
			other.loops.Wait()
		} else {
			crash(t, other)
		}
		start := time.Now()
		q := open(t, path, options)
		for lane := range 4 {
			if !q.holds(lane) {
				t.Errorf("after %s lane %d is not held", time.Since(start), lane)
			}
		}
	})
}
