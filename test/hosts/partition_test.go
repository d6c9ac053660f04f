package hosts_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/test/chaos/check"
	"github.com/waybill-dev/waybill/test/hosts"
	"github.com/waybill-dev/waybill/test/lab"
)

// flow starts events on the owner's host.
func (c *consortium) flow(m *member, name string, rate int) *hosts.Process {
	c.t.Helper()
	p, err := m.Start("events-"+name, "events", "-hook", "http://127.0.0.1:8080/hooks/mirror", "-secret", "/srv/secret", "-host", mirror,
		"-name", name, "-rate", fmt.Sprint(rate), "-out", "/srv/promised-"+name)
	if err != nil {
		c.t.Fatal(err)
	}
	c.flows = append(c.flows, name)
	return p
}

// judge waits until all that was promised is recorded and all peers are level, and looks for what was lost or stands twice.
func (c *consortium) judge(owner *member) {
	c.t.Helper()
	ctx := c.t.Context()
	if err := c.drained(owner, 3*time.Minute); err != nil {
		c.t.Fatal(err)
	}
	if err := lab.Poll(ctx, time.Minute, func() error {
		heights := c.watch.heights()
		for _, h := range heights {
			if h != heights[owner.Name] {
				return fmt.Errorf("heights %v", heights)
			}
		}
		return nil
	}); err != nil {
		c.t.Fatal(err)
	}
	run := check.Run{Peers: c.watch.peers(), History: check.History{Promised: c.pushed}}
	for _, name := range c.flows {
		told, err := promises(owner.Path("promised-" + name))
		if err != nil {
			c.t.Fatal(err)
		}
		for _, p := range told {
			run.History.Promised = append(run.History.Promised, p.Claim)
		}
	}
	report := check.Judge(run)
	c.bed.Say("promised %d events, recorded %d: %d lost, %d twice; %d peers with %d blocks each", report.Promised, report.Recorded, report.Count(check.Lost), report.Count(check.Twice), len(run.Peers), report.Blocks)
	if len(report.Findings) > 0 || report.Promised == 0 {
		c.t.Errorf("a promise was broken: %v", report)
	}
}

// partitions cuts groups of hosts off while events flow, one group after the other, and wants all nodes level again in time.
func partitions(c *consortium, owner *member, groups [][]*member, cut, again time.Duration, rate int) {
	c.t.Helper()
	p := c.flow(owner, "cut", rate)
	c.flowing(owner)
	for _, group := range groups {
		var away []string
		for _, m := range group {
			away = append(away, m.Name)
			if err := m.Cut(); err != nil {
				c.t.Fatal(err)
			}
		}
		began := time.Now()
		if len(group) > 1 || slices.Contains(away, owner.Name) {
			c.reason(owner, cut)
		}
		time.Sleep(cut - time.Since(began))
		reached := c.members[len(c.members)-1]
		if group[0] == reached {
			reached = c.members[0]
		}
		gap, _ := c.watch.gap(reached.Name, began, time.Now())
		heights := fmt.Sprint(c.watch.heights())
		for _, m := range group {
			if err := m.Heal(); err != nil {
				c.t.Fatal(err)
			}
		}
		took, err := c.level(again)
		c.bed.Say("%s cut off for %s: longest time without a block of events %s; heights %s; level again after %s", strings.Join(away, " and "), cut, gap.Round(100*time.Millisecond), heights, took.Round(100*time.Millisecond))
		if err != nil {
			c.t.Errorf("after %s were cut off: %v", strings.Join(away, " and "), err)
		}
		c.flowing(owner)
	}
	count, why := c.restarts()
	c.bed.Say("%d restarts by supervisors %s", count, strings.Join(why, "; "))
	if err := p.Stop(20 * time.Second); err != nil {
		c.t.Error(err)
	}
	c.judge(owner)
}

// flowing waits for an event that is recorded from now on.
func (c *consortium) flowing(owner *member) {
	c.t.Helper()
	_, before := c.watch.arrivals(owner.Name)
	if err := lab.Poll(c.t.Context(), time.Minute, func() error {
		if _, n := c.watch.arrivals(owner.Name); n <= before {
			return fmt.Errorf("no event is recorded any more")
		}
		return nil
	}); err != nil {
		c.t.Error(err)
	}
}

// level waits until every orderer and every peer has what the furthest had when it was called, and a block on
// top of it, and returns how long that took.
func (c *consortium) level(within time.Duration) (time.Duration, error) {
	began := time.Now()
	var wanted uint64
	for _, h := range c.watch.heights() {
		wanted = max(wanted, h+1)
	}
	err := lab.Poll(c.t.Context(), within, func() error {
		for _, m := range c.members {
			out, err := c.waybill(m, "org", "status", "-o", "json")
			if err != nil {
				return err
			}
			var status []struct {
				Node, Kind string
				Height     uint64
			}
			if err := json.Unmarshal([]byte(out), &status); err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			seen := 0
			for _, n := range status {
				if n.Kind != "peer" && n.Kind != "orderer" {
					continue
				}
				if seen++; n.Height < wanted {
					return fmt.Errorf("%s has %d of %d blocks", n.Node, n.Height, wanted)
				}
			}
			if seen < 2 {
				return fmt.Errorf("the status of %s knows no peer and orderer: %s", m.Name, out)
			}
		}
		return nil
	})
	return time.Since(began), err
}

// reason wants the owner's gateway to say why its events wait.
func (c *consortium) reason(owner *member, within time.Duration) {
	c.t.Helper()
	if err := lab.Poll(c.t.Context(), within, func() error {
		ctx, cancel := context.WithTimeout(c.t.Context(), 3*time.Second)
		defer cancel()
		out, err := owner.Run(ctx, "waybill", "--dir", "/srv/org", "status", "--as", owner.Name+"/auditor", "-o", "json")
		if err != nil {
			return err
		}
		_, reason, found := strings.Cut(out, `"waitingReason":`)
		reason, _, _ = strings.Cut(strings.TrimSpace(reason), "\n")
		if !found || strings.Trim(reason, `", `) == "" {
			return fmt.Errorf("the gateway does not say why its events wait: %s", out)
		}
		c.bed.Say("what waits says: %s", reason)
		return nil
	}); err != nil {
		c.t.Error(err)
	}
}
