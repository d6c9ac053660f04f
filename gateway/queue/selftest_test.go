package queue

import (
	"errors"
	"os"
	"sync"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
)

// What was tried is answered as what was accepted is, and nothing of it stands.
func TestSelfTestLeavesNothing(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		path := create(t)
		q := open(t, path, Options{Lanes: 1})
		accept(t, q, testDelivery("a", 0))
		try := func(want delivery.Accepted, ds ...delivery.Delivery) {
			t.Helper()
			if got, err := q.SelfTest(t.Context(), ds); err != nil || got != want {
				t.Fatalf("tried %+v, %v; want %+v", got, err, want)
			}
			if s := stats(t, q); s.Pending != 1 || s.Done != 0 || s.Dead != 0 {
				t.Fatalf("a self-test is left: %+v", s)
			}
		}
		try(delivery.Accepted{})
		try(delivery.Accepted{New: 2, Duplicate: 1}, testDelivery("a", 1), testDelivery("new", 1), testDelivery("a", 1))
		try(delivery.Accepted{New: 1, Duplicate: 1}, testDelivery("a", 0), testDelivery("a", 1))
		lie := testDelivery("a", 0)
		lie.BodyHash[15] ^= 1
		_, err := q.SelfTest(t.Context(), []delivery.Delivery{testDelivery("a", 1), lie})
		wantCode(t, err, provenance.Conflict)
		try(delivery.Accepted{New: 1}, testDelivery("a", 1))
		if items := lease(t, q, 0, 10); len(items) != 1 || items[0].Event.ID != testDelivery("a", 0).Event.ID {
			t.Fatalf("leased %+v", items)
		}
		crash(t, q)
		q = open(t, path, Options{Lanes: 1})
		if got := accept(t, q, testDelivery("a", 0), testDelivery("a", 1), testDelivery("new", 1)); got != (delivery.Accepted{New: 2, Duplicate: 1}) {
			t.Fatalf("after self-tests and a restart: %+v", got)
		}
	})
}

// A self-test meets the limits that a notification meets, and the same broken disk.
func TestSelfTestMeetsTheLimits(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		q := open(t, create(t), Options{Lanes: 1, MaxPending: 1})
		accept(t, q, testDelivery("a", 0))
		_, err := q.SelfTest(t.Context(), deliveries("a", 1, 2))
		wantCode(t, err, provenance.Full)
		_, err = q.SelfTest(t.Context(), make([]delivery.Delivery, MaxDeliveries+1))
		wantCode(t, err, provenance.Invalid)
		bad := testDelivery("a", 4)
		bad.Event.Repository = "NO REPOSITORY"
		_, err = q.SelfTest(t.Context(), []delivery.Delivery{bad})
		wantCode(t, err, provenance.Invalid)
		q.writer.do(t.Context(), &op{rows: 1, run: func(b *batch) error { //nolint:errcheck // sets the fault in the writer's goroutine
			b.w.commitFault = func() error { return errors.New("fsync: input/output error") }
			return nil
		}})
		_, err = q.SelfTest(t.Context(), deliveries("a", 2, 3))
		wantCode(t, err, provenance.Internal)
	})
}

// Trials share commits with notifications, and take nothing of theirs.
func TestSelfTestBesideAccept(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		q := open(t, create(t), Options{Lanes: 2})
		var wg sync.WaitGroup
		for n := range 50 {
			wg.Go(func() {
				if got, err := q.Accept(t.Context(), deliveries("a", 2*n, 2*n+2)); err != nil || got.New != 2 {
					t.Errorf("accepted %+v, %v", got, err)
				}
			})
			wg.Go(func() {
				if got, err := q.SelfTest(t.Context(), deliveries("self-test", n, n+1)); err != nil || got.New != 1 {
					t.Errorf("tried %+v, %v", got, err)
				}
			})
		}
		wg.Wait()
		if s := stats(t, q); s.Pending != 100 {
			t.Fatalf("%d pending, want 100", s.Pending)
		}
	})
}

// A self-test that never reached the disk would say nothing about the disk.
func TestSelfTestWrites(t *testing.T) {
	path := createFile(t)
	q := open(t, path, Options{Lanes: 1})
	accept(t, q, testDelivery("a", 0))
	size := func() int64 {
		info, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	before := size()
	if _, err := q.SelfTest(t.Context(), deliveries("a", 1, 2)); err != nil {
		t.Fatal(err)
	}
	if after := size(); after <= before {
		t.Fatalf("the log has %d bytes before the self-test and %d after it", before, after)
	}
}
