package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
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
	host := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	config, err := json.Marshal(map[string]any{
		"distSpecVersion": "1.0.1-dev", // what this version speaks; it warns of any other
		"storage":         map[string]any{"rootDirectory": filepath.Join(l.Dir, "zot"), "gc": false},
		"http":            map[string]any{"address": "127.0.0.1", "port": strconv.Itoa(port)},
		"log":             map[string]any{"level": "info"},
	})
	if err != nil {
		return "", err
	}
	path := filepath.Join(l.Dir, "zot.json")
	if err := os.WriteFile(path, config, 0o600); err != nil {
		return "", err
	}
	if err := l.run("zot", program, "serve", path); err != nil {
		return "", err
	}
	return host, Poll(ctx, 15*time.Second, func() error { return dial(host) })
}

// Configure gives an organisation's gateway, before it starts, a registry to
// read and further settings in YAML: connectors, sweep.
func (l *Lab) Configure(org, registry, settings string) error {
	path := l.gatewayConfig(org)
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text := strings.Replace(string(b), "registries: []", fmt.Sprintf("registries:\n  - {host: %q, insecure: true, allow_private: true}", registry), 1)
	if strings.Contains(settings, "connectors:") {
		text = strings.Replace(text, "connectors: []", "", 1)
	}
	return os.WriteFile(path, []byte(text+"\n"+settings+"\n"), 0o600)
}
