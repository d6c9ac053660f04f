// Package bench measures the real network with the real gateway, all on one
// machine. Every figure is printed with its ratio to raw Fabric transactions
// of the same run, because machines differ and runs on one machine do too.
package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/test/lab"
)

const (
	rawTransactions = 1500
	pushEvents      = 100_000
	readEvents      = 30_000
	pulledImages    = 2_000
	pullEvents      = 200_000
	hookEvents      = 50_000
	latencySamples  = 60
	perEnvelope     = 500
	senders         = 8
)

func BenchmarkWaybill(b *testing.B) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	l := network(ctx, b)
	if err := withoutReadBack(l); err != nil {
		b.Fatal(err)
	}
	s, err := serveManifests(ctx, l)
	if err != nil {
		b.Fatal(err)
	}
	for _, host := range []string{l.Registry, s.host} {
		if err := l.AddRegistry(ctx, host, "distribution", lab.Owner); err != nil {
			b.Fatal(err)
		}
	}
	if err := l.StartGateway(ctx, lab.Owner); err != nil {
		b.Fatalf("%v\n%s", err, l.Log("gateway-vendor"))
	}
	for b.Loop() {
		measure(b, ctx, l, s)
	}
}

// network starts one that ends with the benchmark.
func network(ctx context.Context, b *testing.B) *lab.Lab {
	b.Helper()
	l, err := lab.Start(ctx, os.Stderr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := l.Stop(context.WithoutCancel(ctx)); err != nil {
			b.Error(err)
		}
	})
	return l
}

func measure(b *testing.B, ctx context.Context, l *lab.Lab, s *shelves) {
	b.Helper()
	watch, err := follow(ctx, l)
	if err != nil {
		b.Fatal(err)
	}
	var raw, accepted, verdicts float64
	var push, read, pull rates
	filled := func(action provenance.Action, n int) func(*queue.Queue) error {
		return func(q *queue.Queue) error { return fill(ctx, l, q, action, n) }
	}
	var latency []time.Duration
	bounds, held, m := map[string]string{}, &memory{}, &meter{l: l}
	for _, phase := range []struct {
		name string
		run  func() error
	}{
		{"raw", func() (err error) { raw, err = rawRate(ctx, l); return err }},
		{"latency", func() (err error) { latency, err = latencies(ctx, l, watch); return err }},
		{"accepted", func() (err error) { accepted, err = acceptRate(ctx, l, watch, hookEvents); return err }},
		{"push", func() (err error) {
			push, err = drain(ctx, l, watch, m, filled(provenance.Push, pushEvents), pushEvents)
			return err
		}},
		{"read back", func() (err error) {
			read, err = drain(ctx, l, watch, m, func(q *queue.Queue) error { return s.fill(ctx, q, readEvents) }, readEvents)
			return err
		}},
		{"verdict", func() (err error) { verdicts, err = verdictRate(ctx, l, watch); return err }},
		{"pull", func() (err error) {
			stop := held.watch(l, watch)
			pull, err = drain(ctx, l, watch, m, filled(provenance.Pull, pullEvents), pullEvents)
			stop()
			return err
		}},
	} {
		if err := m.start(ctx); err != nil {
			b.Fatal(err)
		}
		if err := phase.run(); err != nil {
			b.Fatalf("%s: %v\n%s", phase.name, err, l.Log("gateway-vendor"))
		}
		if bounds[phase.name], err = m.shares(ctx); err != nil {
			b.Fatal(err)
		}
	}
	slices.Sort(latency)
	p50, p99 := latency[len(latency)/2], latency[len(latency)*99/100]
	b.ReportMetric(raw, "raw-tx/s")
	b.ReportMetric(push.final, "pushes/s")
	b.ReportMetric(push.visible, "pushes-visible/s")
	b.ReportMetric(read.final, "pushes-read-back/s")
	b.ReportMetric(read.visible, "pushes-read-back-visible/s")
	b.ReportMetric(pull.final, "pulls/s")
	b.ReportMetric(pull.visible, "pulls-visible/s")
	b.ReportMetric(verdicts, "verdicts/s")
	b.ReportMetric(float64(p50.Milliseconds()), "p50-ms")
	b.ReportMetric(float64(p99.Milliseconds()), "p99-ms")
	b.ReportMetric(accepted, "accepted/s")
	fmt.Printf(`
raw Fabric, one small key per transaction         %8.0f tx/s            [%s]
notifications accepted (on disk, hook to queue)   %8.0f /s              [%s]
pushes of new images, queue to final              %8.0f /s  = %4.0f × raw [%s]
                      queue to visible            %8.0f /s  = %4.2f × final
the same, read back, manifests beside them        %8.0f /s  = %4.0f × raw [%s]
                      queue to visible            %8.0f /s  = %4.2f × final
pulls, queue to final                             %8.0f /s  = %4.0f × raw [%s]
       queue to visible                           %8.0f /s  = %4.2f × final
memory of the gateway while pulls are recorded    %s
accepted to final, one push, unloaded             p50 %d ms, p99 %d ms (%d samples)
verdicts asked of one peer                        %8.0f /s              [%s]
`, raw, bounds["raw"], accepted, bounds["accepted"],
		push.final, push.final/raw, bounds["push"], push.visible, push.visible/push.final,
		read.final, read.final/raw, bounds["read back"], read.visible, read.visible/read.final,
		pull.final, pull.final/raw, bounds["pull"], pull.visible, pull.visible/pull.final,
		held, p50.Milliseconds(), p99.Milliseconds(), len(latency), verdicts, bounds["verdict"])
}

// meter says which processes took the processors' time since it was started.
type meter struct {
	l     *lab.Lab
	since time.Time
	used  map[string]time.Duration
}

func (m *meter) start(ctx context.Context) (err error) {
	m.since = time.Now()
	m.used, err = m.l.CPU(ctx)
	return err
}

func (m *meter) shares(ctx context.Context) (string, error) {
	used, err := m.l.CPU(ctx)
	return lab.Shares(m.used, used, time.Since(m.since)), err
}

// withoutReadBack: a registry that serves 60,000 manifests would be measured instead of us.
func withoutReadBack(l *lab.Lab) error {
	path := filepath.Join(l.Dir, "network", "orgs", lab.Owner, "gateway", "config.yaml")
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, bytes.Replace(b, []byte("insecure: true,"), []byte("insecure: true, read_back: false,"), 1), 0o600)
}

// rawRate submits transactions that write one small key each.
func rawRate(ctx context.Context, l *lab.Lab) (float64, error) {
	c, err := l.Dial(lab.Owner, "admin")
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }()
	var next atomic.Int64
	run := func(n int64) error {
		var wg sync.WaitGroup
		errs := make(chan error, 64)
		end := next.Load() + n
		for range cap(errs) {
			wg.Go(func() {
				for {
					i := next.Add(1)
					if i > end {
						return
					}
					if _, err := c.Submit(ctx, "member:Grant", fmt.Sprintf("robot-%d", i), "auditor"); err != nil {
						errs <- err
						return
					}
				}
			})
		}
		wg.Wait()
		next.Store(end)
		select {
		case err := <-errs:
			return err
		default:
			return nil
		}
	}
	if err := run(200); err != nil { // warm
		return 0, err
	}
	start := time.Now()
	if err := run(rawTransactions); err != nil {
		return 0, err
	}
	return rawTransactions / time.Since(start).Seconds(), nil
}

func latencies(ctx context.Context, l *lab.Lab, w *watcher) ([]time.Duration, error) {
	var all []time.Duration
	for i := range latencySamples {
		tag := provenance.Tag(fmt.Sprintf("latency-%d-%d", time.Now().UnixNano(), i))
		final := make(chan time.Time, 1)
		w.mu.Lock()
		w.final[tag] = final
		w.mu.Unlock()
		if err := post(ctx, l, []event{newEvent("push", l.Registry, "bench/latency", string(tag))}); err != nil {
			return nil, err
		}
		accepted := time.Now()
		select {
		case at := <-final:
			all = append(all, at.Sub(accepted))
		case <-time.After(30 * time.Second):
			return nil, fmt.Errorf("%s was accepted and is not final after 30s", tag)
		}
	}
	return all, nil
}

// acceptRate posts n events to the hook and returns events accepted, that is
// on disk, per second. They are recorded meanwhile, as they would be.
func acceptRate(ctx context.Context, l *lab.Lab, w *watcher, n int64) (float64, error) {
	before := w.count.Load()
	start := time.Now()
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, senders)
	for s := range senders {
		wg.Go(func() {
			for next.Add(perEnvelope) <= n {
				batch := make([]event, perEnvelope)
				for i := range batch {
					batch[i] = newEvent("pull", l.Registry, fmt.Sprintf("bench/hook-%d-%d", s, i%4), "")
				}
				if err := post(ctx, l, batch); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		return 0, err
	default:
	}
	rate := float64(n) / time.Since(start).Seconds()
	return rate, w.reach(ctx, before+n)
}

type event struct {
	ID        string         `json:"id"`
	Timestamp time.Time      `json:"timestamp"`
	Action    string         `json:"action"`
	Target    map[string]any `json:"target"`
	Request   map[string]any `json:"request"`
	Actor     map[string]any `json:"actor"`
}

// serial names no two events of a run alike.
var serial atomic.Int64

func newEvent(action, host, repo, tag string) event {
	i := serial.Add(1)
	d := provenance.SHA256Of(fmt.Appendf(nil, "bench %d", i)).String()
	if tag == "" && action == "push" {
		tag = fmt.Sprintf("t%d", i)
	}
	target := map[string]any{
		"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": d, "size": 1187, "repository": repo,
		"url": "http://" + host + "/v2/" + repo + "/manifests/" + d,
	}
	if tag != "" {
		target["tag"] = tag
	}
	method := map[string]string{"push": http.MethodPut, "pull": http.MethodGet}[action]
	return event{
		ID: fmt.Sprintf("bench-%d-%d", os.Getpid(), i), Timestamp: time.Now(), Action: action, Target: target,
		Request: map[string]any{"method": method, "useragent": "bench"}, Actor: map[string]any{"name": "ci"},
	}
}

// post sends one envelope, and waits while the gateway asks for patience.
func post(ctx context.Context, l *lab.Lab, events []event) error {
	body, err := json.Marshal(map[string]any{"events": events})
	if err != nil {
		return err
	}
	return lab.Poll(ctx, time.Minute, func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.HookURL(), bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/vnd.docker.distribution.events.v2+json")
		req.Header.Set("Authorization", "Bearer "+lab.Secret)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		var text strings.Builder
		_ = resp.Write(&text) // for the message only
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("hook: %s: %s", resp.Status, text.String())
		}
		return nil
	})
}
