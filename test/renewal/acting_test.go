package renewal

import (
	"context"
	"flag"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/test/lab"
)

const (
	// pace is how often each member's person acts.
	pace = 500 * time.Millisecond
	// attempt is how long a person waits for an act before running it again.
	attempt = 5 * time.Second
)

// unable is how long a member may not be able to act, whatever is renewed: 10 s in the long form. When the orderer that leads is
// restarted on a machine that is busy with other things, the first of the others to follow may not be level yet, and a second
// change of the leader comes 5 s later.
var unable = flag.Duration("renewal.unable", 20*time.Second, "how long a member may be unable to act")

// acting is one member's own person, who acts again and again through the member's own peer, each time with the certificate
// that is in the folder then.
type acting struct {
	lab *lab.Lab
	org string

	mu      sync.Mutex
	acts    int
	last    time.Time     // an act was done
	longest time.Duration // between two that were done
	at      time.Time     // when that began
	why     error         // the last that failed within it
	failed  error
}

// startActing has a person of each member act until ctx ends. stop ends them and holds them to what a member may be without.
func startActing(t *testing.T, ctx context.Context, l *lab.Lab, all []organisation) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var everybody []*acting
	var running sync.WaitGroup
	for _, o := range all {
		a := &acting{lab: l, org: o.Spec().Name, last: time.Now()}
		everybody = append(everybody, a)
		running.Go(func() { a.run(ctx) })
	}
	var once sync.Once
	stop = func() { once.Do(func() { judge(t, everybody, func() { cancel(); running.Wait() }) }) }
	t.Cleanup(stop) // also where something else failed
	return stop
}

func judge(t *testing.T, everybody []*acting, end func()) {
	t.Helper()
	end()
	for _, a := range everybody {
		a.done(time.Now()) // also what did not end counts
		t.Logf("%s: %d acts, unable to act for %v at most, from %s: %v", a.org, a.acts-1, a.longest.Round(10*time.Millisecond), a.at.Format(time.TimeOnly), a.why)
		if a.longest > *unable || a.acts < 3 {
			t.Errorf("%s was unable to act for %v, or acted %d times: %v", a.org, a.longest, a.acts, a.why)
		}
	}
}

func (a *acting) run(ctx context.Context) {
	for n := 1; ctx.Err() == nil; n++ {
		began := time.Now()
		if err := a.act(ctx, n); err == nil {
			a.done(time.Now())
		} else if ctx.Err() == nil {
			a.mu.Lock()
			a.failed = err
			a.mu.Unlock()
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Until(began.Add(pace))):
		}
	}
}

// act signs one transaction and waits for its block. Where the member has a gateway, it is asked as well.
func (a *acting) act(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	c, err := a.lab.Dial(a.org, "release-manager")
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // the answer is there
	if _, err := c.Submit(ctx, "context:Set", "beat", fmt.Sprint(n)); err != nil {
		return fmt.Errorf("act: %w", err)
	}
	if a.lab.GatewayPID(a.org) == 0 {
		return nil
	}
	gateway, err := a.lab.API(ctx, a.org, "release-manager")
	if err != nil {
		return fmt.Errorf("dial the gateway: %w", err)
	}
	defer func() { _ = gateway.Close() }() // only read from
	if _, err = gateway.GetStatus(ctx); err != nil {
		return fmt.Errorf("ask the gateway: %w", err)
	}
	return nil
}

func (a *acting) done(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.acts++
	if d := now.Sub(a.last); d > a.longest {
		a.longest, a.at, a.why = d, a.last, a.failed
	}
	a.last, a.failed = now, nil
}
