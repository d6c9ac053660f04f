package hosts_test

import (
	"errors"
	"fmt"
	"time"
)

// upgrade has the members run another version of the contract while events flow, the last of them late: nothing is
// lost, and who is asked says the same before, meanwhile and after.
func upgrade(c *consortium, owner *member, rate int, quiet time.Duration) {
	c.t.Helper()
	const program = "waybill-chaincode-2" // another one: prepare builds it
	released, waiting := owner.registry()+"/team/app:1.0", owner.registry()+"/team/app:2.0"
	if err := c.push(owner, waiting); err != nil {
		c.t.Fatal(err)
	}
	same := func(when string, asked ...*member) {
		c.t.Helper()
		for _, m := range asked {
			as := m.Name + "/auditor"
			// 12: it is recorded, and nobody approved it.
			err := errors.Join(c.until(m, 0, "verify", released, "--stage", "production", "--as", as), c.until(m, notYet, "verify", waiting, "--stage", "production", "--as", as))
			if err != nil {
				c.t.Errorf("%s: %v", when, err)
			}
		}
	}
	same("before", c.members...)
	flow := c.flow(owner, "upgrade", rate)
	c.flowing(owner)
	began := time.Now()
	late, inTime := c.members[len(c.members)-1], c.members[:len(c.members)-1]
	next := []string{"chaincode", "upgrade", "--version", "2", "--program", "/usr/local/bin/" + program}
	for _, m := range inTime {
		if err := c.until(m, 0, next...); err != nil {
			c.t.Fatalf("%v\n%s", err, c.logs(m))
		}
	}
	if err := c.until(owner, 0, "chaincode", "commit"); err != nil {
		c.t.Fatal(err)
	}
	c.flowing(owner)
	same(fmt.Sprintf("while %s is late", late.Name), inTime...)
	if out, err := c.waybill(late, "chaincode", "status"); err != nil {
		c.t.Error(err)
	} else {
		c.bed.Say("%s is late: %s", late.Name, firstLine(out))
	}
	if err := c.until(late, 0, next...); err != nil {
		c.t.Fatalf("%v\n%s", err, c.logs(late))
	}
	same("after", c.members...)
	c.flowing(owner)
	gap, _ := c.watch.gap(owner.Name, began, time.Now())
	c.bed.Say("the contract's next version is run by %d organisations, the last of them late, within %s; longest time without a block of events %s", len(c.members), time.Since(began).Round(100*time.Millisecond), gap.Round(100*time.Millisecond))
	if gap > quiet {
		c.t.Errorf("%s without a block of events during an upgrade", gap)
	}
	if err := flow.Stop(20 * time.Second); err != nil {
		c.t.Error(err)
	}
	c.judge(owner)
}
