// Package waittest waits in tests.
package waittest

import (
	"testing"
	"time"

	"github.com/waybill-dev/waybill/gateway/wait"
)

// Until waits until something is so, and fails the test after a while.
func Until(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatal("not done in time")
		}
		_ = wait.For(t.Context(), 2*time.Millisecond)
	}
}
