// Package metrics counts what the gateway does (segments recorded, evidence collected,
// sweeps finished), for Prometheus.
package metrics

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
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// Metrics is the gateway's Prometheus registry; nothing is global.
type Metrics struct {
	registry   *prometheus.Registry
	requests   *prometheus.CounterVec
	events     *prometheus.CounterVec
	Recorded   prometheus.Counter
	Segments   prometheus.Histogram
	calls      *prometheus.HistogramVec
	Evidence   *prometheus.CounterVec
	Witness    *prometheus.CounterVec
	Proven     *prometheus.CounterVec
	Releases   *prometheus.CounterVec
	ClockTicks *prometheus.CounterVec
	ClockAge   prometheus.Gauge
	Findings   *prometheus.CounterVec
	Swept      *prometheus.GaugeVec
	Purged     prometheus.Counter
}

// New returns counters at zero, and reads the queue when it is scraped.
func New(q *queue.Queue) *Metrics {
	m := &Metrics{
		registry:   prometheus.NewRegistry(),
		requests:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "waybill_hook_requests_total", Help: "Notifications by connector and HTTP status."}, []string{"connector", "status"}),
		events:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "waybill_hook_events_total", Help: "Events by connector and outcome."}, []string{"connector", "outcome"}),
		Recorded:   prometheus.NewCounter(prometheus.CounterOpts{Name: "waybill_recorded_events_total", Help: "Events known to be on the ledger."}),
		Segments:   prometheus.NewHistogram(prometheus.HistogramOpts{Name: "waybill_segment_seconds", Help: "From the endorsement of a segment to its commit.", Buckets: prometheus.ExponentialBuckets(0.05, 2, 10)}),
		calls:      prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "waybill_api_seconds", Help: "API calls by method and error code.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 8)}, []string{"method", "code"}),
		Evidence:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "waybill_evidence_total", Help: "Artifacts beside images by outcome: recorded, known, refused, unverified, ignored; keys-left-out: not every key of a member was tried."}, []string{"outcome"}),
		Witness:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "waybill_witness_total", Help: "Looks at other organisations' registries by outcome. A disagreement is a push that its registry does not serve: look into it."}, []string{"outcome"}),
		Proven:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "waybill_proven_total", Help: "Images recorded by their digest alone and looked at again, by outcome: proven, gone."}, []string{"outcome"}),
		Releases:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "waybill_auto_releases_total", Help: "Releases asked for by this gateway, by outcome."}, []string{"outcome"}),
		ClockTicks: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "waybill_clock_ticks_total", Help: "Moves of the ledger's clock by this gateway, by outcome: ticked, failed."}, []string{"outcome"}),
		ClockAge:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "waybill_clock_age_seconds", Help: "How far the ledger's clock is behind. Beyond 120 nothing that depends on time is decided: does a gateway of any member run?"}),
		Findings:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "waybill_sweep_findings_total", Help: "Differences between a registry and the ledger that nobody notified, by kind. Other bytes for a recorded digest: look into it."}, []string{"registry", "kind"}),
		Swept:      prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "waybill_sweep_finished_seconds", Help: "When the last sweep of a registry was finished, Unix time."}, []string{"registry"}),
		Purged:     prometheus.NewCounter(prometheus.CounterOpts{Name: "waybill_purged_segments_total", Help: "Segments whose pulls' clients were purged because of their age."}),
	}
	m.registry.MustRegister(m.requests, m.events, m.Recorded, m.Segments, m.calls, m.Evidence, m.Witness, m.Proven, m.Releases, m.ClockTicks, m.ClockAge, m.Findings, m.Swept, m.Purged, queueCollector{q}, newUnusableCollector(q), taskCollector{q.Tasks()},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Gatherer is what is served at /metrics.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// Intake counts notifications.
func (m *Metrics) Intake() intake.Metrics {
	return intake.Metrics{
		Request: func(connector string, status int) { m.requests.WithLabelValues(connector, strconv.Itoa(status)).Inc() },
		Event:   func(connector, outcome string, n int) { m.events.WithLabelValues(connector, outcome).Add(float64(n)) },
	}
}

// Certificates reports, when it is scraped, how long certificates hold.
func (m *Metrics) Certificates(list func() []readmodel.Certificate) {
	m.registry.MustRegister(certificateCollector{list, prometheus.NewDesc("waybill_certificate_seconds_left",
		"How long a certificate holds, below zero once it has ended: the gateway's own, and those that the channel's configuration names.", []string{"org", "use", "name"}, nil)})
}

// Call counts a call of the API.
func (m *Metrics) Call(method string, code provenance.Code, took time.Duration) {
	m.calls.WithLabelValues(method, string(code)).Observe(took.Seconds())
}

// Serve answers /metrics over plain HTTP; without an address it only waits.
func (m *Metrics) Serve(ctx context.Context, address string) error {
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

// Counted returns a function that counts by outcome.
func Counted(v *prometheus.CounterVec) func(outcome string) {
	return func(outcome string) { v.WithLabelValues(outcome).Inc() }
}

type certificateCollector struct {
	list func() []readmodel.Certificate
	desc *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c certificateCollector) Describe(out chan<- *prometheus.Desc) { out <- c.desc }

// Collect implements prometheus.Collector. Of several of one name, as after a roll-over, the one that ends first counts.
func (c certificateCollector) Collect(out chan<- prometheus.Metric) {
	type key struct{ org, use, name string }
	least := map[key]float64{}
	for _, cert := range c.list() {
		k, left := key{cert.Org, cert.Use, cert.Name}, time.Until(cert.NotAfter).Seconds()
		if before, ok := least[k]; !ok || left < before {
			least[k] = left
		}
	}
	for k, left := range least {
		out <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, left, k.org, k.use, k.name)
	}
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

// unusableCollector reads, when it is scraped, what could not be used.
type unusableCollector struct {
	queue         *queue.Queue
	kept, dropped *prometheus.Desc
}

func newUnusableCollector(q *queue.Queue) unusableCollector {
	label := []string{"connector"}
	return unusableCollector{
		queue: q,
		kept:  prometheus.NewDesc("waybill_queue_unusable", "Events of known senders that cannot be used and are kept to be looked at.", label, nil),
		dropped: prometheus.NewDesc("waybill_queue_unusable_dropped", "Events that cannot be used and had to leave for newer ones, since somebody looked.",
			label, nil),
	}
}

// Describe implements prometheus.Collector.
func (c unusableCollector) Describe(out chan<- *prometheus.Desc) { out <- c.kept; out <- c.dropped }

// Collect implements prometheus.Collector.
func (c unusableCollector) Collect(out chan<- prometheus.Metric) {
	counts, err := c.queue.UnusableCounts(context.Background())
	if err != nil {
		out <- prometheus.NewInvalidMetric(c.kept, err)
		return
	}
	for connector, n := range counts {
		out <- prometheus.MustNewConstMetric(c.kept, prometheus.GaugeValue, float64(n.Kept), connector)
		out <- prometheus.MustNewConstMetric(c.dropped, prometheus.GaugeValue, float64(n.Dropped), connector)
	}
}
