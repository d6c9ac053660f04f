package gateway

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/connlimit"
	"github.com/waybill-dev/waybill/gateway/intake"
	"github.com/waybill-dev/waybill/gateway/queue"
)

// metrics is the gateway's Prometheus registry; nothing is global.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	events   *prometheus.CounterVec
	recorded prometheus.Counter
	segments prometheus.Histogram
	calls    *prometheus.HistogramVec
	evidence *prometheus.CounterVec
	witness  *prometheus.CounterVec
	proven   *prometheus.CounterVec
	releases *prometheus.CounterVec
	ticks    *prometheus.CounterVec
	behind   prometheus.Gauge
	findings *prometheus.CounterVec
	swept    *prometheus.GaugeVec
	purged   prometheus.Counter
}

func newMetrics(q *queue.Queue) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "waybill_hook_requests_total", Help: "Notifications by connector and HTTP status."}, []string{"connector", "status"}),
		events:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "waybill_hook_events_total", Help: "Events by connector and outcome."}, []string{"connector", "outcome"}),
		recorded: prometheus.NewCounter(prometheus.CounterOpts{Name: "waybill_recorded_events_total", Help: "Events known to be on the ledger."}),
		segments: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "waybill_segment_seconds", Help: "From the endorsement of a segment to its commit.", Buckets: prometheus.ExponentialBuckets(0.05, 2, 10)}),
		calls:    prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "waybill_api_seconds", Help: "API calls by method and error code.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 8)}, []string{"method", "code"}),
		evidence: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "waybill_evidence_total", Help: "Artifacts beside images by outcome: recorded, known, refused, unverified, ignored; keys-left-out: not every key of a member was tried."}, []string{"outcome"}),
		witness:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "waybill_witness_total", Help: "Looks at other organisations' registries by outcome. A disagreement is a push that its registry does not serve: look into it."}, []string{"outcome"}),
		proven:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "waybill_proven_total", Help: "Images recorded by their digest alone and looked at again, by outcome: proven, gone."}, []string{"outcome"}),
		releases: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "waybill_auto_releases_total", Help: "Releases asked for by this gateway, by outcome."}, []string{"outcome"}),
		ticks:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "waybill_clock_ticks_total", Help: "Moves of the ledger's clock by this gateway, by outcome: ticked, failed."}, []string{"outcome"}),
		behind:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "waybill_clock_age_seconds", Help: "How far the ledger's clock is behind. Beyond 120 nothing that depends on time is decided: does a gateway of any member run?"}),
		findings: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "waybill_sweep_findings_total", Help: "Differences between a registry and the ledger that nobody notified, by kind. Other bytes for a recorded digest: look into it."}, []string{"registry", "kind"}),
		swept:    prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "waybill_sweep_finished_seconds", Help: "When the last sweep of a registry was finished, Unix time."}, []string{"registry"}),
		purged:   prometheus.NewCounter(prometheus.CounterOpts{Name: "waybill_purged_segments_total", Help: "Segments whose pulls' clients were purged because of their age."}),
	}
	m.registry.MustRegister(m.requests, m.events, m.recorded, m.segments, m.calls, m.evidence, m.witness, m.proven, m.releases, m.ticks, m.behind, m.findings, m.swept, m.purged, queueCollector{q}, taskCollector{q.Tasks()},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) intake() intake.Metrics {
	return intake.Metrics{
		Request: func(connector string, status int) { m.requests.WithLabelValues(connector, strconv.Itoa(status)).Inc() },
		Event:   func(connector, outcome string, n int) { m.events.WithLabelValues(connector, outcome).Add(float64(n)) },
	}
}

func (m *metrics) call(method string, code provenance.Code, took time.Duration) {
	m.calls.WithLabelValues(method, string(code)).Observe(took.Seconds())
}

// serve answers /metrics over plain HTTP; without an address it only waits.
func (m *metrics) serve(ctx context.Context, address string) error {
	if address == "" {
		<-ctx.Done()
		return nil
	}
	l, err := connlimit.Listen(ctx, "metrics.listen", address)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	return connlimit.ServeHTTP(ctx, l, mux)
}

func counted(v *prometheus.CounterVec) func(outcome string) {
	return func(outcome string) { v.WithLabelValues(outcome).Inc() }
}

// taskCollector reads the tasks' counts when it is scraped.
type taskCollector struct{ tasks *queue.Tasks }

func (c taskCollector) describe(state string) *prometheus.Desc {
	return prometheus.NewDesc("waybill_tasks", "Artifacts to collect and images to witness, by state.", nil, prometheus.Labels{"state": state})
}

// Describe implements prometheus.Collector.
func (c taskCollector) Describe(out chan<- *prometheus.Desc) {
	out <- c.describe("waiting")
	out <- c.describe("dead")
}

// Collect implements prometheus.Collector.
func (c taskCollector) Collect(out chan<- prometheus.Metric) {
	waiting, dead, err := c.tasks.Counts(context.Background())
	if err != nil {
		out <- prometheus.NewInvalidMetric(c.describe("waiting"), err)
		return
	}
	out <- prometheus.MustNewConstMetric(c.describe("waiting"), prometheus.GaugeValue, float64(waiting))
	out <- prometheus.MustNewConstMetric(c.describe("dead"), prometheus.GaugeValue, float64(dead))
}

// queueCollector reads the queue's counts when it is scraped.
type queueCollector struct{ queue *queue.Queue }

func (c queueCollector) describe(state string) *prometheus.Desc {
	return prometheus.NewDesc("waybill_queue_events", "Events in the queue by state.", nil, prometheus.Labels{"state": state})
}

// Describe implements prometheus.Collector.
func (c queueCollector) Describe(out chan<- *prometheus.Desc) {
	for _, state := range []string{"pending", "sealed", "dead"} {
		out <- c.describe(state)
	}
}

// Collect implements prometheus.Collector.
func (c queueCollector) Collect(out chan<- prometheus.Metric) {
	s, err := c.queue.Stats(context.Background())
	if err != nil {
		out <- prometheus.NewInvalidMetric(c.describe("pending"), err)
		return
	}
	for state, n := range map[string]int64{"pending": s.Pending, "sealed": s.Sealed, "dead": s.Dead} {
		out <- prometheus.MustNewConstMetric(c.describe(state), prometheus.GaugeValue, float64(n))
	}
}
