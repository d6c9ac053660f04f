package queue

import (
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
)

func from(connector string, ds ...delivery.Delivery) []delivery.Delivery {
	for i := range ds {
		ds[i].Connector = connector
	}
	return ds
}

// A connector that goes wild fills its share; the others do not notice.
func TestConnectorShare(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		path := create(t)
		options := Options{Lanes: 1, MaxPending: 10, ConnectorShare: 40, LaneTTL: time.Hour}
		q := open(t, path, options)
		full := func(connector, about string, ds ...delivery.Delivery) {
			t.Helper()
			_, err := q.Accept(t.Context(), from(connector, ds...))
			wantCode(t, err, provenance.Full)
			if !strings.Contains(err.Error(), "connector "+about) {
				t.Fatalf("%v: whose is it?", err)
			}
		}
		accept(t, q, from("noisy", deliveries("a", 0, 3)...)...)
		full("noisy", "noisy", deliveries("a", 3, 5)...)
		accept(t, q, from("noisy", testDelivery("a", 3))...) // of a refused call nothing is counted
		full("noisy", "noisy", testDelivery("a", 4))
		accept(t, q, from("noisy", testDelivery("a", 3))...) // a duplicate needs no room
		accept(t, q, from("calm", deliveries("b", 0, 4)...)...)
		full("third", "third", deliveries("c", 0, 3)...) // the whole is full before its share is
		accept(t, q, from("third", deliveries("c", 0, 2)...)...)

		// Sealed items still count, recorded and buried ones do not, also after a restart.
		s := seal(t, q, 0, 1, lease(t, q, 0, 2))
		full("noisy", "noisy", testDelivery("a", 5))
		crash(t, q)
		q = open(t, path, options)
		full("noisy", "noisy", testDelivery("a", 5))
		if err := q.Recorded(t.Context(), s, 1); err != nil {
			t.Fatal(err)
		}
		accept(t, q, from("noisy", testDelivery("a", 5))...)
		if err := q.DeadLetter(t.Context(), lease(t, q, 0, 1)[0], "gone"); err != nil {
			t.Fatal(err)
		}
		accept(t, q, from("noisy", deliveries("a", 6, 8)...)...)
		full("noisy", "noisy", testDelivery("a", 8))
		if n, err := q.Retry(t.Context()); n != 1 || err != nil {
			t.Fatalf("retried %d, %v", n, err)
		}
		s = seal(t, q, 0, 2, lease(t, q, 0, 2))
		if err := q.Unseal(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		full("noisy", "noisy", testDelivery("a", 8)) // the letter counts again
		want := map[string]int64{"noisy": 5, "calm": 4, "third": 2}
		for connector, n := range want {
			if q.pending[connector] != n {
				t.Fatalf("connectors hold %v, want %v", q.pending, want)
			}
		}
	})
}

func TestOptionsRefuse(t *testing.T) {
	path := createFile(t)
	for _, o := range []Options{{ConnectorShare: 101}, {ConnectorShare: -1}, {Remember: time.Minute}, {LaneTTL: time.Millisecond}} {
		_, err := Open(t.Context(), path, o)
		wantCode(t, err, provenance.Invalid)
	}
}

// Ids are forgotten when they are old, but never while their event is in the queue.
func TestForget(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		q := open(t, create(t), Options{Lanes: 1})
		always := func() bool { return true }
		accept(t, q, deliveries("recorded", 0, 50)...)
		s := seal(t, q, 0, 1, lease(t, q, 0, 50))
		if err := q.Recorded(t.Context(), s, 1); err != nil {
			t.Fatal(err)
		}
		accept(t, q, deliveries("dead", 0, 1)...)
		if err := q.DeadLetter(t.Context(), lease(t, q, 0, 1)[0], "gone"); err != nil {
			t.Fatal(err)
		}
		accept(t, q, deliveries("sealed", 0, 3)...)
		seal(t, q, 0, 2, lease(t, q, 0, 3))
		accept(t, q, deliveries("waiting", 0, 3)...)
		forget := func(before time.Time) int {
			t.Helper()
			n, err := q.forget(t.Context(), before, always)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		if n := forget(time.Now().Add(-time.Hour)); n != 0 {
			t.Fatalf("%d ids of the last hour forgotten", n)
		}
		if n := forget(time.Now().Add(time.Hour)); n != 50 {
			t.Fatalf("%d ids forgotten, want the 50 recorded ones", n)
		}
		if got := accept(t, q, append(append(deliveries("dead", 0, 1), deliveries("sealed", 0, 3)...), deliveries("waiting", 0, 3)...)...); got.New != 0 {
			t.Fatalf("%d events would be recorded twice", got.New)
		}
		lie := testDelivery("waiting", 0)
		lie.BodyHash[0] ^= 1
		_, err := q.Accept(t.Context(), []delivery.Delivery{lie})
		wantCode(t, err, provenance.Conflict)
		if got := accept(t, q, deliveries("recorded", 0, 50)...); got.New != 50 {
			t.Fatalf("%d of the forgotten are new", got.New)
		}
	})
}

// A delivery that claims to have been received later than now is no younger
// than its item: else its id could go while the item stays.
func TestForgetKnowsItsItems(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		q := open(t, create(t), Options{Lanes: 1})
		d := testDelivery("a", 0)
		d.ReceivedAt = time.Now().Add(30 * time.Minute)
		accept(t, q, d)
		for _, before := range []time.Duration{0, 20 * time.Minute, 40 * time.Minute} {
			if n, err := q.forget(t.Context(), time.Now().Add(before), func() bool { return true }); n != 0 || err != nil {
				t.Fatalf("%d ids of waiting events forgotten, %v", n, err)
			}
		}
	})
}

// What runs by itself does forget.
func TestForgettingGoesOn(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		q := open(t, create(t), Options{Lanes: 1, Remember: time.Hour})
		accept(t, q, testDelivery("a", 0))
		s := seal(t, q, 0, 1, lease(t, q, 0, 1))
		if err := q.Recorded(t.Context(), s, 1); err != nil {
			t.Fatal(err)
		}
		q.cancel()
		q.loops.Wait()
		q.options.Remember = time.Millisecond // a pass in no time
		q.now = func() time.Time { return time.Now().Add(2 * time.Second) }
		q.startLoops()
		until(t, "the id is forgotten", func() bool {
			return len(known(t, q)) == 0
		})
	})
}

// A file of version 1 does not know when its ids were seen: they count as seen now.
func TestUpgradeFromVersion1(t *testing.T) {
	path := createFile(t)
	q := open(t, path, Options{Lanes: 1})
	accept(t, q, testDelivery("a", 0), testDelivery("b", 0))
	s := seal(t, q, 0, 1, lease(t, q, 0, 1))
	if err := q.Recorded(t.Context(), s, 1); err != nil {
		t.Fatal(err)
	}
	crash(t, q)
	db := tables(t, path)
	asVersion5(t, path, db)
	if _, err := db.ExecContext(t.Context(), `ALTER TABLE seen DROP COLUMN at; DROP TABLE clients; DROP TABLE tasks; DROP TABLE task_places; DROP TABLE task_height; DROP TABLE unusable; DROP TABLE unusable_dropped; ALTER TABLE meta DROP COLUMN secret; PRAGMA user_version = 1`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		q = open(t, path, Options{Lanes: 1})
		if got := accept(t, q, testDelivery("a", 0), testDelivery("b", 0), testDelivery("b", 0)); got.New != 0 {
			t.Fatalf("after the upgrade %d events are new", got.New)
		}
		if n, err := q.forget(t.Context(), time.Now().Add(-time.Hour), func() bool { return true }); n != 0 || err != nil {
			t.Fatalf("%d ids forgotten at once, %v", n, err)
		}
		crash(t, q)
	}
}
