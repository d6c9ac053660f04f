package queue

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

const testHost = provenance.Host("registry.example.com")

func testDelivery(repo string, n int) delivery.Delivery {
	name := fmt.Sprintf("%s/%d", repo, n)
	return delivery.Delivery{
		Host: testHost, Connector: "main",
		Event: provenance.Event{
			ID: provenance.NewEventID("test", "main", name), Action: provenance.Push, Source: "distribution",
			Repository: provenance.Repository(repo), Tag: "v1", Digest: provenance.SHA256Of([]byte(name)),
			OccurredAt: time.UnixMilli(1_700_000_000_000 + int64(n)).UTC(),
		},
		BodyHash:   sha256.Sum256([]byte(name)),
		ReceivedAt: time.UnixMilli(1_700_000_000_500).UTC(),
	}
}

func deliveries(repo string, from, to int) []delivery.Delivery {
	var ds []delivery.Delivery
	for n := from; n < to; n++ {
		ds = append(ds, testDelivery(repo, n))
	}
	return ds
}

func open(t testing.TB, path string, options Options) *Queue {
	t.Helper()
	if options.MinFreeBytes == 0 {
		options.MinFreeBytes = 1
	}
	q, err := Open(t.Context(), path, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	return q
}

// crash drops the queue as a dying process would: nothing is flushed or closed
// but the lock and the handles that the kernel would take back.
func crash(t *testing.T, q *Queue) {
	t.Helper()
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
}

func accept(t testing.TB, q *Queue, ds ...delivery.Delivery) delivery.Accepted {
	t.Helper()
	a, err := q.Accept(t.Context(), ds)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func lease(t testing.TB, q *Queue, lane, n int) []Item {
	t.Helper()
	items, err := q.Lease(t.Context(), lane, n, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return items
}

func wantCode(t *testing.T, err error, code provenance.Code) {
	t.Helper()
	if provenance.CodeOf(err) != code {
		t.Fatalf("error %v, want code %s", err, code)
	}
}

func stats(t *testing.T, q *Queue) delivery.Stats {
	t.Helper()
	s, err := q.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCreateAndOpenRefuse(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		path := create(t)
		wantCode(t, Create(t.Context(), path), provenance.Conflict)
		_, err := Open(t.Context(), path+"_absent", Options{})
		wantCode(t, err, provenance.NotFound)
		open(t, path, Options{})
		if !sqldb.IsURL(path) { // a file has one owner
			_, err = Open(t.Context(), path, Options{})
			wantCode(t, err, provenance.Conflict)
		}
		_, err = Open(t.Context(), create(t), Options{Lanes: 65})
		wantCode(t, err, provenance.Invalid)
	})
}

func TestAcceptedSurvivesReopen(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		path := create(t)
		q := open(t, path, Options{Lanes: 1})
		want := deliveries("team/app", 0, 70) // more than one multi-row insert
		if got := accept(t, q, want...); got != (delivery.Accepted{New: 70}) {
			t.Fatalf("accepted %+v", got)
		}
		if got := lease(t, q, 0, 10); len(got) != 10 {
			t.Fatalf("leased %d", len(got))
		}
		crash(t, q)
		q = open(t, path, Options{Lanes: 1}) // leases die with the process
		var got []delivery.Delivery
		for _, it := range lease(t, q, 0, 1000) {
			got = append(got, it.Delivery)
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b provenance.Digest) bool { return a == b })); diff != "" {
			t.Fatal(diff)
		}
		if s := stats(t, q); s.Pending != 70 || !s.OldestPending.Equal(want[0].ReceivedAt) {
			t.Fatalf("stats %+v", s)
		}
	})
}

func TestDuplicateAndConflict(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		q := open(t, create(t), Options{Lanes: 1})
		accept(t, q, testDelivery("a", 1))
		if got := accept(t, q, testDelivery("a", 1), testDelivery("a", 2), testDelivery("a", 2)); got != (delivery.Accepted{New: 1, Duplicate: 2}) {
			t.Fatalf("accepted %+v", got)
		}
		lie := testDelivery("a", 1)
		lie.BodyHash[15] ^= 1
		_, err := q.Accept(t.Context(), []delivery.Delivery{testDelivery("a", 3), lie})
		wantCode(t, err, provenance.Conflict)
		if s := stats(t, q); s.Pending != 2 {
			t.Fatalf("a refused call left %d items, want 2", s.Pending)
		}
		if got := accept(t, q, testDelivery("a", 3)); got.New != 1 {
			t.Fatal("the event of a refused call is taken for a duplicate: it would be lost")
		}
		bad := testDelivery("a", 4)
		bad.Event.Repository = "NO REPOSITORY"
		_, err = q.Accept(t.Context(), []delivery.Delivery{bad})
		wantCode(t, err, provenance.Invalid)
	})
}

func TestFull(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		q := open(t, create(t), Options{Lanes: 1, MaxPending: 3})
		accept(t, q, deliveries("a", 0, 2)...)
		_, err := q.Accept(t.Context(), deliveries("a", 2, 4))
		wantCode(t, err, provenance.Full)
		accept(t, q, testDelivery("a", 2))
		accept(t, q, testDelivery("a", 2)) // a duplicate needs no room
		_, err = q.Accept(t.Context(), deliveries("a", 3, 4))
		wantCode(t, err, provenance.Full)
	})
}

func TestDiskLow(t *testing.T) {
	q := open(t, createFile(t), Options{Lanes: 1, MinFreeBytes: 100})
	free, looked, now := int64(99), 0, time.Now()
	q.disk.free = func(string) (int64, error) { looked++; return free, nil }
	q.now = func() time.Time { return now }
	for range 3 {
		_, err := q.Accept(t.Context(), deliveries("a", 0, 1))
		wantCode(t, err, provenance.Full)
	}
	if looked != 1 {
		t.Fatalf("looked %d times within a second", looked)
	}
	free, now = 100, now.Add(time.Second)
	accept(t, q, testDelivery("a", 0))
}

// A failed fsync reaches every caller that shared the commit, and the queue
// does not go on as if the disk were sound.
func TestFailedCommitIsNeverAcknowledged(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		path := create(t)
		q := open(t, path, Options{Lanes: 1})
		accept(t, q, testDelivery("a", 0))
		q.writer.do(t.Context(), &op{rows: 1, run: func(b *batch) error { //nolint:errcheck // sets the fault in the writer's goroutine
			b.w.commitFault = func() error { return errors.New("fsync: input/output error") }
			return nil
		}})
		var wg sync.WaitGroup
		for n := range 50 {
			wg.Go(func() {
				_, err := q.Accept(context.Background(), []delivery.Delivery{testDelivery("a", n+1)})
				if provenance.CodeOf(err) != provenance.Internal {
					t.Errorf("accept %d after a broken disk: %v", n, err)
				}
			})
		}
		wg.Wait()
		_, err := q.Lease(t.Context(), 0, 1, time.Second)
		wantCode(t, err, provenance.Internal)
		crash(t, q)
		q = open(t, path, Options{Lanes: 1})
		if s := stats(t, q); s.Pending != 1 {
			t.Fatalf("%d pending after reopening, want the one that was acknowledged", s.Pending)
		}
	})
}

func TestClosed(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		q := open(t, create(t), Options{Lanes: 1})
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		_, err := q.Accept(t.Context(), []delivery.Delivery{testDelivery("a", 0)})
		wantCode(t, err, provenance.Unavailable)
	})
}

// The items of a repository keep their order when their lane changes, when newer
// ones come after that, and when the oldest were numbered as they arrived.
func TestOrderOutlivesNumbers(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		path := create(t)
		q := open(t, path, Options{Lanes: 8})
		for n := range 3 {
			for r := range 20 {
				accept(t, q, testDelivery(fmt.Sprintf("r%d", r), n))
			}
		}
		if !q.shared() {
			err := q.writer.do(t.Context(), &op{run: func(b *batch) error {
				_, err := b.w.conn.ExecContext(b.ctx, fmt.Sprintf(`
					CREATE TEMP TABLE arrived AS SELECT id, row_number() OVER (ORDER BY id %% %d, lane) AS n FROM items;
					UPDATE items SET id = (SELECT n FROM arrived WHERE arrived.id = items.id);
					DROP TABLE arrived`, laneNumbers))
				return err
			}})
			if err != nil {
				t.Fatal(err)
			}
		}
		for i, lanes := range []int{8, 3, 5} {
			crash(t, q)
			q = open(t, path, Options{Lanes: lanes})
			for r := range 20 {
				accept(t, q, testDelivery(fmt.Sprintf("r%d", r), 3+i))
			}
		}
		total := 0
		for lane := range 5 {
			last, items := map[provenance.Repository]time.Time{}, lease(t, q, lane, 1000)
			for _, it := range items {
				if !it.Event.OccurredAt.After(last[it.Event.Repository]) {
					t.Errorf("%s: an event of %s comes after a later one", it.Event.Repository, it.Event.OccurredAt)
				}
				last[it.Event.Repository] = it.Event.OccurredAt
			}
			total += len(items)
		}
		if total != 120 {
			t.Errorf("%d items, want 120", total)
		}
	})
}

func TestChangeLanes(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		path := create(t)
		q := open(t, path, Options{Lanes: 8})
		name := q.LaneName(0)
		for r := range 40 {
			accept(t, q, deliveries(fmt.Sprintf("r%d", r), 0, 3)...)
		}
		crash(t, q)
		q = open(t, path, Options{Lanes: 3})
		if q.LaneName(0) != name {
			t.Fatal("the database changed its name")
		}
		total := 0
		for lane := range 3 {
			items := lease(t, q, lane, 1000)
			for _, it := range items {
				if laneOf(it.Host, it.Event.Repository, 3) != lane {
					t.Fatalf("%s is in lane %d", it.Event.Repository, lane)
				}
			}
			total += len(items)
			if lane == 0 {
				seal(t, q, 0, 1, items)
			}
		}
		if total != 120 {
			t.Fatalf("%d items after the change, want 120", total)
		}
		crash(t, q)
		_, err := Open(t.Context(), path, Options{Lanes: 4})
		wantCode(t, err, provenance.Invalid) // an open segment pins the lanes
		open(t, path, Options{Lanes: 3})
	})
}
