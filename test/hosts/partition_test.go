package hosts_test

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/test/chaos/check"
	"github.com/waybill-dev/waybill/test/hosts"
	"github.com/waybill-dev/waybill/test/lab"
)

var pushes = flag.Int("hosts.pushes", 3000, "how many pushes a measurement takes, and a third as many pulls")

var only = flag.String("hosts.only", "", "the hosts that are cut off, and no others")

// flow starts events on the owner's host.
func (c *consortium) flow(m *member, name string, rate int) *hosts.Process {
	c.t.Helper()
	p, err := m.Start("events-"+name, "events", "-hook", "http://127.0.0.1:8080/hooks/mirror", "-secret", "/srv/secret", "-host", mirror,
		"-name", name, "-rate", fmt.Sprint(rate), "-out", "/srv/promised-"+name)
	if err != nil {
		c.t.Fatal(err)
	}
	return p
}

// judge waits until all that was promised is recorded and all peers are level, and looks for what was lost or stands twice.
func (c *consortium) judge(owner *member, flows ...string) {
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
	run := check.Run{Peers: c.watch.peers()}
	for _, name := range flows {
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

// partitions cuts each host off in turn and then two at once, while events flow, and wants all peers level again in time.
func partitions(c *consortium, owner *member, cut, again time.Duration, rate int) {
	c.t.Helper()
	p := c.flow(owner, "cut", rate)
	lab.Poll(c.t.Context(), 20*time.Second, func() error { //nolint:errcheck // the judgement says whether any came
		_, n := c.watch.arrivals(owner.Name)
		if n == 0 {
			return fmt.Errorf("nothing is recorded yet")
		}
		return nil
	})
	var groups [][]*member
	for _, m := range c.members {
		groups = append(groups, []*member{m})
	}
	groups = append(groups, c.members[:2])
	if *only != "" {
		groups = nil
		for _, name := range strings.Split(*only, ",") {
			groups = append(groups, []*member{{c.bed.Host(name), mspOf(name)}})
		}
	}
	for _, group := range groups {
		var away []string
		for _, m := range group {
			away = append(away, m.Name)
			if err := m.Cut(); err != nil {
				c.t.Fatal(err)
			}
		}
		began := time.Now()
		stops := slices.Contains(away, owner.Name) || len(group)*3 >= len(c.members)
		if stops && len(group) > 1 || slices.Contains(away, owner.Name) {
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
		took, err := c.watch.level(c.t.Context(), again)
		c.bed.Say("%s cut off for %s: longest time without a block of events %s; heights %s; level again after %s", strings.Join(away, " and "), cut, gap.Round(100*time.Millisecond), heights, took.Round(100*time.Millisecond))
		if err != nil {
			c.t.Errorf("after %s were cut off: %v", strings.Join(away, " and "), err)
		}
		// Events flow again everywhere before the next cut.
		_, before := c.watch.arrivals(owner.Name)
		if err := lab.Poll(c.t.Context(), again, func() error {
			if _, n := c.watch.arrivals(owner.Name); n <= before {
				return fmt.Errorf("no event is recorded since %s healed", strings.Join(away, " and "))
			}
			return nil
		}); err != nil {
			c.t.Error(err)
		}
	}
	if err := p.Stop(20 * time.Second); err != nil {
		c.t.Error(err)
	}
	c.judge(owner, "cut")
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

func TestPartitions(t *testing.T) {
	bed := hosts.New(t, names()[:4]...)
	c := found(t, bed, names()[:4]...)
	if err := c.connect(c.members[0]); err != nil {
		t.Fatal(err)
	}
	if err := c.rules("team", fmt.Sprintf(productionPolicy, c.members[0].registry())); err != nil {
		t.Fatal(err)
	}
	if err := c.job("1.0"); err != nil {
		t.Fatal(err)
	}
	if *cutFor == 0 {
		return
	}
	partitions(c, c.members[0], *cutFor, time.Minute, 100)
}
