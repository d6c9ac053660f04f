package wait

import (
	"strings"
	"sync"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// MaxReason bounds a reason that people are shown, in bytes. The log has the whole.
const MaxReason = 1000

// Explain is why something waits or failed, as people are shown it: parts of it are
// the words of registries and other organisations' machines.
func Explain(err error) string {
	return provenance.CleanText(strings.ReplaceAll(err.Error(), "\n", "; "), MaxReason)
}

// State is why recording waits, and since when.
type State struct {
	Reason string
	Since  time.Time
}

// Reasons keeps the open waits by who waits.
type Reasons struct {
	mu   sync.Mutex
	open map[string]State
}

// Begin notes a wait and tells whether it is a new one. A wait that goes on
// keeps its start and takes the latest reason.
func (w *Reasons) Begin(who string, cause error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open == nil {
		w.open = map[string]State{}
	}
	state, old := w.open[who]
	if !old {
		state.Since = time.Now()
	}
	state.Reason = Explain(cause)
	w.open[who] = state
	return !old
}

// End ends a wait, if there is one.
func (w *Reasons) End(who string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.open, who)
}

// Any tells whether anything waits.
func (w *Reasons) Any() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.open) > 0
}

// Longest returns the wait that has lasted longest.
func (w *Reasons) Longest() State {
	w.mu.Lock()
	defer w.mu.Unlock()
	var longest State
	for _, s := range w.open {
		if longest.Since.IsZero() || s.Since.Before(longest.Since) {
			longest = s
		}
	}
	return longest
}
