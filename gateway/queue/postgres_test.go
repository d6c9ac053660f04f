package queue

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/test/postgres"
)

func TestURLStaysSecret(t *testing.T) {
	for _, url := range []string{
		"postgres://me:hunter2@%zz/db", "postgres://me:hunter2@127.0.0.1:1/db?connect_timeout=1", "postgres://me:hunter2@h/db?search_path=a,b",
	} {
		_, err := Open(t.Context(), url, Options{})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("open: %v", err)
		}
		if err := Create(t.Context(), url); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("create: %v", err)
		}
	}
	_, err := Open(t.Context(), "postgres://me@127.0.0.1:1/db?connect_timeout=1", Options{})
	wantCode(t, err, provenance.Unavailable)
}

func TestServerMustKeepWhatItCommits(t *testing.T) {
	_, err := Open(t.Context(), createSchema(t)+"&synchronous_commit=off", Options{})
	wantCode(t, err, provenance.Invalid)
}

// The same ids, some with another body, come to two replicas at once: one body
// wins everywhere, and every event is there once.
func TestDuplicatesAcrossReplicas(t *testing.T) {
	url := createSchema(t)
	queues := []*Queue{open(t, url, Options{Lanes: 2}), open(t, url, Options{Lanes: 2})}
	const ids, callers = 200, 8
	var fresh, conflicts atomic.Int64
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for n := range ids {
				d := event((n*(1+2*c) + c) % ids) // each in another order
				d.BodyHash[0] = byte(c % 2)
				got, err := queues[c%2].Accept(context.Background(), []delivery.Delivery{d, event(ids + c*ids + n)})
				switch provenance.CodeOf(err) {
				case "":
					fresh.Add(int64(got.New))
				case provenance.Conflict:
					conflicts.Add(1)
					if got, err := queues[c%2].Accept(context.Background(), []delivery.Delivery{event(ids + c*ids + n)}); err != nil || got.New != 1 {
						t.Errorf("the other event of a refused call: %+v, %v", got, err)
					}
					fresh.Add(1)
				default:
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if fresh.Load() != ids+callers*ids || conflicts.Load() != ids*callers/2 {
		t.Fatalf("%d new, %d refused; want %d and %d", fresh.Load(), conflicts.Load(), ids+callers*ids, ids*callers/2)
	}
	if s := stats(t, queues[0]); s.Pending != fresh.Load() {
		t.Fatalf("%d items of %d acknowledged", s.Pending, fresh.Load())
	}
}

// Connections are torn again and again while two replicas accept and drain.
func TestTornConnections(t *testing.T) {
	url := createSchema(t)
	disturbed(t, url, func(ctx context.Context, i int) {
		query(t, url, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND application_name = 'waybill queue'
			AND (random() < 0.5 OR $1 = 0)`, i)
	})
}

// The server itself crashes and recovers from its log.
func TestServerCrash(t *testing.T) {
	s := postgres.Start(t)
	url := s.URL() + "&search_path=q"
	if err := Create(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	disturbed(t, url, func(_ context.Context, i int) {
		if i%3 == 0 {
			if err := s.Restart(); err != nil {
				t.Error(err)
			}
		}
	})
}

func disturbed(t *testing.T, url string, disturb func(ctx context.Context, i int)) {
	const events, senders, together = 4000, 4, 10
	ledger := newLedger(t, url)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var queues []*Queue
	for range 2 {
		q := open(t, url, Options{Lanes: 4, LaneTTL: testTTL})
		queues = append(queues, q)
		wg.Go(func() {
			if err := (replica{q: q, ledger: ledger, at: func(string) {}}).drain(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	var sending sync.WaitGroup
	refused := atomic.Int64{}
	for sender := range senders {
		sending.Go(func() {
			for n := sender * together; n < events; n += senders * together {
				for try := 0; ; try++ { // a sender repeats what was not acknowledged
					err := acceptRange(ctx, queues[(n/together+try)%2], n, n+together)
					if err == nil {
						break
					}
					refused.Add(1)
					if code := provenance.CodeOf(err); code != provenance.Unavailable {
						t.Errorf("accept %d: %v", n, err)
						return
					}
					if pause(ctx, 10*time.Millisecond) != nil {
						return
					}
				}
				_ = pause(ctx, 10*time.Millisecond)
			}
		})
	}
	for i := range 10 {
		_ = pause(ctx, 200*time.Millisecond)
		disturb(ctx, i)
	}
	sending.Wait()
	until(t, "the queue is empty", func() bool {
		s, err := queues[0].Stats(ctx)
		return err == nil && s.Pending == 0 && s.Sealed == 0
	})
	stop()
	wg.Wait()
	checkLedger(t, ledger, events)
	t.Logf("%d calls of senders were refused and repeated", refused.Load())
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Replicas learn of each other's items, so that the bound holds for all.
func TestBoundIsShared(t *testing.T) {
	url := createSchema(t)
	first := open(t, url, Options{Lanes: 1, MaxPending: 10, LaneTTL: testTTL})
	second := open(t, url, Options{Lanes: 1, MaxPending: 10, LaneTTL: testTTL})
	accept(t, first, deliveries("a", 0, 10)...)
	until(t, "the second replica is full as well", func() bool {
		if err := second.recount(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err := second.Accept(t.Context(), []delivery.Delivery{testDelivery("b", 0)})
		return provenance.CodeOf(err) == provenance.Full
	})
	s := seal(t, first, 0, 1, lease(t, first, 0, 4))
	if err := first.Recorded(t.Context(), s, 1); err != nil {
		t.Fatal(err)
	}
	// A count while this process commits: nothing is counted twice or forgotten.
	var wg sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	wg.Go(func() {
		for ctx.Err() == nil {
			if err := second.recount(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	for n := range 4 {
		until(t, "there is room again", func() bool {
			_, err := second.Accept(t.Context(), []delivery.Delivery{testDelivery("c", n)})
			return err == nil
		})
	}
	stop()
	wg.Wait()
	_, err := second.Accept(t.Context(), []delivery.Delivery{testDelivery("d", 0)})
	wantCode(t, err, provenance.Full)
	var got int64
	if err := second.writer.between(t.Context(), func() error { got = second.pending["main"]; return nil }); err != nil || got != 10 {
		t.Fatalf("connector main holds %d, want 10; %v", got, err)
	}
}
