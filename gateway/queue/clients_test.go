package queue

import (
	"crypto/sha256"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

func pendingClients(t *testing.T, q *Queue, after *PendingClients, limit int) []PendingClients {
	t.Helper()
	got, err := q.PendingClients(t.Context(), after, limit)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// What a segment hides is there from its recording until somebody says that it
// is kept, whatever crashes in between.
func TestClientsLife(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		path := create(t)
		q := open(t, path, Options{Lanes: 1})
		accept(t, q, deliveries("a", 0, 4)...)
		sealHiding := func(seq uint64, clients string) Segment {
			t.Helper()
			items := lease(t, q, 0, 1)
			s := segment(q, 0, seq, items)
			s.Clients = []byte(clients)
			if err := q.Seal(t.Context(), s, items); err != nil {
				t.Fatal(err)
			}
			return s
		}
		sealHiding(1, "one")
		if got := pendingClients(t, q, nil, 9); len(got) != 0 {
			t.Errorf("handed out before the segment is recorded: %v", got)
		}
		if err := q.ClientsStored(t.Context(), PendingClients{Lane: 0, Seq: 1}); err != nil { // by mistake: nothing goes
			t.Fatal(err)
		}
		crash(t, q)
		q = open(t, path, Options{Lanes: 1})
		sealed, err := q.Sealed(t.Context(), 0)
		if err != nil || sealed == nil || sealed.Clients != nil {
			t.Fatalf("sealed %+v, %v", sealed, err)
		}
		if err := q.Recorded(t.Context(), *sealed, 7); err != nil {
			t.Fatal(err)
		}
		want := []PendingClients{{Lane: 0, LaneName: q.LaneName(0), Seq: 1, Host: testHost, Clients: []byte("one")}}
		if diff := cmp.Diff(want, pendingClients(t, q, nil, 9)); diff != "" {
			t.Error(diff)
		}
		// A segment that is dissolved takes its own with it: the next hides anew.
		s := sealHiding(2, "two")
		if err := q.Unseal(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		s = sealHiding(2, "two again")
		if err := q.Recorded(t.Context(), s, 8); err != nil {
			t.Fatal(err)
		}
		s = seal(t, q, 0, 3, lease(t, q, 0, 1)) // hides nothing
		if err := q.Recorded(t.Context(), s, 9); err != nil {
			t.Fatal(err)
		}
		crash(t, q)
		q = open(t, path, Options{Lanes: 1})
		want = append(want, PendingClients{Lane: 0, LaneName: q.LaneName(0), Seq: 2, Host: testHost, Clients: []byte("two again")})
		if diff := cmp.Diff(want, pendingClients(t, q, nil, 9)); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(want[1:], pendingClients(t, q, &want[0], 9)); diff != "" {
			t.Errorf("the next page: %s", diff)
		}
		if got := pendingClients(t, q, nil, 1); len(got) != 1 {
			t.Errorf("a page of one holds %d", len(got))
		}
		for range 2 {
			if err := q.ClientsStored(t.Context(), want[0]); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(want[1:], pendingClients(t, q, nil, 9)); diff != "" {
			t.Error(diff)
		}
	})
}

// A queue of version 2 gets its table when it is opened, once.
func TestUpgradeFromVersion2(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		path := create(t)
		q := open(t, path, Options{Lanes: 1})
		accept(t, q, testDelivery("a", 0))
		old := `PRAGMA user_version = 2`
		if q.shared() {
			old = `UPDATE meta SET version = 2`
		}
		crash(t, q)
		db := tables(t, path)
		asVersion5(t, path, db)
		for _, s := range []string{`DROP TABLE tasks`, `DROP TABLE task_places`, `DROP TABLE task_height`, `DROP TABLE clients`, `DROP TABLE unusable`, `DROP TABLE unusable_dropped`, `ALTER TABLE meta DROP COLUMN secret`, old} {
			if _, err := db.ExecContext(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		hidden := map[provenance.EventID]bool{}
		for range 2 {
			q = open(t, path, Options{Lanes: 1})
			hidden[q.HideID(provenance.EventID{1})] = true
			if got := pendingClients(t, q, nil, 9); len(got) != 0 {
				t.Errorf("pending: %v", got)
			}
			if got := accept(t, q, testDelivery("a", 0)); got.New != 0 {
				t.Error("a known event is new")
			}
			crash(t, q)
		}
		if len(hidden) != 1 {
			t.Error("an id is hidden otherwise after a restart")
		}
	})
}

func TestHideID(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		path := create(t)
		q, other := open(t, path, Options{Lanes: 1}), open(t, create(t), Options{Lanes: 1})
		id := provenance.EventID{1}
		plain := sha256.Sum256(id[:])
		hidden := q.HideID(id)
		if hidden == id || hidden == q.HideID(provenance.EventID{2}) || hidden == other.HideID(id) || hidden == provenance.EventID(plain[:16]) {
			t.Errorf("hidden as %s", hidden)
		}
		crash(t, q)
		if q = open(t, path, Options{Lanes: 1}); q.HideID(id) != hidden {
			t.Error("hidden otherwise after a restart")
		}
	})
}
