package network_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/network"
)

func TestUpDownUp(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a whole Fabric network")
	}
	ctx := t.Context()
	tools, err := network.BuildTools(ctx, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	base, err := network.FreePortBase(4, 20000+40*rand.IntN(200))
	if err != nil {
		t.Fatal(err)
	}
	provisioned := 0
	opts := network.Options{
		Dir:             filepath.Join(t.TempDir(), "net"),
		Topology:        network.Topology{PortBase: base},
		ChaincodeBinary: buildChaincode(t),
		Tools:           tools,
		Log:             slog.New(slog.NewTextHandler(t.Output(), nil)),
		Provision:       func(context.Context, *network.Network) error { provisioned++; return nil },
	}
	n, err := network.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := n.Reset(ctx); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(opts.Dir); !os.IsNotExist(err) {
			t.Errorf("reset left %s behind: %v", opts.Dir, err)
		}
	})
	must := func(what string, act func() error) {
		t.Helper()
		start := time.Now()
		if err := act(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		t.Logf("%s took %v", what, time.Since(start).Round(time.Millisecond))
	}
	up := func() error { return n.Up(ctx) }

	must("up from nothing", up)
	first := height(t, n, network.Running)
	if first < 3 { // the first block, approvals, the definition
		t.Errorf("height is only %d", first)
	}
	genesis := read(t, n.Clients().Genesis)

	must("up while up", up)

	for _, node := range []string{"vendor-orderer", "security-peer", "audit-chaincode"} {
		must("kill -9 "+node, func() error { return n.Kill(ctx, node, syscall.SIGKILL) })
	}
	must("up after kill -9", up)
	height(t, n, network.Running)

	must("down", func() error { return n.Down(ctx) })
	height(t, n, network.Stopped)

	// As another process would: from the directory alone.
	opened, err := network.Open(opts.Dir)
	if err != nil {
		t.Fatal(err)
	}
	n = opened
	must("up after down", up)
	if again := height(t, n, network.Running); again < first {
		t.Errorf("height is %d after a restart, was %d", again, first)
	}
	if genesis != read(t, n.Clients().Genesis) {
		t.Error("the first block was made again")
	}
	if provisioned != 1 {
		t.Errorf("provisioned %d times", provisioned)
	}

	must("stop an organisation", func() error { return n.StopOrg(ctx, "vendor") })
	must("start it again", func() error { return n.StartOrg(ctx, "vendor", 30*time.Second) })
	must("all ready", func() error { return n.WaitReady(ctx) })
}

// height checks that every node has the wanted health and returns the least height of the peers.
func height(t *testing.T, n *network.Network, want network.Health) uint64 {
	t.Helper()
	report, err := n.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(report) != 12 {
		t.Errorf("%d nodes in the report", len(report))
	}
	least := ^uint64(0)
	for _, s := range report {
		if s.Health != want {
			t.Errorf("%s is %s, want %s", s.Node, s.Health, want)
		}
		if s.Kind == network.KindPeer {
			least = min(least, s.Height)
		}
	}
	return least
}

func buildChaincode(t *testing.T) string {
	t.Helper()
	if _, err := os.Stat("../cmd/waybill-chaincode"); err != nil {
		t.Fatalf("the chaincode's program is not in this tree: %v", err)
	}
	bin := filepath.Join(t.TempDir(), "waybill-chaincode")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./cmd/waybill-chaincode")
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the chaincode: %v\n%s", err, out)
	}
	return bin
}

func read(t *testing.T, file string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
