package tasks

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/wait/waittest"
)

// Of each kind so many tasks are at work at once and no more, and one kind that is
// stuck keeps no other waiting.
func TestWorkerRoom(t *testing.T) {
	list := newList(t)
	var mu sync.Mutex
	now, most, done := map[string]int{}, map[string]int{}, map[string]int{}
	stuck := make(chan struct{})
	do := func(ctx context.Context, x Task) ([]Task, error) {
		mu.Lock()
		now[x.Kind]++
		most[x.Kind] = max(most[x.Kind], now[x.Kind])
		mu.Unlock()
		if x.Kind == Witness {
			select {
			case <-stuck:
			case <-ctx.Done():
			}
		}
		mu.Lock()
		defer mu.Unlock()
		now[x.Kind]--
		done[x.Kind]++
		return nil, nil
	}
	w := &Worker{
		List: list, Log: slog.New(slog.DiscardHandler), limits: Limits{parallel: map[string]int{Collect: 3, Witness: 2}, Attempts: 3, backoff: time.Second, backoffMax: time.Second, patience: time.Hour, outage: time.Hour},
		Do: map[string]func(context.Context, Task) ([]Task, error){Collect: do, Witness: do},
	}
	for i := range 40 {
		x := collectTask(i)
		x.Repository = provenance.Repository([]string{"app", "other"}[i%2])
		seen := x
		seen.Kind = Witness
		add(t, list, x, seen)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := w.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("run: %v", err)
		}
	})
	waittest.Until(t, func() bool { mu.Lock(); defer mu.Unlock(); return done[Collect] == 40 && now[Witness] == 2 })
	close(stuck)
	waittest.Until(t, func() bool { waiting, _ := counts(t, list); return waiting == 0 })
	cancel()
	wg.Wait()
	if most[Collect] > 3 || most[Witness] != 2 || done[Witness] != 40 {
		t.Errorf("at once %v, done %v", most, done)
	}
}
