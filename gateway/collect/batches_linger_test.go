package collect

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// Pieces that come fast wait for each other longer than those that trickle in, and none of
// them longer than the longest wait.
func TestBatchesGatherWhatComesFast(t *testing.T) {
	for name, c := range map[string]struct {
		every   time.Duration
		pieces  int
		longest time.Duration
		least   int // pieces in the larger batches
	}{
		"slowly": {50 * time.Millisecond, 60, lingerBusy, 2},
		"fast":   {4 * time.Millisecond, 1000, lingerMany, 150},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBatching(t)
				b.ledger.takes = 300 * time.Millisecond
				for i := range c.pieces {
					b.bring(i, fmt.Sprint("piece ", i), 10)
					time.Sleep(c.every)
					b.Batches.mu.Lock()
					if n := len(b.waiting); n > 0 && time.Since(b.waiting[0].since) > c.longest+c.every {
						t.Errorf("a piece has waited for %s", time.Since(b.waiting[0].since))
					}
					b.Batches.mu.Unlock()
				}
				b.wait(t, c.pieces)
				b.ledger.mu.Lock()
				defer b.ledger.mu.Unlock()
				largest := 0
				for _, pieces := range b.ledger.batches {
					largest = max(largest, len(pieces))
				}
				if largest < c.least || len(b.ledger.batches) > 2+c.pieces/c.least {
					t.Errorf("%d transactions, the largest of %d pieces", len(b.ledger.batches), largest)
				}
			})
		})
	}
}
