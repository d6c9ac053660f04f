package gateway

import (
	"testing"
	"time"
)

func waitUntil(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatal("not done in time")
		}
		_ = pauseFor(t.Context(), 2*time.Millisecond)
	}
}
