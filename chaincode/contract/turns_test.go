package contract

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// An organisation that brings many large envelopes waits behind its own. Another's goes
// next, and never more than so many are verified at once.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(2)
		end := turns.take("A")
		var running, most, ofA atomic.Int64
		var all sync.WaitGroup
		bring := func(msp string) {
			all.Go(func() {
				end := turns.take(msp)
				most.Store(max(most.Load(), running.Add(1)))
				if msp == "A" {
					ofA.Add(1)
				}
				synctest.Wait()
				running.Add(-1)
				end()
			})
		}
		for range 50 {
			bring("A")
		}
		passed := make(chan struct{})
		go func() {
			turns.take("B")()
			close(passed)
		}()
		<-passed // while A's first stands still
		if ofA.Load() != 0 {
			t.Errorf("%d more of A ran beside its first", ofA.Load())
		}
		end()
		all.Wait()
		if ofA.Load() != 50 || most.Load() != 1 {
			t.Errorf("%d of A ran, %d at once", ofA.Load(), most.Load())
		}
	})
}
