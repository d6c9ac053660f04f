package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/gateway/api"
	"github.com/waybill-dev/waybill/gateway/index"
	"github.com/waybill-dev/waybill/test/lab"
	"github.com/waybill-dev/waybill/test/postgres"
)

// Two gateways of one organisation share queue and index on a real PostgreSQL
// server. While pushes flow one is killed in the middle of its work, and comes
// back, and then the other is restarted: nothing is lost, nothing stands on the
// ledger twice, and the index they wrote together is what one gateway makes of
// the chain.
func TestReplicas(t *testing.T) {
	server := postgres.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	l := lab.For(ctx, t)
	one, two := replicas(t, ctx, l, server.URL())
	if err := l.AddRegistry(ctx, l.Registry, "distribution", lab.Owner); err != nil {
		t.Fatal(err)
	}

	const pushes, repositories = 500, 8
	var pushed atomic.Int64
	failed := make(chan error, 1)
	go func() { failed <- push(ctx, l, pushes, repositories, &pushed) }()
	reach := func(n int64) {
		t.Helper()
		if err := lab.Poll(ctx, time.Minute, func() error {
			if pushed.Load() < n {
				return errors.New("pushes are slow")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	reach(150)
	if err := l.KillGateway(one.Name); err != nil {
		t.Fatal(err)
	}
	killed, accepted := time.Now(), int(pushed.Load())
	if err := lab.Poll(ctx, 30*time.Second, func() error { return recorded(ctx, l, accepted) }); err != nil {
		t.Errorf("what the killed replica had in hand: %v", err)
	}
	t.Logf("%d pushed: kill -9 one of two replicas; what it had in hand was on the ledger after %.1f s", accepted, time.Since(killed).Seconds())
	if err := l.StartReplica(ctx, one); err != nil {
		t.Fatal(err)
	}
	reach(350)
	if err := errors.Join(l.StopGateway(two.Name), l.StartReplica(ctx, two)); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d pushed: the other was restarted", pushed.Load())
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	if err := lab.Poll(ctx, 30*time.Second, func() error { return recorded(ctx, l, pushes) }); err != nil {
		t.Error(err)
	}
	j, err := l.ReadJournal(ctx, "security", "")
	if err != nil {
		t.Fatal(err)
	}
	for id, n := range j.Pushes {
		if n > 1 {
			t.Errorf("event %s stands on the ledger %d times", id, n)
		}
	}
	if len(j.Pushes) != pushes {
		t.Errorf("%d push events on the ledger, want %d", len(j.Pushes), pushes)
	}
	sameIndex(t, ctx, l, server.URL(), one, two)
	if t.Failed() {
		t.Logf("one:\n%s\ntwo:\n%s", l.Log("gateway-"+one.Name), l.Log("gateway-"+two.Name))
	}
}

// replicas starts two gateways, and something that shares the registry's
// notifications between them.
func replicas(t *testing.T, ctx context.Context, l *lab.Lab, database string) (one, two lab.Replica) {
	t.Helper()
	one, err := l.ShareDatabases(lab.Owner, database)
	if err != nil {
		t.Fatal(err)
	}
	if two, err = l.AddReplica(one, "second"); err != nil {
		t.Fatal(err)
	}
	for _, r := range []lab.Replica{one, two} {
		if err := l.StartReplica(ctx, r); err != nil {
			t.Fatalf("%v\n%s", err, l.Log("gateway-"+r.Name))
		}
	}
	hooks, err := url.Parse(l.HookURL())
	if err != nil {
		t.Fatal(err)
	}
	balance(t, hooks.Host, one.Hooks, two.Hooks)
	return one, two
}

// balance passes connections on to whichever of the targets takes them, in turn.
func balance(t *testing.T, address string, targets ...string) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() }) // nothing is in hand any more
	pass := func(from net.Conn, turn int) {
		defer func() { _ = from.Close() }()
		for i := range targets {
			to, err := net.DialTimeout("tcp", targets[(turn+i)%len(targets)], time.Second)
			if err != nil {
				continue
			}
			var wg sync.WaitGroup
			wg.Go(func() { _, _ = io.Copy(to, from); _ = to.Close() })
			_, _ = io.Copy(from, to) // a connection that breaks is what this test is about
			_ = from.Close()
			wg.Wait()
			return
		}
	}
	go func() {
		for turn := 0; ; turn++ {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			go pass(from, turn)
		}
	}()
}

// push pushes images to several repositories, paced so that whatever happens
// finds pushes on their way.
func push(ctx context.Context, l *lab.Lab, n, repositories int, pushed *atomic.Int64) error {
	for r := range repositories {
		if err := l.PushBlob(ctx, fmt.Sprint("replicas/r", r)); err != nil {
			return err
		}
	}
	pace := time.NewTicker(12 * time.Millisecond)
	defer pace.Stop()
	for i := range n {
		<-pace.C
		if _, err := l.PushImage(ctx, fmt.Sprint("replicas/r", i%repositories), fmt.Sprint("t", i%40), fmt.Sprint("image ", i)); err != nil {
			return err
		}
		pushed.Add(1)
	}
	return nil
}

func recorded(ctx context.Context, l *lab.Lab, n int) error {
	j, err := l.ReadJournal(ctx, "security", "")
	if err == nil && len(j.Images) < n {
		err = fmt.Errorf("%d of %d images recorded", len(j.Images), n)
	}
	return err
}

// sameIndex compares what the replicas answer and hold with an index that is
// made anew from the peer's blocks, in SQLite.
func sameIndex(t *testing.T, ctx context.Context, l *lab.Lab, database string, all ...lab.Replica) {
	t.Helper()
	rebuilt, err := l.Reindex(ctx, lab.Owner)
	if err != nil {
		t.Fatal(err)
	}
	fingerprint := func(where string) (uint64, string) {
		t.Helper()
		x, err := index.Open(ctx, where)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = x.Close() }() // only read from
		height, herr := x.Height(ctx)
		f, ferr := x.Fingerprint(ctx)
		if err := errors.Join(herr, ferr); err != nil {
			t.Fatal(err)
		}
		return height, f
	}
	height, want := fingerprint(rebuilt)
	owner, err := l.Clients.Org(lab.Owner)
	if err != nil {
		t.Fatal(err)
	}
	keys := owner.People["auditor"]
	for _, r := range all {
		c, err := api.Dial(ctx, api.ClientConfig{Address: r.API, CAFile: owner.GatewayTLSCA, CertFile: keys.Cert, KeyFile: keys.Key})
		if err != nil {
			t.Fatal(err)
		}
		if err := lab.Poll(ctx, 10*time.Second, func() error {
			s, err := c.GetStatus(ctx)
			if err == nil && s.GetHeight() != height {
				err = fmt.Errorf("%s answers at height %d, the chain has %d", r.Name, s.GetHeight(), height)
			}
			return err
		}); err != nil {
			t.Error(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if h, got := fingerprint(database); h != height || got != want {
		t.Errorf("the shared index (height %d, %s) is not what the chain makes (height %d, %s)", h, got, height, want)
	}
}
