package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/waybill-dev/waybill/network"
	"github.com/waybill-dev/waybill/test/lab"
)

// breaker carries a schedule out. One goroutine does it all, since it alone
// starts and ends processes.
type breaker struct {
	lab      *lab.Lab
	gateways []string // organisations
	plan     []strike
	say      func(format string, args ...any)
	// progress is told every ten seconds what is down.
	progress func(down string)

	down    map[string]broken // by scope
	done    []strike
	skipped int      // the network had not recovered from the strike before
	died    []string // gateways that ended without us
	stands  map[string]standing
	hung    int // orderers that stood still and were started again
}

// broken is something that is down.
type broken struct {
	strike strike
	back   time.Time
}

// run breaks things until over says so, and then heals all.
func (b *breaker) run(ctx context.Context, over func() bool) error {
	began, told := time.Now(), time.Now()
	b.down, b.stands = map[string]broken{}, map[string]standing{}
	for !over() {
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
		if err := b.healDue(ctx, time.Now()); err != nil {
			return err
		}
		if err := b.supervise(); err != nil {
			return err
		}
		if len(b.plan) > 0 && time.Since(began) >= b.plan[0].at {
			next := b.plan[0]
			b.plan = b.plan[1:]
			if err := b.strike(ctx, next); err != nil {
				return fmt.Errorf("%s: %w", next, err)
			}
		}
		if time.Since(told) >= 10*time.Second {
			told = time.Now()
			late, err := b.watch(ctx)
			if err != nil {
				return err
			}
			b.progress(b.broken() + late)
		}
	}
	return b.healAll(ctx)
}

func (b *breaker) broken() string {
	var out []string
	for _, scope := range slices.Sorted(maps.Keys(b.down)) {
		s := b.down[scope].strike
		out = append(out, strings.TrimSpace(s.what+" "+s.org))
	}
	return strings.Join(out, ", ")
}

func (b *breaker) healDue(ctx context.Context, now time.Time) error {
	for _, scope := range slices.Sorted(maps.Keys(b.down)) {
		if d := b.down[scope]; !d.back.After(now) {
			delete(b.down, scope)
			if err := b.heal(ctx, d.strike); err != nil {
				return fmt.Errorf("bring back after %s: %w", d.strike, err)
			}
		}
	}
	return nil
}

// supervise starts a gateway again that ended by itself, as a supervisor
// would, and remembers it: ending it is our business alone.
func (b *breaker) supervise() error {
	for _, org := range b.gateways {
		if _, ours := b.down["gateway "+org]; ours || b.lab.GatewayRuns(org) {
			continue
		}
		b.died = append(b.died, fmt.Sprintf("the gateway of %s ended by itself:\n%s", org, b.lab.Log("gateway-"+org)))
		if err := errors.Join(b.lab.KillGateway(org), b.lab.SpawnGateway(org)); err != nil {
			return err
		}
	}
	return nil
}

// strike breaks, unless the scope is still broken or weak: a slow machine
// loses strikes, it does not get more of them at once.
func (b *breaker) strike(ctx context.Context, s strike) error {
	if _, down := b.down[s.scope]; down {
		b.skipped++
		return nil
	}
	if s.scope == theNetwork {
		weak, err := b.weak(ctx)
		if err != nil {
			return err
		}
		if weak != "" && weak != s.org {
			b.skipped++
			b.say("left out, for %s is not back yet: %s", weak, s)
			return nil
		}
	}
	if err := b.hit(ctx, s); err != nil {
		return err
	}
	b.down[s.scope] = broken{s, time.Now().Add(s.out)}
	b.done = append(b.done, s)
	return nil
}

func (b *breaker) hit(ctx context.Context, s strike) error {
	switch {
	case s.scope == theRegistry:
		return b.lab.KillRegistry()
	case s.scope == theNetwork:
		for _, n := range s.nodes {
			if err := b.lab.Net.Kill(ctx, n, s.sig); err != nil {
				return err
			}
		}
		return nil
	case s.sig == syscall.SIGINT:
		return b.lab.StopGateway(s.org)
	}
	return b.lab.KillGateway(s.org)
}

func (b *breaker) heal(ctx context.Context, s strike) error {
	switch s.scope {
	case theRegistry:
		return b.lab.StartRegistry(ctx)
	case theNetwork:
		for _, n := range s.nodes {
			if s.sig == syscall.SIGSTOP {
				if err := b.lab.Net.Kill(ctx, n, syscall.SIGCONT); err != nil {
					return err
				}
				continue
			}
			if err := b.lab.Net.StartNode(ctx, n); err != nil {
				return err
			}
		}
		return nil
	}
	return b.lab.SpawnGateway(s.org)
}

// weak names the organisation of which a node does not answer or is behind:
// one that still catches up is as good as gone, and no second one may go
// meanwhile. It is "several" where there are.
func (b *breaker) weak(ctx context.Context) (string, error) {
	nodes, err := b.lab.Net.Status(ctx)
	if err != nil {
		return "", err
	}
	weak := ""
	for _, n := range nodes {
		if n.Health == network.Running && (n.Kind == network.KindChaincode || n.Height+3 >= top(nodes)) {
			continue
		}
		if weak != "" && weak != n.Org {
			return "several", nil
		}
		weak = n.Org
	}
	return weak, nil
}

func top(nodes []network.NodeStatus) uint64 {
	var height uint64
	for _, n := range nodes {
		height = max(height, n.Height)
	}
	return height
}

// healAll brings everything back and waits until it is of use.
func (b *breaker) healAll(ctx context.Context) error {
	if err := b.healDue(ctx, time.Now().Add(time.Hour)); err != nil {
		return err
	}
	if err := b.lab.Net.Up(ctx); err != nil {
		return err
	}
	for _, org := range b.gateways {
		err := lab.Poll(ctx, 2*time.Minute, func() error {
			if err := b.supervise(); err != nil {
				return err
			}
			if out, code := b.lab.Waybill(ctx, "status", "--as", org+"/auditor"); code != 0 {
				return fmt.Errorf("gateway of %s: exit %d: %s", org, code, out)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
