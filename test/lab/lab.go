// Package lab runs the whole of Waybill for tests: the real binaries, a real
// four-organisation network, a real registry and a gateway for each
// organisation that a test asks for, in one temporary folder on free ports.
package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/network"
	"github.com/waybill-dev/waybill/network/provision"
)

// Secret is what the registry sends as its shared secret.
const Secret = "a-test-secret-of-some-length"

// Owner is the organisation that owns the registry.
const Owner = "vendor"

// Lab is a running installation.
type Lab struct {
	Dir      string
	Bin      string // the built binaries, crane among them
	Net      *network.Network
	Clients  network.Clients
	Registry string // host:port, as in an image's name

	programs network.RegistryTools
	ports    map[string]network.Ports
	procs    map[string]*exec.Cmd
	watching sync.Mutex
	peers    map[string]*ledger.Client // who Settle asks; guarded by watching
	log      io.Writer
}

// Start brings everything up but the gateways. Progress goes to log.
func Start(ctx context.Context, log io.Writer) (*Lab, error) {
	dir, err := os.MkdirTemp("", "waybill-lab-")
	if err != nil {
		return nil, err
	}
	l := &Lab{Dir: dir, Bin: filepath.Join(dir, "bin"), procs: map[string]*exec.Cmd{}, peers: map[string]*ledger.Client{}, ports: map[string]network.Ports{}, log: log}
	if err := l.start(ctx); err != nil {
		return nil, errors.Join(err, l.Stop(context.WithoutCancel(ctx)))
	}
	return l, nil
}

func (l *Lab) start(ctx context.Context) error {
	root, err := Root()
	if err != nil {
		return err
	}
	build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", l.Bin+"/", "./cmd/...")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	if l.programs, err = network.BuildRegistryTools(ctx, l.log); err != nil {
		return err
	}
	if err := os.Symlink(l.programs.Crane, filepath.Join(l.Bin, "crane")); err != nil {
		return err
	}
	topology := network.Default()
	if topology.PortBase, err = freeBase(len(topology.Orgs)*10 + 10); err != nil {
		return err
	}
	for i, o := range topology.Orgs {
		l.ports[o.Name] = topology.Ports(i)
	}
	l.Registry = net.JoinHostPort("127.0.0.1", strconv.Itoa(topology.PortBase+len(topology.Orgs)*10))
	l.Net, err = network.New(network.Options{
		Dir: filepath.Join(l.Dir, "network"), Topology: topology, ChaincodeBinary: filepath.Join(l.Bin, "waybill-chaincode"), Progress: l.log,
		Provision:     func(ctx context.Context, n *network.Network) error { return provision.Members(ctx, n.Clients()) },
		GatewayConfig: provision.GatewayConfig,
	})
	if err != nil {
		return err
	}
	if err := l.Net.Up(ctx); err != nil {
		return err
	}
	l.Clients = l.Net.Clients()
	if err := l.configure(); err != nil {
		return err
	}
	return l.StartRegistry(ctx)
}

// configure gives the owner's gateway its registry and the registry its hook.
func (l *Lab) configure() error {
	secret := filepath.Join(l.Dir, "secret")
	if err := os.WriteFile(secret, []byte(Secret+"\n"), 0o600); err != nil {
		return err
	}
	path := l.gatewayConfig(Owner)
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text := strings.Replace(string(b), "connectors: []", fmt.Sprintf("connectors:\n  - {name: main, kind: distribution, host: %q, secret_files: [%q]}", l.Registry, secret), 1)
	text = strings.Replace(text, "registries: []", fmt.Sprintf("registries:\n  - {host: %q, insecure: true, allow_private: true}", l.Registry), 1)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	config := distributionConfig(filepath.Join(l.Dir, "registry"), l.Registry, l.HookURL())
	return os.WriteFile(filepath.Join(l.Dir, "registry.yml"), []byte(config), 0o600)
}

// distributionConfig configures CNCF distribution, 2.8 or 3, that keeps its
// images in a folder and notifies a hook.
func distributionConfig(folder, address, hook string) string {
	return fmt.Sprintf(`version: 0.1
log: {level: warn}
storage: {filesystem: {rootdirectory: %q}, delete: {enabled: true}}
http: {addr: %q}
notifications:
  endpoints:
    - name: waybill
      url: %q
      headers: {Authorization: ["Bearer %s"]}
      timeout: 5s
      threshold: 3
      backoff: 1s
      ignore: {mediatypes: [application/octet-stream], actions: [mount]}
`, folder, address, hook, Secret)
}

// HookURL is where the owner's gateway takes notifications.
func (l *Lab) HookURL() string {
	return fmt.Sprintf("http://127.0.0.1:%d/hooks/main", l.ports[Owner].GatewayIntake)
}

func (l *Lab) gatewayConfig(org string) string {
	return filepath.Join(l.Dir, "network", "orgs", org, "gateway", "config.yaml")
}

// Stop ends every process and removes the folder, unless WAYBILL_LAB_KEEP is set.
func (l *Lab) Stop(ctx context.Context) error {
	l.forget()
	var errs []error
	for name := range l.procs {
		errs = append(errs, l.end(name, os.Interrupt))
	}
	if l.Net != nil {
		errs = append(errs, l.Net.Down(ctx))
	}
	if os.Getenv("WAYBILL_LAB_KEEP") != "" {
		fmt.Fprintln(l.log, "kept", l.Dir)
		return errors.Join(errs...)
	}
	return errors.Join(append(errs, os.RemoveAll(l.Dir))...)
}

// Root is the repository's root folder, found from the working directory.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "network", "tools", "go.mod")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("not inside Waybill's repository")
}

// freeBase finds n adjacent free ports below the kernel's ephemeral range.
func freeBase(n int) (int, error) {
	for range 100 {
		base := 10000 + 10*rand.IntN(2000)
		free := true
		for p := base; p < base+n && free; p++ {
			l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p)))
			if err != nil {
				free = false
			} else if err := l.Close(); err != nil {
				return 0, err
			}
		}
		if free {
			return base, nil
		}
	}
	return 0, errors.New("no free range of ports")
}

// Poll calls try every 100 ms until it returns nil, or returns its last error
// when the time is over.
func Poll(ctx context.Context, within time.Duration, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %s: %w", within, err)
		case <-tick.C:
		}
	}
}
