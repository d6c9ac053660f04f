package lab

import (
	"context"
	"testing"
)

// For starts an installation for a test and ends it with the test. Progress goes
// to the test's log; where the test fails, so do the ends of the gateways' logs.
func For(ctx context.Context, tb testing.TB) *Lab {
	tb.Helper()
	l, err := Start(ctx, TestLog{tb})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			for _, o := range l.Clients.Orgs {
				if name := "gateway-" + o.Org; l.procs[name] != nil {
					tb.Logf("%s:\n%s", name, l.Log(name))
				}
			}
		}
		if err := l.Stop(context.WithoutCancel(ctx)); err != nil {
			tb.Error(err)
		}
	})
	return l
}

// TestLog writes to a test's log.
type TestLog struct{ testing.TB }

func (w TestLog) Write(b []byte) (int, error) {
	w.Logf("%s", b)
	return len(b), nil
}
