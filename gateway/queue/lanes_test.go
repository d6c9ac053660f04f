package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

const testTTL = 500 * time.Millisecond

func query(t *testing.T, url, sql string, args ...any) {
	t.Helper()
	l, err := openLedger(url, "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.db.Close() }()
	if _, err := l.db.ExecContext(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// A replica that does not know yet that its lane is another's changes nothing.
func TestEveryStepIsFenced(t *testing.T) {
	type state struct {
		q      *Queue
		sealed Segment
		leased []Item // of another lane
	}
	for name, step := range map[string]func(ctx context.Context, s state) error{
		"seal":    func(ctx context.Context, s state) error { return s.q.Seal(ctx, segment(s.q, 1, 1, s.leased), s.leased) },
		"release": func(ctx context.Context, s state) error { return s.q.Release(ctx, s.leased, time.Now(), "later") },
		"bury":    func(ctx context.Context, s state) error { return s.q.DeadLetter(ctx, s.leased[0], "dead") },
		"discard": func(ctx context.Context, s state) error {
			_, err := s.q.Discard(ctx, s.leased)
			return err
		},
		"reseal":   func(ctx context.Context, s state) error { return s.q.Reseal(ctx, s.sealed) },
		"recorded": func(ctx context.Context, s state) error { return s.q.Recorded(ctx, s.sealed, 1) },
		"unseal":   func(ctx context.Context, s state) error { return s.q.Unseal(ctx, s.sealed) },
		"supersede": func(ctx context.Context, s state) error {
			return s.q.Supersede(ctx, 1, 1, s.leased, "other bytes")
		},
		"skip": func(ctx context.Context, s state) error { return s.q.Skip(ctx, 1, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			url := createSchema(t)
			q := open(t, url, Options{Lanes: 2, LaneTTL: time.Hour})
			for n := range 20 {
				accept(t, q, deliveries(fmt.Sprintf("r%d", n), 0, 2)...)
			}
			s := state{q: q, sealed: seal(t, q, 0, 1, lease(t, q, 0, 4)), leased: lease(t, q, 1, 4)}
			before := itemCounts{}
			if st := stats(t, q); true {
				before = itemCounts{waiting: st.Pending, sealed: st.Sealed, dead: st.Dead}
			}
			query(t, url, `UPDATE lanes SET owner = 'other', epoch = epoch + 1, expires = 'infinity'`)
			err := step(t.Context(), s)
			if !errors.Is(err, ErrLaneLost) || provenance.CodeOf(err) != provenance.Conflict {
				t.Fatalf("%v, want ErrLaneLost and WB_CONFLICT", err)
			}
			if st := stats(t, q); st.Pending != before.waiting || st.Sealed != before.sealed || st.Dead != before.dead || st.Done != 0 {
				t.Fatalf("changed all the same: %+v", st)
			}
			accept(t, q, testDelivery("new", 0)) // accepting needs no lane
			if err := q.heartbeat(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got, err := q.Sealed(t.Context(), 0); got != nil || err != nil {
				t.Fatalf("another's open segment: %v, %v", got, err)
			}
			if got := lease(t, q, 1, 10); len(got) != 0 {
				t.Fatalf("leased from another's lane: %v", names(got))
			}
			// Back again, items of the old hold are still not to be used.
			query(t, url, `UPDATE lanes SET owner = '', expires = '-infinity'`)
			if err := q.heartbeat(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := q.Seal(t.Context(), segment(q, 1, 1, s.leased), s.leased); !errors.Is(err, ErrLaneLost) {
				t.Fatalf("sealed items of an earlier hold: %v", err)
			}
		})
	}
}

// What is taken over with an open segment hands out nothing before that is closed.
func TestTakeOverFinishesTheOpenSegmentFirst(t *testing.T) {
	url := createSchema(t)
	first := open(t, url, Options{Lanes: 1, LaneTTL: testTTL})
	accept(t, first, deliveries("a", 0, 6)...)
	if err := first.Release(t.Context(), lease(t, first, 0, 2)[:1], time.Now().Add(-time.Second), "tried"); err != nil {
		t.Fatal(err)
	}
	first.Return([]Item{{ID: 2, Lane: 0, epoch: 1}})
	s := seal(t, first, 0, 1, lease(t, first, 0, 3))
	second := open(t, url, Options{Lanes: 1, LaneTTL: testTTL})
	if got, err := second.Sealed(t.Context(), 0); got != nil || err != nil {
		t.Fatalf("a lane of another: %v, %v", got, err)
	}
	first.cancel() // as if it hung: nothing is renewed any more
	first.loops.Wait()
	until(t, "the second replica holds the lane", func() bool { return second.holds(0) })
	select {
	case <-second.Arrived(0):
	case <-time.After(10 * time.Second):
		t.Fatal("taking a lane over is not announced")
	}
	if got := lease(t, second, 0, 10); len(got) != 0 {
		t.Fatalf("leased beside an open segment: %v", names(got))
	}
	got, err := second.Sealed(t.Context(), 0)
	if err != nil || got == nil || got.TxID != s.TxID || got.Seq != s.Seq {
		t.Fatalf("inherited %v, %v", got, err)
	}
	if err := second.Recorded(t.Context(), *got, 9); err != nil {
		t.Fatal(err)
	}
	if got := lease(t, second, 0, 10); len(got) != 3 || got[0].Attempts != 0 {
		t.Fatalf("after that: %+v", got)
	}
	if err := first.Recorded(t.Context(), s, 9); !errors.Is(err, ErrLaneLost) {
		t.Fatalf("the first replica: %v", err)
	}
}

// Lanes move to a replica that joins, but not in the middle of a batch, and
// back at once when it leaves.
func TestHandOver(t *testing.T) {
	url := createSchema(t)
	first := open(t, url, Options{Lanes: 4, LaneTTL: testTTL})
	for n := range 40 {
		accept(t, first, testDelivery(fmt.Sprintf("r%d", n), n))
	}
	var busy [4][]Item
	for lane := range 4 {
		if busy[lane] = lease(t, first, lane, 3); len(busy[lane]) == 0 {
			t.Fatalf("lane %d is empty", lane)
		}
	}
	second := open(t, url, Options{Lanes: 4, LaneTTL: testTTL})
	until(t, "two lanes are draining", func() bool {
		n := 0
		for lane := range 4 {
			if _, ok := first.mayLease(lane); !ok {
				n++
			}
		}
		return n == 2
	})
	if held(second) != 0 {
		t.Fatal("a lane was taken in the middle of a batch")
	}
	for lane := range 4 {
		s := seal(t, first, lane, 1, busy[lane])
		if err := first.Recorded(t.Context(), s, 1); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "each has two lanes", func() bool { return held(first) == 2 && held(second) == 2 })
	start := time.Now()
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	until(t, "the first has all", func() bool { return held(first) == 4 })
	t.Logf("after a polite end all lanes were taken in %s", time.Since(start).Round(time.Millisecond))
}

func TestPart(t *testing.T) {
	for lanes := 1; lanes <= 9; lanes++ {
		for n := 1; n <= 5; n++ {
			var live []string
			for i := range n {
				live = append(live, string(rune('a'+i)))
			}
			sum := 0
			for _, r := range live {
				sum += fairShare(lanes, live, r)
			}
			if sum != lanes {
				t.Errorf("%d lanes among %d replicas: %d are held", lanes, n, sum)
			}
		}
	}
}

// Replicas come and go one after the other while events come in.
func TestRollingRestart(t *testing.T) {
	url := createSchema(t)
	ledger := newLedger(t, url)
	const events, generations, together = 3000, 4, 10
	var wg sync.WaitGroup
	run := func() (*Queue, func()) {
		q := open(t, url, Options{Lanes: 4, LaneTTL: testTTL})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- replica{q: q, ledger: ledger, at: func(string) {}}.drain(ctx) }()
		return q, func() {
			stop()
			if err := errors.Join(<-done, q.Close()); err != nil {
				t.Error(err)
			}
		}
	}
	old, stopOld := run()
	for g := range generations {
		next, stopNext := run()
		from, to := g*events/generations, (g+1)*events/generations
		wg.Go(func() { // the sender's balancer sends to either, and repeats what was refused
			for n := from; n < to; n += together {
				for q := old; acceptRange(t.Context(), q, n, min(n+together, to)) != nil; q = next {
				}
			}
		})
		until(t, "the new replica has its part", func() bool { return held(next) >= 2 })
		stopOld()
		wg.Wait()
		old, stopOld = next, stopNext
	}
	until(t, "the queue is empty", func() bool { s := stats(t, old); return s.Pending == 0 && s.Sealed == 0 })
	stopOld()
	checkLedger(t, ledger, events)
}

func TestLanesChangeOnlyWhenExclusive(t *testing.T) {
	url := createSchema(t)
	first := open(t, url, Options{Lanes: 4, LaneTTL: testTTL})
	_, err := Open(t.Context(), url, Options{Lanes: 2})
	wantCode(t, err, provenance.Conflict)
	if !strings.Contains(err.Error(), "stop them") {
		t.Fatalf("%v: what should be done?", err)
	}
	first.cancel() // it seems dead
	first.loops.Wait()
	var second *Queue
	until(t, "the lanes can be changed", func() bool {
		second, err = Open(t.Context(), url, Options{Lanes: 2, LaneTTL: testTTL})
		return err == nil
	})
	defer func() { _ = second.Close() }()
	// It lives, and would put items into lanes that nobody drains.
	for n := range 3 {
		_, err = first.Accept(t.Context(), deliveries("late", n, n+1))
		wantCode(t, err, provenance.Internal)
	}
	if s := stats(t, second); s.Pending != 0 {
		t.Fatalf("%d items came in by the old number of lanes", s.Pending)
	}
	if got := accept(t, second, testDelivery("late", 0)); got.New != 1 {
		t.Fatal("the refused event is taken for a duplicate: it would be lost")
	}
}
