package network

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/network/disk"
)

func testNetwork(t *testing.T) *Network {
	t.Helper()
	n, err := New(Options{Dir: filepath.Join(t.TempDir(), "net")})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestForeignDirectoryIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	precious := filepath.Join(dir, "thesis.txt")
	if err := os.WriteFile(precious, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	n, err := New(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for what, act := range map[string]func(context.Context) error{"up": n.Up, "down": n.Down, "reset": n.Reset} {
		if err := act(t.Context()); !errors.Is(err, ErrNoNetwork) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v (%v)", entries, err)
	}
}

func TestExistingNetworkKeepsItsTopology(t *testing.T) {
	n := testNetwork(t)
	if err := n.save(); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Dir: n.dir}); err != nil {
		t.Errorf("with nothing asked for: %v", err)
	}
	_, err := New(Options{Dir: n.dir, Topology: Topology{PortBase: 9000}})
	if err == nil || !strings.Contains(err.Error(), "port base 7050, not 9000") {
		t.Errorf("with another port base: %v", err)
	}
	if _, err := Open(t.TempDir()); !errors.Is(err, ErrNoNetwork) {
		t.Errorf("open an empty directory: %v", err)
	}
}

// What an older version started is found again, and its logs stay with it.
func TestOlderNetworkIsAdopted(t *testing.T) {
	n := testNetwork(t)
	for _, file := range []string{"run/vendor-peer.json", "logs/audit-orderer.log"} {
		if err := disk.Write(filepath.Join(n.dir, file), []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := n.adopt(); err != nil {
			t.Fatal(err)
		}
	}
	for from, to := range map[string]string{
		"run/vendor-peer.json": filepath.Join(n.dir, "orgs/vendor/run/vendor-peer.json"), "logs/audit-orderer.log": n.LogPath("audit-orderer"),
	} {
		if raw, err := os.ReadFile(to); err != nil || string(raw) != from {
			t.Errorf("%s holds %q (%v)", to, raw, err)
		}
	}
}

func TestClientsMoveWithTheirDirectory(t *testing.T) {
	n := testNetwork(t)
	if err := n.writeClients(); err != nil {
		t.Fatal(err)
	}
	moved := filepath.Join(t.TempDir(), "moved")
	if err := os.Rename(n.dir, moved); err != nil {
		t.Fatal(err)
	}
	clients, err := LoadClients(moved)
	if err != nil {
		t.Fatal(err)
	}
	vendor, err := clients.Org("vendor")
	if err != nil {
		t.Fatal(err)
	}
	want := filepath.Join(moved, "orgs/vendor/people/release-manager/key.pem")
	if got := vendor.People["release-manager"].Key; got != want {
		t.Errorf("key at %s, want %s", got, want)
	}
	if _, err := clients.Org("stranger"); err == nil {
		t.Error("an organisation that is not there was found")
	}
}
