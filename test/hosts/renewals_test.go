package hosts_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/test/lab"
)

// renewals has each member renew every certificate on its own host, beside its supervisor, while events flow: its orderer's
// through a vote. Then a person is revoked, and no host takes that person's word any more.
func renewals(c *consortium, owner *member, rate int, quiet time.Duration) {
	c.t.Helper()
	flow := c.flow(owner, "renewals", rate)
	c.flowing(owner)
	for _, m := range c.members {
		began := time.Now()
		if err := c.renews(m); err != nil {
			c.t.Fatalf("%v\n%s", err, c.logs(m))
		}
		gap, at := c.watch.gap(owner.Name, began, time.Now())
		c.bed.Say("%s renewed every certificate within %s; longest time without a block of events %s, from %s", m.Name, time.Since(began).Round(100*time.Millisecond), gap.Round(100*time.Millisecond), at.Format(time.TimeOnly))
		if gap > quiet {
			c.t.Errorf("%s without a block of events while %s renewed", gap, m.Name)
		}
	}
	if err := c.revokes(c.members[1], "scanner"); err != nil {
		c.t.Error(err)
	}
	if err := flow.Stop(20 * time.Second); err != nil {
		c.t.Error(err)
	}
	c.judge(owner)
	count, why := c.restarts()
	c.bed.Say("%d restarts by supervisors %s", count, strings.Join(why, "; "))
}

// renews has a member renew everything: what the channel pins after a vote, and nothing twice.
func (c *consortium) renews(m *member) error {
	if _, err := c.waybill(m, "cert", "renew", "--all"); err != nil {
		return err
	}
	if _, err := c.change(c.majority(m), "orderer-update", "/srv/org/channel/proposed.json"); err != nil {
		return err
	}
	out, err := c.waybill(m, "cert", "renew", "--all", "-o", "json")
	if err != nil {
		return err
	}
	if once, before := strings.Count(out, `"state": "renewed"`), strings.Count(out, `"state": "was renewed before this run"`); once != 1 || before < 10 {
		return fmt.Errorf("after its vote %s renews %d certificates, and %d are done: %s", m.Name, once, before, out)
	}
	return c.until(m, 0, "status", "--as", m.Name+"/auditor")
}

// majority is a member with as many others as decide, the member first.
func (c *consortium) majority(first *member) []*member {
	voters := []*member{first}
	for _, m := range c.members {
		if m != first && len(voters) < len(c.members)/2+1 {
			voters = append(voters, m)
		}
	}
	return voters
}

// revokes has a member take back a person's certificate. An organisation does that alone.
func (c *consortium) revokes(m *member, person string) error {
	as := m.Name + "/" + person
	if err := c.until(m, 0, "context", "set", "still", `"here"`, "--as", as); err != nil {
		return err
	}
	if _, err := c.waybill(m, "cert", "revoke", person); err != nil {
		return err
	}
	if _, err := c.change([]*member{m}, "org-update", "/srv/org/channel/proposed.json"); err != nil {
		return err
	}
	return lab.Poll(c.t.Context(), 10*time.Second, func() error {
		for _, args := range [][]string{{"context", "set", "still", `"there"`}, {"inbox"}} {
			out, err := c.waybill(m, append(args, "--as", as, "--timeout", "5s")...)
			if err == nil {
				return fmt.Errorf("%s acts after it was revoked: %s", as, out)
			}
			c.bed.Say("%s is refused: %s", as, firstLine(out))
		}
		return nil
	})
}
