package policy

import (
	"testing"
	"time"
)

// However a question dates itself, what time decides is judged within the tick
// that the ledger's clock is in: a claim gains a minute at most.
func TestMomentsAreTheClocks(t *testing.T) {
	clock := time.Date(2026, 3, 2, 9, 4, 0, 0, time.UTC)
	for name, c := range map[string]struct{ asked, want time.Duration }{
		"of the tick":              {30 * time.Second, 30 * time.Second},
		"the clock itself":         {0, 0},
		"of the past":              {-90 * time.Second, 0},
		"of the future":            {119 * time.Second, time.Minute},
		"as far as is allowed":     {ClockGrace, time.Minute},
		"too far, and so untimely": {ClockGrace + 1, ClockGrace + 1},
		"before, and so untimely":  {-ClockGrace - 1, -ClockGrace - 1},
	} {
		if got := toTick(clock.Add(c.asked), clock).Sub(clock); got != c.want {
			t.Errorf("%s: asked for %s after the clock, judged at %s, want %s", name, c.asked, got, c.want)
		}
	}
	if got := toTick(clock, time.Time{}); !got.Equal(clock) {
		t.Errorf("without a clock: %s", got)
	}
}
