package gateway

import (
	"strings"
	"sync"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// maxReason bounds a reason that people are shown, in bytes. The log has the whole.
const maxReason = 1000

// reason is why something waits or failed, as people are shown it: parts of it are
// the words of registries and other organisations' machines.
func reason(err error) string {
	return provenance.CleanText(strings.ReplaceAll(err.Error(), "\n", "; "), maxReason)
}

// waitState is why recording waits, and since when.
type waitState struct {
	Reason string
	Since  time.Time
}

// waits keeps the open waits by who waits.
type waits struct {
	mu   sync.Mutex
	open map[string]waitState
}

// begin notes a wait and tells whether it is a new one. A wait that goes on
// keeps its start and takes the latest reason.
func (w *waits) begin(who string, cause error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open == nil {
		w.open = map[string]waitState{}
	}
	state, old := w.open[who]
	if !old {
		state.Since = time.Now()
	}
	state.Reason = reason(cause)
	w.open[who] = state
	return !old
}

func (w *waits) end(who string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.open, who)
}

// some tells whether anything waits.
func (w *waits) some() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.open) > 0
}

// state returns the wait that has lasted longest.
func (w *waits) state() waitState {
	w.mu.Lock()
	defer w.mu.Unlock()
	var longest waitState
	for _, s := range w.open {
		if longest.Since.IsZero() || s.Since.Before(longest.Since) {
			longest = s
		}
	}
	return longest
}
