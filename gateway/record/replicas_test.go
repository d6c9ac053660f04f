package record_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/gateway/record"
	"github.com/waybill-dev/waybill/gateway/record/recordtest"
	"github.com/waybill-dev/waybill/gateway/wait"
	"github.com/waybill-dev/waybill/test/postgres"
)

// Two gateways share a queue on a real server. The server crashes and comes
// back, one of the gateways ends, and every event is recorded once.
func TestReplicas(t *testing.T) {
	server := postgres.Start(t)
	b := recordtest.New(t)
	if err := queue.Create(t.Context(), server.URL()); err != nil {
		t.Fatal(err)
	}
	limits := b.Limits
	limits.Wait, limits.Status, limits.Recover = 20*time.Millisecond, time.Second, 50*time.Millisecond
	limits.Backoff, limits.BackoffMax = 20*time.Millisecond, 200*time.Millisecond
	type replica struct {
		queue *queue.Queue
		end   func()
	}
	var replicas []replica
	for range 2 {
		q, err := queue.Open(t.Context(), server.URL(), queue.Options{Lanes: 4, LaneTTL: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		s := &record.Recorder{Queue: q, Ledger: b.Ledger, Readers: b.Readers, Log: slog.New(slog.DiscardHandler), Limits: limits}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := s.Run(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("a replica ended: %v", err)
			}
		})
		replicas = append(replicas, replica{q, sync.OnceFunc(func() {
			cancel()
			wg.Wait()
			if err := q.Close(); err != nil {
				t.Error(err)
			}
		})})
	}
	defer replicas[1].end()
	defer replicas[0].end()

	var all []delivery.Delivery
	send := func(repo string) {
		ds := recordtest.Pushes(repo, 15)
		all = append(all, ds...)
		// As a registry does: again, to whichever gateway answers, until one has it.
		for i := 0; ; i++ {
			if _, err := replicas[i%2].queue.Accept(t.Context(), ds); err == nil {
				return
			} else if i > 200 {
				t.Fatal(err)
			}
			_ = wait.For(t.Context(), 50*time.Millisecond)
		}
	}
	for r := range 8 {
		send(fmt.Sprint("before", r))
	}
	if err := server.Crash(); err != nil {
		t.Fatal(err)
	}
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	for r := range 8 {
		send(fmt.Sprint("after", r))
	}
	replicas[0].end()
	for deadline := time.Now().Add(30 * time.Second); ; {
		s, err := replicas[1].queue.Stats(t.Context())
		if err == nil && recordtest.Empty(s) && len(b.Ledger.Recordings(t)) == len(all) {
			break
		}
		if time.Now().After(deadline) {
			t.Errorf("not done: %+v, %v", s, err)
			break
		}
		_ = wait.For(t.Context(), 20*time.Millisecond)
	}
	b.WantOnce(all)
}
