package hosts_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/network"
	"github.com/waybill-dev/waybill/network/org"
	"github.com/waybill-dev/waybill/test/chaos/check"
	"github.com/waybill-dev/waybill/test/hosts"
	"github.com/waybill-dev/waybill/test/lab"
	"github.com/waybill-dev/waybill/test/rogue"
)

// prepare builds what is run on hosts, while there is a way to the modules.
func prepare(dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	root, err := lab.Root()
	if err != nil {
		return err
	}
	build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", dir+"/", "./cmd/...")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	next := filepath.Join(dir, "next")
	if err := os.Mkdir(next, 0o755); err != nil { //nolint:gosec // G301: nothing secret
		return err
	}
	if err := rogue.Later().Build(ctx, next, "-o", filepath.Join(dir, "waybill-chaincode-2"), "./cmd/waybill-chaincode"); err != nil {
		return err
	}
	if err := os.RemoveAll(next); err != nil {
		return err
	}
	fabric, err := network.BuildTools(ctx, os.Stderr)
	if err != nil {
		return err
	}
	registry, err := network.BuildRegistryTools(ctx, os.Stderr)
	if err != nil {
		return err
	}
	for _, program := range []string{fabric.Peer, fabric.Orderer, registry.Registry, registry.Crane} {
		if err := os.Symlink(program, filepath.Join(dir, filepath.Base(program))); err != nil {
			return err
		}
	}
	return nil
}

// member is an organisation on a host of its own.
type member struct {
	*hosts.Host
	msp        string
	supervisor *hosts.Process
}

// consortium is organisations that share a channel.
type consortium struct {
	t       *testing.T
	bed     *hosts.Testbed
	members []*member
	watch   *watcher
	pushed  []check.Claim // what a registry took
	flows   []string      // what was sent besides, by the names of the senders
}

func mspOf(name string) string { return strings.ToUpper(name[:1]) + name[1:] + "MSP" }

// client is a member's organisation as its own people see it, with the paths that the tests see.
func (m *member) client() network.Client {
	in := func(parts ...string) string { return m.Path(append([]string{"org"}, parts...)...) }
	c := network.Client{
		Org: m.Name, MSPID: m.msp, PeerAddress: m.Service("peer") + ":7051", PeerTLSCA: in("ca", "tlsca.crt"),
		GatewayAddress: m.Service("gateway") + ":8443", GatewayTLSCA: in("ca", "tlsca.crt"), EnrolmentCA: in("ca", "ca.crt"), People: map[string]network.Identity{},
	}
	for _, name := range network.People() {
		c.People[name] = network.Identity{Cert: in("people", name, "cert.pem"), Key: in("people", name, "key.pem")}
	}
	return c
}

// every does something for all members side by side, and ends the test where one fails.
func (c *consortium) every(do func(*member) error) {
	c.t.Helper()
	errs := make(chan error, len(c.members))
	for _, m := range c.members {
		go func() { errs <- do(m) }()
	}
	for range c.members {
		if err := <-errs; err != nil {
			c.t.Error(err)
		}
	}
	if c.t.Failed() {
		c.t.FailNow()
	}
}

// makes has a member make its organisation and export its descriptor.
func (c *consortium) makes(ctx context.Context, m *member) error {
	at := fmt.Sprintf("peer=%s:7051,orderer=%s:7050,gateway=%s:8443", m.Service("peer"), m.Service("orderer"), m.Service("gateway"))
	if _, err := c.waybill(m, "org", "init", m.Name, "--msp", m.msp, "--host", at, "--listen", "hooks=127.0.0.1:8080"); err != nil {
		return err
	}
	_, err := c.waybill(m, "org", "export", "-o", m.Name+".json")
	return err
}

// joins has a member join the channel of the first block that lies with it, and approve the chaincode.
func (c *consortium) joins(m *member, flags ...string) error {
	if _, err := c.waybill(m, append([]string{"org", "join", "genesis.block"}, flags...)...); err != nil {
		return err
	}
	// Who comes late has the whole chain to read before its peer answers.
	return lab.Poll(c.t.Context(), 3*time.Minute, func() error { return c.act(m, 0, "chaincode", "approve") })
}

// grants gives a member's people the roles that they are named after.
func (c *consortium) grants(m *member) error {
	for _, role := range []string{"gateway", "publisher", "scanner", "release-manager", "auditor"} {
		if err := c.until(m, 0, "member", "grant", role, role, "--as", m.Name+"/admin"); err != nil {
			return err
		}
	}
	return nil
}

// supervised hands a member's nodes to a supervisor in the foreground, as systemd runs it.
func (c *consortium) supervised(m *member) error {
	if _, err := c.waybill(m, "org", "down"); err != nil {
		return err
	}
	var err error
	if m.supervisor, err = m.Start("supervisor", "waybill", "--dir", "/srv/org", "org", "up", "--foreground"); err != nil {
		return err
	}
	// A latecomer's gateway has the whole history to read before it answers for the present.
	return lab.Poll(c.t.Context(), 4*time.Minute, func() error { return c.act(m, 0, "status", "--as", m.Name+"/auditor") })
}

// restarts counts what the supervisors started again, and why.
func (c *consortium) restarts() (count int, why []string) {
	for _, m := range c.members {
		var all map[string]org.Restarts
		raw, err := os.ReadFile(m.Path("org", "run", "restarts.json"))
		if err == nil {
			err = json.Unmarshal(raw, &all)
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			why = append(why, err.Error())
		}
		for node, r := range all {
			count += r.Count
			why = append(why, fmt.Sprintf("%s %d times: %s", node, r.Count, r.Why))
		}
	}
	slices.Sort(why)
	return count, why
}

// found walks README's road for organisations on hosts of their own.
func found(t *testing.T, bed *hosts.Testbed, names ...string) *consortium {
	t.Helper()
	ctx := t.Context()
	c := &consortium{t: t, bed: bed, watch: &watcher{channel: "waybill", chaincode: "waybill"}}
	files, err := filepath.Glob(filepath.Join(hosts.Built(), "*"))
	if err == nil {
		err = bed.Install(files...)
	}
	if err == nil {
		err = installPrograms(bed)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		c.members = append(c.members, &member{Host: bed.Host(name), msp: mspOf(name)})
	}
	bed.Say("each makes its organisation")
	c.every(func(m *member) error { return c.makes(ctx, m) })
	bed.Say("descriptors are handed round, and everybody makes the first block")
	for _, from := range c.members {
		for _, to := range c.members {
			if from == to {
				continue
			}
			if err := bed.Carry(from.Host, from.Name+".json", to.Host, from.Name+".json"); err != nil {
				t.Fatal(err)
			}
		}
	}
	var orgs []string
	for _, m := range c.members {
		orgs = append(orgs, "--org", m.Name+".json")
	}
	c.every(func(m *member) error {
		if _, err := c.waybill(m, append([]string{"channel", "found", "-o", "genesis.block"}, orgs...)...); err != nil {
			return err
		}
		out, err := c.waybill(m, append([]string{"channel", "inspect", "genesis.block"}, orgs...)...)
		if err == nil && !strings.Contains(out, "exactly what the descriptors say") {
			return fmt.Errorf("%s sees in its own first block: %s", m.Name, out)
		}
		return err
	})
	var first []byte
	for _, m := range c.members {
		raw, err := os.ReadFile(m.Path("genesis.block"))
		if first == nil {
			first = raw
		}
		if err != nil || !bytes.Equal(raw, first) {
			t.Fatalf("%s made another first block, %v", m.Name, err)
		}
	}
	bed.Say("each joins with its nodes and approves the chaincode")
	c.every(func(m *member) error { return c.joins(m) })
	first0 := c.members[0]
	if err := c.until(first0, 0, "chaincode", "commit"); err != nil {
		t.Fatal(err)
	}
	bed.Say("each becomes a member, and its nodes are kept alive by a supervisor")
	args := []string{"member", "found", "--as", first0.Name + "/admin"}
	for _, m := range c.members {
		args = append(args, m.msp)
	}
	if err := c.until(first0, 0, args...); err != nil {
		t.Fatal(err)
	}
	// One after the other: all joins write the one list of members.
	for _, m := range c.members {
		if err := c.until(m, 0, "member", "join", m.Name, "--as", m.Name+"/admin"); err != nil {
			t.Fatal(err)
		}
	}
	c.every(func(m *member) error { return errors.Join(c.grants(m), c.supervised(m)) })
	for _, m := range c.members {
		c.watch.follow(ctx, m.client())
	}
	bed.Say("the consortium works")
	return c
}
