package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/intake"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/test/lab"
)

const secret = "0123456789abcdef"

// world is a registry that notifies a connector, whose events end in a queue.
type world struct {
	*client
	t     *testing.T
	queue *queue.Queue
	path  string // of the queue

	mu    sync.Mutex
	known map[provenance.Tag]bool // recorded of team/app, by what Accept promised
	seen  int
}

// startWorld starts a registry from a program of CNCF distribution, with a
// connector that takes team/** of it.
func startWorld(t *testing.T, program string) *world {
	t.Helper()
	w := &world{t: t, path: filepath.Join(t.TempDir(), "queue.db"), known: map[provenance.Tag]bool{}}
	if err := queue.Create(t.Context(), w.path); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.queue, err = queue.Open(t.Context(), w.path, queue.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.queue.Close() })
	address := freeAddress(t)
	h, err := intake.New(intake.Config{
		Connectors: []intake.Connector{{Name: "main", Kind: intake.KindDistribution, Host: provenance.Host(address), Secrets: [][]byte{[]byte(secret)}, Repositories: []string{"team/**"}}},
		Sink:       w, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	hook := httptest.NewServer(h)
	t.Cleanup(hook.Close)
	dir := t.TempDir()
	config := filepath.Join(dir, "registry.yml")
	if err := os.WriteFile(config, []byte(registryConfig(filepath.Join(dir, "images"), address, hook.URL+"/hooks/main")), 0o600); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	cmd := exec.Command(program, "serve", config)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			text := log.String()
			t.Logf("the registry said, at last: %s", text[max(0, len(text)-4000):])
		}
	})
	w.client = &client{t: t, base: "http://" + address}
	err = lab.Poll(t.Context(), 15*time.Second, func() error {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			err = c.Close()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// registryConfig is that of a registry that tells everything it can, and
// repeats what is refused at once and for ever.
func registryConfig(folder, address, hook string) string {
	return fmt.Sprintf(`version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: %q}, delete: {enabled: true}}
http: {addr: %q}
validation: {disabled: true}
notifications:
  events: {includereferences: true}
  endpoints:
    - name: waybill
      url: %q
      headers: {Authorization: ["Bearer %s"]}
      timeout: 5s
      threshold: 1000
      backoff: 100ms
`, folder, address, hook, secret)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// Accept implements intake.Sink: the queue's, and notes what it promised.
func (w *world) Accept(ctx context.Context, deliveries []delivery.Delivery) (delivery.Accepted, error) {
	got, err := w.queue.Accept(ctx, deliveries)
	if err == nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, d := range deliveries {
			w.seen++
			if d.Event.Repository == "team/app" && d.Event.Action == provenance.Push {
				w.known[d.Event.Tag] = true
			}
		}
	}
	return got, err
}

// AcceptUnusable implements intake.Sink.
func (w *world) AcceptUnusable(ctx context.Context, events []delivery.Unusable) error {
	return w.queue.AcceptUnusable(ctx, events)
}

// ordinary pushes an image under a tag of its own and waits until it is on disk.
func (w *world) ordinary(tag provenance.Tag) error {
	if code := w.put("/v2/team/app/manifests/"+string(tag), typeManifest, w.image("team/app", nil)); code != 201 {
		return fmt.Errorf("an ordinary push: %d", code)
	}
	deadline := time.Now().Add(15 * time.Second)
	for time.Now().Before(deadline) {
		w.mu.Lock()
		known := w.known[tag]
		w.mu.Unlock()
		if known {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return errors.New("the push behind it did not arrive")
}
