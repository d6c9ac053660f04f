package hosts_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/test/lab"
)

// change has a change of the channel proposed by the first of those who vote, read and signed by the others on their own
// hosts, and submitted. It returns what the last of them was shown.
func (c *consortium) change(voters []*member, kind, about string) (shown string, err error) {
	first, last := voters[0], voters[len(voters)-1]
	// Where a block was made meanwhile, what was computed is of a configuration that is not in force any more.
	var made struct {
		Result struct{ Proposal struct{ ID string } }
	}
	if err := lab.Poll(c.t.Context(), time.Minute, func() error {
		out, err := c.waybill(first, "channel", "propose", kind, about, "--as", first.Name+"/admin", "-o", "json")
		if err != nil {
			return err
		}
		return json.Unmarshal([]byte(out[max(0, strings.Index(out, "{\n")):]), &made)
	}); err != nil {
		return "", err
	}
	id := made.Result.Proposal.ID
	for _, m := range voters[1:] {
		if err := lab.Poll(c.t.Context(), time.Minute, func() error {
			shown, err = c.waybill(m, "channel", "vote", id, "--as", m.Name+"/admin")
			return err
		}); err != nil {
			return "", err
		}
	}
	return shown, lab.Poll(c.t.Context(), time.Minute, func() error {
		out, err := c.waybill(last, "channel", "submit", id, "--as", last.Name+"/admin")
		if err == nil && !strings.Contains(out, "in force with block") {
			return fmt.Errorf("submit %s: %s", kind, out)
		}
		return err
	})
}

// arrives brings one more organisation into the channel: from its host, with nothing but its descriptor and the first block.
func (c *consortium) arrives(name string) (*member, error) {
	m := &member{Host: c.bed.Host(name), msp: mspOf(name)}
	if err := c.makes(c.t.Context(), m); err != nil {
		return m, err
	}
	for _, other := range c.members {
		if err := c.bed.Carry(m.Host, m.Name+".json", other.Host, m.Name+".json"); err != nil {
			return m, err
		}
	}
	if err := c.bed.Carry(c.members[0].Host, "genesis.block", m.Host, "genesis.block"); err != nil {
		return m, err
	}
	voters := c.members[:len(c.members)/2+1]
	if _, err := c.change(voters, "org-add", "/srv/"+m.Name+".json"); err != nil {
		return m, err
	}
	c.bed.Say("%s is voted in", name)
	// It is not in the first block, and takes none whose hash nobody told it.
	out, err := c.waybill(c.members[0], "channel", "inspect", "genesis.block", "-o", "json")
	if err != nil {
		return m, err
	}
	var report struct {
		GenesisHash string `json:"genesisHash"`
	}
	if err := json.Unmarshal([]byte(out[strings.Index(out, "{"):]), &report); err != nil {
		return m, err
	}
	for _, refused := range [][]string{{}, {"--hash", strings.Repeat("0", 64)}} {
		if err := c.act(m, 1, append([]string{"org", "join", "genesis.block"}, refused...)...); err != nil {
			return m, err
		}
	}
	if err := c.joins(m, "--hash", report.GenesisHash); err != nil {
		return m, err
	}
	c.bed.Say("%s endorses", name)
	if err := c.until(m, 0, "member", "join", name, "--as", name+"/admin"); err != nil {
		return m, err
	}
	if err := errors.Join(c.grants(m), c.supervised(m)); err != nil {
		return m, err
	}
	c.members = append(c.members, m)
	c.watch.follow(c.t.Context(), m.client())
	shown, err := c.change(voters, "orderer-add", "/srv/"+m.Name+".json")
	if err != nil {
		return m, err
	}
	for _, want := range []string{"4 consenters become 5", "4 must sign a block (before: 3)", "1 may lie or be gone (before: 1)"} {
		if !strings.Contains(shown, want) {
			return m, fmt.Errorf("the vote on an orderer does not say %q: %s", want, shown)
		}
	}
	c.bed.Say("the orderer of %s decides with the others", name)
	return m, nil
}

// leaves has the others vote a member out, whose acts are then refused.
func (c *consortium) leaves(gone *member) error {
	var others []*member
	for _, m := range c.members {
		if m != gone {
			others = append(others, m)
		}
	}
	if _, err := c.change(others[:len(c.members)/2+1], "org-remove", gone.msp); err != nil {
		return err
	}
	c.members = others
	c.watch.forget(gone.Name)
	out, err := c.waybill(gone, "context", "set", "still", "here", "--as", gone.Name+"/admin", "--timeout", "10s")
	if err == nil {
		return fmt.Errorf("%s acts after it was removed: %s", gone.Name, out)
	}
	c.bed.Say("%s is out: %s", gone.Name, firstLine(out))
	return nil
}

func firstLine(s string) string { line, _, _ := strings.Cut(strings.TrimSpace(s), "\n"); return line }

// comesAndGoes has a fifth organisation come and a founder go while events flow.
func comesAndGoes(c *consortium, owner, leaver *member, newcomer string, rate int, quiet time.Duration) {
	c.t.Helper()
	flow := c.flow(owner, "members", rate)
	c.flowing(owner)
	began := time.Now()
	m, err := c.arrives(newcomer)
	if err != nil {
		c.t.Fatalf("%v\n%s", err, c.logs(m))
	}
	took, err := c.watch.level(c.t.Context(), time.Minute)
	if err != nil {
		c.t.Error(err)
	}
	out, err := c.waybill(m, "channel", "config", "--as", m.Name+"/auditor")
	if err != nil || !strings.Contains(out, fmt.Sprintf("3 of AuditMSP.peer, %s.peer, PlatformMSP.peer, SecurityMSP.peer, VendorMSP.peer", m.msp)) {
		c.t.Errorf("the endorsement does not follow the membership: %v %s", err, out)
	}
	gap, _ := c.watch.gap(owner.Name, began, time.Now())
	c.bed.Say("%s takes part after %s, level after %s; longest time without a block of events %s", newcomer, time.Since(began).Round(100*time.Millisecond), took.Round(100*time.Millisecond), gap.Round(100*time.Millisecond))
	if gap > quiet {
		c.t.Errorf("%s without a block of events while %s came", gap, newcomer)
	}
	began = time.Now()
	if err := c.leaves(leaver); err != nil {
		c.t.Fatal(err)
	}
	time.Sleep(3 * time.Second)
	gap, _ = c.watch.gap(owner.Name, began, time.Now())
	c.bed.Say("%s left within %s; longest time without a block of events %s", leaver.Name, time.Since(began).Round(100*time.Millisecond), gap.Round(100*time.Millisecond))
	if gap > quiet {
		c.t.Errorf("%s without a block of events while %s left", gap, leaver.Name)
	}
	if err := flow.Stop(20 * time.Second); err != nil {
		c.t.Error(err)
	}
	c.judge(owner)
	// The newcomer's own gateway has the whole history.
	if err := lab.Poll(c.t.Context(), time.Minute, func() error {
		s, err := c.status(c.t.Context(), m)
		if err != nil {
			return err
		}
		if want := c.watch.height(owner.Name); s.GetHeight() != want {
			return fmt.Errorf("the gateway of %s has %d of %d blocks", m.Name, s.GetHeight(), want)
		}
		return nil
	}); err != nil {
		c.t.Error(err)
	}
}

// logs are the ends of a member's logs, where something failed.
func (c *consortium) logs(m *member) string {
	out, err := m.Run(c.t.Context(), "sh", "-c", "tail -n 15 /srv/org/logs/*.log | cut -c1-300")
	if err != nil {
		return err.Error()
	}
	return out
}

// nothingForeign wants that nothing crossed but what may, and no private key lies where it does not belong.
func nothingForeign(c *consortium) {
	c.t.Helper()
	kinds := map[string]int{}
	for _, x := range c.bed.Crossed() {
		kinds[x.Kind]++
	}
	found, keys, files, err := c.bed.ForeignKeys()
	c.bed.Say("crossed by file: %v; of %d private keys on %d hosts none lies on another, in %d files", kinds, keys, len(c.bed.Hosts), files)
	if err != nil || len(found) > 0 || keys == 0 {
		c.t.Errorf("private keys of others: %q, %v", found, err)
	}
}
