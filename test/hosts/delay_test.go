package hosts_test

import (
	"fmt"
	"time"

	"github.com/waybill-dev/waybill/test/lab"
)

// speed is what a consortium does in a second, and how long one event takes that is alone.
type speed struct {
	pushes, pulls float64
	p50, p99      time.Duration
}

// burst sends events as fast as they are taken, and returns how many a second were final.
func (c *consortium) burst(owner *member, name, action string, count int) (float64, error) {
	began := time.Now()
	out := "/srv/promised-" + name
	c.flows = append(c.flows, name)
	if _, err := owner.Run(c.t.Context(), "events", "-hook", "http://127.0.0.1:8080/hooks/mirror", "-secret", "/srv/secret", "-host", mirror,
		"-name", name, "-action", action, "-count", fmt.Sprint(count), "-per", "250", "-workers", "8", "-out", out); err != nil {
		return 0, err
	}
	told, err := promises(owner.Path("promised-" + name))
	if err != nil {
		return 0, err
	}
	var last time.Time
	err = lab.Poll(c.t.Context(), 5*time.Minute, func() error {
		if err := c.drained(owner, time.Minute); err != nil {
			return err
		}
		seen, _ := c.watch.arrivals(owner.Name)
		for _, p := range told {
			at, ok := seen[p.Key]
			if !ok {
				return fmt.Errorf("%s is not recorded", p.ID)
			}
			if at.After(last) {
				last = at
			}
		}
		return nil
	})
	return float64(len(told)) / last.Sub(began).Seconds(), err
}

// measure is of a consortium that does nothing else.
func (c *consortium) measure(owner *member, name string, pushes, pulls, singles int) (s speed, err error) {
	if s.pushes, err = c.burst(owner, name+"-push", "push", pushes); err != nil {
		return s, err
	}
	if s.pulls, err = c.burst(owner, name+"-pull", "pull", pulls); err != nil {
		return s, err
	}
	p, err := owner.Start("events-"+name, "events", "-hook", "http://127.0.0.1:8080/hooks/mirror", "-secret", "/srv/secret", "-host", mirror,
		"-name", name+"-one", "-per", "1", "-rate", "2", "-count", fmt.Sprint(singles), "-out", "/srv/promised-"+name+"-one")
	if err != nil {
		return s, err
	}
	c.flows = append(c.flows, name+"-one")
	var took []time.Duration
	err = lab.Poll(c.t.Context(), time.Duration(singles)*time.Second+time.Minute, func() error {
		if ended, err := p.Ended(); !ended {
			return fmt.Errorf("events are sent: %w", err)
		}
		told, err := promises(owner.Path("promised-" + name + "-one"))
		if err != nil {
			return err
		}
		seen, _ := c.watch.arrivals(owner.Name)
		took = nil
		for _, p := range told {
			at, ok := seen[p.Key]
			if !ok {
				return fmt.Errorf("%s is not recorded", p.ID)
			}
			took = append(took, at.Sub(p.at))
		}
		return nil
	})
	s.p50, s.p99 = quantile(took, 0.5), quantile(took, 0.99)
	return s, err
}

// delays compares a consortium with itself where its hosts are further apart.
func delays(c *consortium, owner *member, pushes, pulls, singles int) {
	c.t.Helper()
	var first speed
	for _, trip := range []time.Duration{0, 40 * time.Millisecond, 80 * time.Millisecond} {
		for _, h := range c.bed.Hosts {
			if err := h.SetDelay(trip / 4); err != nil {
				c.t.Fatal(err)
			}
		}
		// One event after the change: what the nodes had to find out about it they have found out.
		name := fmt.Sprintf("trip%d", trip.Milliseconds())
		if _, err := c.burst(owner, name+"-warm", "push", 500); err != nil {
			c.t.Fatal(err)
		}
		s, err := c.measure(owner, name, pushes, pulls, singles)
		if err != nil {
			c.t.Fatal(err)
		}
		if trip == 0 {
			first = s
		}
		c.bed.Say("%s from host to host and back: %.0f pushes/s (%.2f of those without delay), %.0f pulls/s (%.2f), accepted to final p50 %s (%.1f times), p99 %s",
			trip, s.pushes, s.pushes/first.pushes, s.pulls, s.pulls/first.pulls, s.p50.Round(time.Millisecond), float64(s.p50)/float64(first.p50), s.p99.Round(time.Millisecond))
	}
	for _, h := range c.bed.Hosts {
		if err := h.SetDelay(0); err != nil {
			c.t.Fatal(err)
		}
	}
	c.judge(owner)
}
