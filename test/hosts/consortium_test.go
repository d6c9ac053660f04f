package hosts_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/network"
	"github.com/waybill-dev/waybill/test/hosts"
	"github.com/waybill-dev/waybill/test/lab"
)

var cutFor = flag.Duration("hosts.cut", 10*time.Second, "how long a host is cut off")

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
	msp string
}

// consortium is organisations that share a channel.
type consortium struct {
	t       *testing.T
	bed     *hosts.Testbed
	members []*member
	watch   *watcher
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

// must runs a command on a member's host.
func (c *consortium) must(m *member, args ...string) string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 4*time.Minute)
	defer cancel()
	out, err := m.Run(ctx, args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
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
		c.members = append(c.members, &member{bed.Host(name), mspOf(name)})
	}
	bed.Say("each makes its organisation")
	c.every(func(m *member) error {
		_, err := m.Run(ctx, "org", "init", m.Name, m.msp, m.Domain(), m.Address)
		if err == nil {
			_, err = m.Run(ctx, "org", "export", m.Name+".json")
		}
		return err
	})
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
	args := []string{"waybill", "channel", "found", "-o", "genesis.block"}
	for _, m := range c.members {
		args = append(args, "--org", m.Name+".json")
	}
	c.every(func(m *member) error {
		_, err := m.Run(ctx, args...)
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
	bed.Say("each joins with its nodes")
	c.every(func(m *member) error { _, err := m.Run(ctx, "org", "join", "genesis.block"); return err })
	bed.Say("each approves the chaincode")
	c.every(func(m *member) error { _, err := m.Run(ctx, "org", "approve"); return err })
	c.must(c.members[0], "org", "commit")
	c.every(func(m *member) error { _, err := m.Run(ctx, "org", "ready"); return err })
	bed.Say("members")
	args = []string{"org", "found"}
	for _, m := range c.members {
		args = append(args, m.msp)
	}
	c.must(c.members[0], args...)
	for _, m := range c.members {
		c.must(m, "org", "member", m.Name)
	}
	for _, m := range c.members {
		c.watch.follow(ctx, m.client())
	}
	bed.Say("the consortium works")
	return c
}
