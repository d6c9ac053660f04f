package hosts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// firstUser is the user of the first host; nobody has it elsewhere.
const firstUser = 62001

// Domain is what every host's names end in.
const Domain = "example"

// BridgeAddress is that of the tests.
const BridgeAddress = "10.77.0.254"

// Services are the names that a host has beside its own: peer.vendor.example and so on.
func services() []string { return []string{"peer", "orderer", "gateway", "registry"} }

// Testbed is a bridge and the hosts that are joined by it.
type Testbed struct {
	Dir      string
	Programs string // every host's /usr/local/bin: put programs there before a host is used
	Hosts    []*Host

	tb      testing.TB
	began   time.Time
	mu      sync.Mutex
	crossed []Crossing
}

// New makes a testbed of the named hosts for a test, which is skipped aloud where there can be none. It
// ends with the test, and every process of its hosts with it. Where WAYBILL_HOSTS_KEEP is set the folder stays.
func New(tb testing.TB, names ...string) *Testbed {
	tb.Helper()
	if os.Getenv(atBridge) == "" {
		tb.Skipf("NOT RUN: hosts of their own: %s", unable())
	}
	t := &Testbed{tb: tb, began: time.Now()}
	var err error
	if t.Dir, err = os.MkdirTemp("", "waybill-hosts-"); err != nil { //nolint:usetesting // it may be kept
		tb.Fatal(err)
	}
	tb.Cleanup(t.end)
	if err := t.build(names); err != nil {
		tb.Fatal(err)
	}
	return t
}

func (t *Testbed) build(names []string) error {
	t.Programs = filepath.Join(t.Dir, "programs")
	if err := os.Mkdir(t.Programs, 0o755); err != nil {
		return err
	}
	for _, args := range []string{
		"link set lo up", "link add br0 type bridge", "link set br0 addrgenmode none", "link set br0 up", "addr add " + BridgeAddress + "/24 dev br0",
	} {
		if err := ip(args); err != nil {
			return err
		}
	}
	lines := "127.0.0.1 localhost\n"
	for i, name := range names {
		h := &Host{Name: name, Address: fmt.Sprintf("10.77.0.%d", i+1), Folder: filepath.Join(t.Dir, name), user: firstUser + i, bed: t}
		t.Hosts = append(t.Hosts, h)
		lines += h.Address + " " + h.Domain()
		for _, service := range services() {
			lines += " " + service + "." + h.Domain()
		}
		lines += "\n"
	}
	// At the bridge as well, where only these tests see it.
	file := filepath.Join(t.Dir, "hosts")
	if err := os.WriteFile(file, []byte(lines), 0o644); err != nil {
		return err
	}
	if err := seeNames(file); err != nil {
		return err
	}
	for _, h := range t.Hosts {
		if err := errors.Join(h.furnish(), h.Boot()); err != nil {
			return fmt.Errorf("host %s: %w", h.Name, err)
		}
	}
	return nil
}

// Host returns the named host.
func (t *Testbed) Host(name string) *Host {
	for _, h := range t.Hosts {
		if h.Name == name {
			return h
		}
	}
	t.tb.Helper()
	t.tb.Fatalf("there is no host %s", name)
	return nil
}

// Install puts programs into every host's /usr/local/bin.
func (t *Testbed) Install(programs ...string) error {
	for _, from := range programs {
		if err := t.InstallAs(filepath.Base(from), from); err != nil {
			return err
		}
	}
	return nil
}

// InstallAs puts a program there under another name.
func (t *Testbed) InstallAs(name, from string) error {
	raw, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	// A program may be replaced while it runs, so never written to.
	to := filepath.Join(t.Programs, name)
	return errors.Join(os.WriteFile(to+".new", raw, 0o755), os.Rename(to+".new", to))
}

// Say tells how far a walk is, since when.
func (t *Testbed) Say(format string, args ...any) {
	t.tb.Logf("%6.1fs  %s", time.Since(t.began).Seconds(), fmt.Sprintf(format, args...))
}

func (t *Testbed) end() {
	for _, h := range t.Hosts {
		if err := h.PowerOff(); err != nil {
			t.tb.Error(err)
		}
	}
	if err := errors.Join(unseeNames(), ip("link del br0")); err != nil {
		t.tb.Error(err)
	}
	if os.Getenv("WAYBILL_HOSTS_KEEP") != "" {
		t.tb.Log("kept ", t.Dir)
		return
	}
	if err := os.RemoveAll(t.Dir); err != nil {
		t.tb.Error(err)
	}
}

func ip(args string) error {
	out, err := exec.CommandContext(context.Background(), "ip", strings.Fields(args)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", args, err, out)
	}
	return nil
}
