package wait

import (
	"context"
	"errors"
	"testing"
	"time"
)

// The first pause is never none, pauses double up to the longest, and Reset begins anew.
func TestBackoff(t *testing.T) {
	b := Backoff(time.Second, 5*time.Second)
	about := func(want time.Duration) {
		t.Helper()
		if got := b.NextBackOff(); got < want*4/5 || got > want*6/5 {
			t.Errorf("paused for %s, want %s and a fifth more or less", got, want)
		}
	}
	for range 2 {
		for _, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second} {
			about(want)
		}
		b.Reset()
	}
}

func TestForEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := For(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := For(t.Context(), 0); err != nil {
		t.Error(err)
	}
}

// The wait that has lasted longest is told, with its latest reason.
func TestReasons(t *testing.T) {
	var r Reasons
	if r.Any() || !r.Begin("a", errors.New("first")) || r.Begin("a", errors.New("second")) {
		t.Error("a wait is new once")
	}
	since := r.Longest().Since
	r.Begin("b", errors.New("other"))
	if got := r.Longest(); got.Reason != "second" || !got.Since.Equal(since) {
		t.Errorf("longest %+v", got)
	}
	r.End("a")
	r.End("nobody")
	if got := r.Longest(); got.Reason != "other" {
		t.Errorf("then %+v", got)
	}
	r.End("b")
	if r.Any() || r.Longest() != (State{}) {
		t.Error("nothing waits any more")
	}
}
