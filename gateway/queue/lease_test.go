package queue

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

func names(items []Item) []string {
	var out []string
	for _, it := range items {
		out = append(out, string(it.Host)+"/"+string(it.Event.Repository))
	}
	return out
}

func TestLeaseIsOfOneHostOldestFirst(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		q := open(t, create(t), Options{Lanes: 1})
		other := testDelivery("b", 9)
		other.Host = "other.example.com"
		accept(t, q, testDelivery("a", 0), other, testDelivery("c", 0))
		want := []string{"registry.example.com/a", "registry.example.com/c"}
		if diff := cmp.Diff(want, names(lease(t, q, 0, 10))); diff != "" {
			t.Fatal(diff)
		}
		if diff := cmp.Diff([]string{"other.example.com/b"}, names(lease(t, q, 0, 10))); diff != "" {
			t.Fatal(diff)
		}
		if got := lease(t, q, 0, 10); len(got) != 0 {
			t.Fatalf("leased twice: %v", names(got))
		}
	})
}

func TestLeaseExpires(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		q := open(t, create(t), Options{Lanes: 1})
		now := time.Now()
		q.now = func() time.Time { return now }
		accept(t, q, deliveries("a", 0, 3)...)
		first := lease(t, q, 0, 2)
		if got := lease(t, q, 0, 10); len(got) != 0 {
			t.Fatalf("a later item of a leased repository was handed out: %v", names(got))
		}
		now = now.Add(time.Minute)
		second := lease(t, q, 0, 10)
		if len(second) != 3 || second[0].ID != first[0].ID {
			t.Fatalf("after expiry %v", names(second))
		}
		// Both hold the items now; only one gets them.
		seal(t, q, 0, 1, second)
		err := q.Seal(t.Context(), segment(q, 0, 1, first), first)
		wantCode(t, err, provenance.Conflict)
	})
}

func TestReleaseHoldsItsRepositoryBack(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		path := create(t)
		q := open(t, path, Options{Lanes: 1})
		now := time.Now()
		q.now = func() time.Time { return now }
		accept(t, q, testDelivery("a", 0), testDelivery("b", 0), testDelivery("a", 1))
		items := lease(t, q, 0, 1)
		if err := q.Release(t.Context(), items, now.Add(time.Hour), "registry is down"); err != nil {
			t.Fatal(err)
		}
		accept(t, q, testDelivery("a", 2))
		got := lease(t, q, 0, 10)
		if diff := cmp.Diff([]string{"registry.example.com/b"}, names(got)); diff != "" {
			t.Fatal(diff)
		}
		q.Return(got)
		crash(t, q)

		q = open(t, path, Options{Lanes: 1}) // the hold outlives the process
		q.now = func() time.Time { return now }
		if diff := cmp.Diff([]string{"registry.example.com/b"}, names(lease(t, q, 0, 10))); diff != "" {
			t.Fatal(diff)
		}
		now = now.Add(time.Hour)
		got = lease(t, q, 0, 10)
		if len(got) != 4 || got[0].ID != items[0].ID || got[0].Attempts != 1 || got[3].ID <= got[2].ID {
			t.Fatalf("after the hold: %+v", got)
		}
	})
}

func TestDeadLetterAndRetry(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		path := create(t)
		q := open(t, path, Options{Lanes: 1})
		accept(t, q, deliveries("a", 0, 3)...)
		items := lease(t, q, 0, 3)
		for _, it := range items[:2] {
			if err := q.DeadLetter(t.Context(), it, "manifest is gone"); err != nil {
				t.Fatal(err)
			}
		}
		wantCode(t, q.DeadLetter(t.Context(), items[0], "again"), provenance.Conflict)
		crash(t, q)
		q = open(t, path, Options{Lanes: 1})
		if s := stats(t, q); s.Pending != 1 || s.Dead != 2 {
			t.Fatalf("stats %+v", s)
		}
		letters, err := q.Dead(t.Context(), items[0].ID, 10)
		if err != nil || len(letters) != 1 || letters[0].ID != items[1].ID || letters[0].Reason != "manifest is gone" {
			t.Fatalf("dead letters %+v, %v", letters, err)
		}
		if n, err := q.Retry(t.Context(), items[1].ID, 999); n != 1 || err != nil {
			t.Fatalf("retried %d, %v", n, err)
		}
		if n, err := q.Retry(t.Context()); n != 1 || err != nil {
			t.Fatalf("retried %d, %v", n, err)
		}
		if got := accept(t, q, testDelivery("a", 0)); got.Duplicate != 1 {
			t.Fatal("a dead letter's id was forgotten")
		}
		if got := lease(t, q, 0, 10); len(got) != 3 || got[0].ID != items[0].ID {
			t.Fatalf("after retry %v", names(got))
		}
	})
}

func TestArrived(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		q := open(t, create(t), Options{Lanes: 1})
		accept(t, q, deliveries("a", 0, 2)...)
		accept(t, q, deliveries("a", 2, 3)...)
		<-q.Arrived(0)
		accept(t, q, testDelivery("a", 0)) // a duplicate is no arrival
		select {
		case <-q.Arrived(0):
			t.Fatal("announced twice")
		default:
		}
	})
}

// A reason holds the words of a registry, and is shown to people.
func TestReasonIsReadable(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		q := open(t, create(t), Options{Lanes: 1})
		accept(t, q, deliveries("a", 0, 1)...)
		if err := q.DeadLetter(t.Context(), lease(t, q, 0, 1)[0], "denied: \xff\x00\x1b[2J\u202e\nagain"); err != nil {
			t.Fatal(err)
		}
		dead, err := q.Dead(t.Context(), 0, 1)
		if err != nil || len(dead) != 1 || provenance.CheckText("reason", dead[0].Reason, provenance.MaxText) != nil {
			t.Errorf("%+v, %v", dead, err)
		}
	})
}

// What one repository has waiting keeps another's out of no batch, however often
// the batch comes back: that no other host has anything to do says nothing about
// other repositories.
func TestABacklogKeepsNobodyOutForGood(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		q := open(t, create(t), Options{Lanes: 1})
		accept(t, q, deliveries("backlog", 0, 40)...)
		accept(t, q, deliveries("other", 0, 1)...)
		for round := range 5 {
			items := lease(t, q, 0, 8)
			if !slices.ContainsFunc(items, func(it Item) bool { return it.Event.Repository == "other" }) {
				t.Fatalf("round %d: %v", round, names(items))
			}
			q.Return(items)
		}
	})
}

// In its turn a host's batch has room for all of its repositories, whatever other
// hosts' items come before theirs.
func TestABacklogOfOneHostAmongOthers(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		q := open(t, create(t), Options{Lanes: 1})
		elsewhere := deliveries("elsewhere", 0, 8)
		for i := range elsewhere {
			elsewhere[i].Host = "other.example.com"
		}
		accept(t, q, deliveries("backlog", 0, 40)...)
		accept(t, q, append(elsewhere, deliveries("behind", 0, 2)...)...)
		got := names(lease(t, q, 0, 8))
		want := append(slices.Repeat([]string{"registry.example.com/backlog"}, 6), "registry.example.com/behind", "registry.example.com/behind")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

// A lease that has what it asked for leaves rows unread. Ended right then, it
// still comes back: database/sql kept the rows' lock for a sql.RawBytes, the
// canceled context waited to close them, and the two held each other for ever.
func TestLeaseEndedWhileItReads(t *testing.T) {
	q := open(t, createFile(t), Options{Lanes: 1})
	accept(t, q, deliveries("a", 0, 8)...)
	want := wanted{n: 1}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for i := range 1000 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%300)*time.Microsecond)
			_, _ = q.due(ctx, 0, want)
			cancel()
		}
	}()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Fatal("a lease whose context ended never returned")
	}
}
