package bench

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/waybill-dev/waybill/test/lab"
)

// memory is what the gateway holds resident as events go by. Flat is what it
// has to be: a gateway runs for months.
type memory struct {
	parts [memoryParts]int64 // the most in each part of the way, in bytes
}

const (
	memoryParts = 5
	memoryEvery = 100 * time.Millisecond
)

// watch looks until it is stopped.
func (m *memory) watch(l *lab.Lab, w *watcher) (stop func()) {
	before := w.count.Load()
	done := make(chan struct{})
	var looking sync.WaitGroup
	looking.Go(func() {
		tick := time.NewTicker(memoryEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			if n := w.count.Load() - before; n > 0 {
				part := min(memoryParts-1, n*memoryParts/pullEvents)
				m.parts[part] = max(m.parts[part], lab.Resident(l.GatewayPID(lab.Owner)))
			}
		}
	})
	return func() { close(done); looking.Wait() }
}

func (m *memory) String() string {
	var parts []string
	for _, most := range m.parts {
		parts = append(parts, fmt.Sprintf("%d MB", most>>20))
	}
	return fmt.Sprintf("%s (the most in each fifth of %d)", strings.Join(parts, ", "), pullEvents)
}
