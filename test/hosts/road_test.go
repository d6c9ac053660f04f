package hosts_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/gateway/api"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
	"github.com/waybill-dev/waybill/test/lab"
)

// The registries: one of the vendor's host, and one whose events come from a program, as many as are wanted.
const (
	mirror = "mirror.vendor.example"
	secret = "a-test-secret-of-some-length"
)

func (m *member) registry() string { return m.Service("registry") + ":5000" }

// waybill runs the command line on a member's host.
func (c *consortium) waybill(m *member, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.t.Context()), time.Minute)
	defer cancel()
	return m.Run(ctx, append([]string{"waybill", "--dir", "/srv/org"}, args...)...)
}

// agree makes every member's admin say the same, as a proposal that needs a majority is agreed on. Whoever comes
// after the majority finds it in force.
func (c *consortium) agree(args ...string) error {
	for i, m := range c.members {
		if i > len(c.members)/2 {
			break
		}
		// A peer that is a block behind does not know of the others' votes.
		if err := lab.Poll(c.t.Context(), 30*time.Second, func() error {
			_, err := c.waybill(m, append(args, "--as", m.Name+"/admin")...)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// connect gives the owner's gateway its registries, has the others agree, and starts a registry on the owner's host.
func (c *consortium) connect(m *member) error {
	file := m.Path("org", "gateway", "config.yaml")
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	text := strings.Replace(string(raw), "connectors: []", fmt.Sprintf(`connectors:
  - {name: main, kind: distribution, host: %q, secret_files: [/srv/secret]}
  - {name: mirror, kind: distribution, host: %q, secret_files: [/srv/secret]}`, m.registry(), mirror), 1)
	text = strings.Replace(text, "registries: []", fmt.Sprintf(`registries:
  - {host: %q, insecure: true, allow_private: true}
  - {host: %q, read_back: false}`, m.registry(), mirror), 1)
	if text == string(raw) {
		return fmt.Errorf("%s has registries already", file)
	}
	config := fmt.Sprintf(`version: 0.1
log: {level: warn}
storage: {filesystem: {rootdirectory: /srv/registry}, delete: {enabled: true}}
http: {addr: "0.0.0.0:5000"}
notifications:
  endpoints:
    - {name: waybill, url: "http://127.0.0.1:8080/hooks/main", headers: {Authorization: ["Bearer %s"]}, timeout: 5s, threshold: 3, backoff: 1s, ignore: {mediatypes: [application/octet-stream], actions: [mount]}}
`, secret)
	if err := errors.Join(m.Write("org/gateway/config.yaml", text), m.Write("secret", secret+"\n"), m.Write("registry.yml", config)); err != nil {
		return err
	}
	if err := m.supervisor.Stop(time.Minute); err != nil {
		return err
	}
	if err := c.supervised(m); err != nil {
		return err
	}
	if _, err := m.Start("registry", "registry", "serve", "/srv/registry.yml"); err != nil {
		return err
	}
	for _, host := range []string{m.registry(), mirror} {
		if err := c.agree("registry", "add", host, "--owner", m.msp); err != nil {
			return err
		}
	}
	return nil
}

// status is what a member's gateway says of itself to somebody at its own host or at the bridge.
func (c *consortium) status(ctx context.Context, m *member) (*waybillv1.GetStatusResponse, error) {
	o := m.client()
	keys := o.People["auditor"]
	client, err := api.Dial(ctx, api.ClientConfig{Address: o.GatewayAddress, CAFile: o.GatewayTLSCA, CertFile: keys.Cert, KeyFile: keys.Key})
	if err != nil {
		return nil, err
	}
	defer func() { _ = client.Close() }() // only read from
	return client.GetStatus(ctx)
}

// drained waits until nothing waits in a gateway's queue.
func (c *consortium) drained(m *member, within time.Duration) error {
	return lab.Poll(c.t.Context(), within, func() error {
		ctx, cancel := context.WithTimeout(c.t.Context(), 5*time.Second)
		defer cancel()
		s, err := c.status(ctx, m)
		if err != nil {
			return err
		}
		if q := s.GetQueue(); q.GetPending()+q.GetSealed() > 0 {
			return fmt.Errorf("queue of %s: %d pending, %d sealed: %s", m.Name, q.GetPending(), q.GetSealed(), s.GetWaitingReason())
		}
		return nil
	})
}
