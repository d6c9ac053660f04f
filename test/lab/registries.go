package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/network"
)

// StartZot builds zot and starts it with a folder of its own. It returns the
// registry's name, host:port.
func (l *Lab) StartZot(ctx context.Context) (string, error) {
	program, err := network.BuildZot(ctx, l.log)
	if err != nil {
		return "", err
	}
	port, err := freeBase(1)
	if err != nil {
		return "", err
	}
	config, err := json.Marshal(map[string]any{
		"distSpecVersion": "1.0.1-dev", // what this version speaks; it warns of any other
		"storage":         map[string]any{"rootDirectory": filepath.Join(l.Dir, "zot"), "gc": false},
		"http":            map[string]any{"address": "127.0.0.1", "port": strconv.Itoa(port)},
		"log":             map[string]any{"level": "info"},
	})
	if err != nil {
		return "", err
	}
	return l.serve(ctx, "zot", program, config, local(port))
}

// Debian is the name of the program in Debian's package docker-registry.
const Debian = "docker-registry"

// StartDebian starts Debian's registry, CNCF distribution 2.8, which notifies
// the hook of the connector "debian" of an organisation's gateway. It returns
// its name, host:port. A program that is not installed is exec.ErrNotFound.
func (l *Lab) StartDebian(ctx context.Context, org string) (string, error) {
	program, err := exec.LookPath(Debian)
	if err != nil {
		return "", err
	}
	port, err := freeBase(1)
	if err != nil {
		return "", err
	}
	hook := fmt.Sprintf("http://%s/hooks/debian", local(l.ports[org].GatewayIntake))
	config := distributionConfig(filepath.Join(l.Dir, Debian), local(port), hook)
	host, err := l.serve(ctx, Debian, program, []byte(config), local(port))
	if err != nil {
		return "", err
	}
	connector := fmt.Sprintf("connectors:\n  - {name: debian, kind: distribution, host: %q, secret_files: [%q]}", host, filepath.Join(l.Dir, "secret"))
	return host, rewrite(l.gatewayConfig(org), l.gatewayConfig(org), func(text string) string {
		return strings.Replace(text, "connectors: []", connector, 1)
	})
}

// serve starts a registry whose configuration is its only argument.
func (l *Lab) serve(ctx context.Context, name, program string, config []byte, address string) (string, error) {
	path := filepath.Join(l.Dir, name+".json") // zot goes by the ending, the others do not
	if err := os.WriteFile(path, config, 0o600); err != nil {
		return "", err
	}
	if err := l.run(name, program, "serve", path); err != nil {
		return "", err
	}
	return address, Poll(ctx, 15*time.Second, func() error { return dial(address) })
}

// ReadRegistry gives an organisation's gateway, before it starts, a registry to
// read and further settings in YAML.
func (l *Lab) ReadRegistry(org, registry, settings string) error {
	return rewrite(l.gatewayConfig(org), l.gatewayConfig(org), func(text string) string {
		return strings.Replace(text, "registries: []", fmt.Sprintf("registries:\n  - {host: %q, insecure: true, allow_private: true}\n%s", registry, settings), 1)
	})
}
