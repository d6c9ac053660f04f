package org

import (
	"context"
	"fmt"
	"time"
)

// joinAgain is how long a supervisor waits before it tries again to join the channel.
const joinAgain = 5 * time.Second

// joinUntil makes orderer and peer members of the channel, as long as it takes.
func (s *supervisor) joinUntil(ctx context.Context) {
	for {
		err := s.join(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		s.out.say(supervisorName, fmt.Sprintf("not in the channel yet: %v", err))
		select {
		case <-ctx.Done():
			return
		case <-time.After(joinAgain):
		}
	}
}

// watch looks at the nodes until ctx ends: whether the folder has others by now, and whether one
// stands still.
func (s *supervisor) watch(ctx context.Context) {
	tick := time.NewTicker(s.patience.Look)
	defer tick.Stop()
	heights := map[Kind]*standing{KindOrderer: {}, KindPeer: {}}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		f, err := s.match(ctx)
		if err != nil {
			s.out.say(supervisorName, err.Error())
			continue
		}
		if err := f.Settle(ctx); err != nil {
			s.out.say(supervisorName, fmt.Sprintf("upgrade of the chaincode: %v", err))
		}
		report, err := f.Status(ctx)
		if err != nil {
			s.out.say(supervisorName, err.Error())
			continue
		}
		for _, n := range stuck(heights, report, time.Now(), s.patience.Still) {
			s.restart(n)
		}
	}
}

// standing is since when a node has had the same height.
type standing struct {
	height uint64
	since  time.Time
}

// stuck returns the nodes that have fewer blocks than the others know of, and have not got another
// for so long. One orderer and one peer know enough: a peer gets its blocks from any organisation's
// orderer, so that it moves on while its own stands still. The pinned consensus can do that for
// good, and go on answering; only a restart cures it.
func stuck(heights map[Kind]*standing, report []NodeStatus, now time.Time, still time.Duration) []NodeStatus {
	var most uint64
	for _, n := range report {
		most = max(most, n.Height)
	}
	var out []NodeStatus
	for _, n := range report {
		h := heights[n.Kind]
		if h == nil || n.Height == 0 {
			continue // it answers nobody: that it ended is noticed elsewhere
		}
		if n.Height != h.height || n.Height == most {
			h.height, h.since = n.Height, now
			continue
		}
		if now.Sub(h.since) >= still {
			h.since = now // it gets as long again after the restart
			out = append(out, n)
		}
	}
	return out
}

func (s *supervisor) restart(n NodeStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.running[n.Node]
	if w == nil {
		return
	}
	select {
	case w.again <- fmt.Sprintf("stood still at %d blocks while others moved on", n.Height):
	default: // it is being restarted already
	}
}
