package lab

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Replica is one of several gateways of an organisation.
type Replica struct {
	Name  string // for KillGateway, StopGateway and the name of its log
	Hooks string // host:port
	API   string
}

// ShareDatabases moves an organisation's queue and index to a PostgreSQL
// database, before its gateway is first started, and its hooks to another
// address, so that something can stand before several gateways.
func (l *Lab) ShareDatabases(org, url string) (Replica, error) {
	file := filepath.Join(l.Dir, org+".url")
	if err := os.WriteFile(file, []byte(url+"\n"), 0o600); err != nil {
		return Replica{}, err
	}
	port, err := freeBase(1)
	if err != nil {
		return Replica{}, err
	}
	r := Replica{Name: org, Hooks: local(port), API: local(l.ports[org].GatewayAPI)}
	return r, rewrite(l.gatewayConfig(org), l.gatewayConfig(org), func(text string) string {
		return strings.ReplaceAll(text, local(l.ports[org].GatewayIntake), r.Hooks) + fmt.Sprintf("queue: {url_file: %q}\nindex: {url_file: %q}\n", file, file)
	})
}

// AddReplica makes the configuration of another gateway of an organisation that
// shares the first one's databases: the same identity, other addresses, a
// data_dir of its own.
func (l *Lab) AddReplica(first Replica, name string) (Replica, error) {
	base, err := freeBase(3)
	if err != nil {
		return Replica{}, err
	}
	r := Replica{Name: name, Hooks: local(base), API: local(base + 1)}
	from, to := l.gatewayConfig(first.Name), l.gatewayConfig(name)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return Replica{}, err
	}
	return r, rewrite(from, to, strings.NewReplacer(
		first.Hooks, r.Hooks, first.API, r.API, local(l.ports[first.Name].GatewayMetrics), local(base+2),
		filepath.Join(filepath.Dir(from), "data"), filepath.Join(filepath.Dir(to), "data"),
	).Replace)
}

// StartReplica starts a gateway of AddReplica or ShareDatabases, having it
// create what is missing, and waits until its port answers.
func (l *Lab) StartReplica(ctx context.Context, r Replica) error {
	gateway, config := filepath.Join(l.Bin, "waybill-gateway"), l.gatewayConfig(r.Name)
	if out, err := exec.CommandContext(ctx, gateway, "init", "--config", config).CombinedOutput(); err != nil {
		return fmt.Errorf("gateway init: %w: %s", err, out)
	}
	if err := l.run("gateway-"+r.Name, gateway, "run", "--config", config); err != nil {
		return err
	}
	return Poll(ctx, 30*time.Second, func() error {
		if err := dial(r.API); err != nil {
			return err
		}
		return dial(r.Hooks)
	})
}

// Reindex builds an organisation's index from its peer's blocks into a SQLite
// file of its own and returns the file's name.
func (l *Lab) Reindex(ctx context.Context, org string) (string, error) {
	dir := filepath.Join(l.Dir, "rebuilt-"+org)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	config := filepath.Join(dir, "config.yaml")
	err := rewrite(l.gatewayConfig(org), config, func(text string) string {
		before, _, _ := strings.Cut(text, "\nqueue: {url_file")
		return strings.ReplaceAll(before+"\n", filepath.Join(filepath.Dir(l.gatewayConfig(org)), "data"), dir)
	})
	if err != nil {
		return "", err
	}
	if out, err := exec.CommandContext(ctx, filepath.Join(l.Bin, "waybill-gateway"), "reindex", "--config", config).CombinedOutput(); err != nil {
		return "", fmt.Errorf("reindex: %w: %s", err, out)
	}
	return filepath.Join(dir, "index.db"), nil
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func rewrite(from, to string, change func(string) string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, []byte(change(string(b))), 0o600)
}
