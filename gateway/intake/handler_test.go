package intake

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
)

const (
	secretA = "0123456789abcdef-a"
	secretB = "0123456789abcdef-b"
	v3Type  = "application/vnd.docker.distribution.events.v2+json"
)

// sink keeps deliveries in memory, with the queue's answer to repeats.
type sink struct {
	mu     sync.Mutex
	bodies map[provenance.EventID][32]byte
	got    []delivery.Delivery
	odd    []delivery.Unusable
	again  bool // TestAnswersPage: send the good one before
	busy   bool // TestAnswersPage: hold all the weight
	err    error
	block  chan struct{}
	inside chan struct{}
}

func (s *sink) Accept(_ context.Context, deliveries []delivery.Delivery) (delivery.Accepted, error) {
	if s.block != nil {
		s.inside <- struct{}{}
		<-s.block
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return delivery.Accepted{}, s.err
	}
	var out delivery.Accepted
	for _, d := range deliveries {
		switch body, known := s.bodies[d.Event.ID]; {
		case !known:
			s.bodies[d.Event.ID] = d.BodyHash
			s.got = append(s.got, d)
			out.New++
		case body != d.BodyHash:
			return delivery.Accepted{}, provenance.Errorf(provenance.Conflict, "event %s", d.Event.ID)
		default:
			out.Duplicate++
		}
	}
	return out, nil
}

func (s *sink) AcceptUnusable(_ context.Context, events []delivery.Unusable) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil && provenance.CodeOf(s.err) != provenance.Conflict {
		return s.err
	}
	s.odd = append(s.odd, events...)
	return nil
}

// unusable is what was kept of events that cannot be used.
func (s *sink) unusable() []delivery.Unusable {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.odd)
}

func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.got)
}

func connector() Connector {
	return Connector{Name: "main", Kind: KindDistribution, Host: "reg.example:5000", Secrets: [][]byte{[]byte(secretA), []byte(secretB)}}
}

type testLog struct{ t testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Logf("%s", bytes.TrimSpace(b))
	return len(b), nil
}

func handler(t testing.TB, s Sink, change func(*Config)) *Handler {
	t.Helper()
	c := Config{Connectors: []Connector{connector()}, Sink: s, Now: received,
		Log: slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	if change != nil {
		change(&c)
	}
	h, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func newSink() *sink { return &sink{bodies: map[provenance.EventID][32]byte{}} }

func post(path string, body []byte, headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
	r.Header.Set("Content-Type", v3Type)
	r.Header.Set("Authorization", "Bearer "+secretA)
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
		} else {
			r.Header.Add(headers[i], headers[i+1])
		}
	}
	return r
}

func zipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(b)
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestStatuses(t *testing.T) {
	push := fixture(t, "v3-push-tag")
	limit := func(n int) []byte {
		return append(bytes.Repeat([]byte{' '}, n-len(push)), push...)
	}
	method := func(m string) *http.Request {
		r := post("/hooks/main", push)
		r.Method = m
		return r
	}
	cases := []struct {
		name   string
		req    *http.Request
		status int
		stored int
	}{
		{"push", post("/hooks/main", push), 200, 1},
		{"2.8", post("/hooks/main", fixture(t, "v2-push-tag"), "Content-Type", "", "Content-Type", "application/vnd.docker.distribution.events.v1+json"), 200, 1},
		{"plain json", post("/hooks/main", push, "Content-Type", "", "Content-Type", "application/json; charset=utf-8"), 200, 1},
		{"second secret", post("/hooks/main", push, "Authorization", "", "Authorization", "bearer "+secretB), 200, 1},
		{"other header", post("/hooks/main", push, "Authorization", "", SecretHeader, secretA), 200, 1},
		{"unknown action", post("/hooks/main", fixture(t, "v3-unknown")), 200, 1},
		{"unknown, nowhere", post("/hooks/main", fixture(t, "v3-unknown-nowhere")), 200, 0},
		{"blobs", post("/hooks/main", fixture(t, "v3-blob")), 200, 0},
		{"several", post("/hooks/main", fixture(t, "v3-several")), 200, 3},

		{"no connector", post("/hooks/other", push), 404, 0},
		{"no name", post("/hooks/", push), 404, 0},
		{"deeper", post("/hooks/main/x", push), 404, 0},
		{"elsewhere", post("/hook", push), 404, 0},
		{"get", method(http.MethodGet), 405, 0},
		{"put", method(http.MethodPut), 405, 0},

		{"no secret", post("/hooks/main", push, "Authorization", ""), 401, 0},
		{"wrong secret", post("/hooks/main", push, "Authorization", "", "Authorization", "Bearer 0123456789abcdef-c"), 401, 0},
		{"truncated secret", post("/hooks/main", push, "Authorization", "", "Authorization", "Bearer "+secretA[:17]), 401, 0},
		{"longer secret", post("/hooks/main", push, "Authorization", "", "Authorization", "Bearer "+secretA+"a"), 401, 0},
		{"empty secret", post("/hooks/main", push, "Authorization", "", "Authorization", "Bearer "), 401, 0},
		{"no scheme", post("/hooks/main", push, "Authorization", "", "Authorization", secretA), 401, 0},
		{"basic", post("/hooks/main", push, "Authorization", "", "Authorization", "Basic "+secretA), 401, 0},
		{"two secrets", post("/hooks/main", push, SecretHeader, secretA), 401, 0},
		{"two headers", post("/hooks/main", push, "Authorization", "Bearer "+secretB), 401, 0},
		{"huge secret", post("/hooks/main", push, "Authorization", "", SecretHeader, strings.Repeat("a", 1<<16)), 401, 0},

		{"no type", post("/hooks/main", push, "Content-Type", ""), 415, 0},
		{"text", post("/hooks/main", push, "Content-Type", "", "Content-Type", "text/plain"), 415, 0},
		{"two types", post("/hooks/main", push, "Content-Type", v3Type), 200, 1},
		{"two types, one fits", post("/hooks/main", push, "Content-Type", "", "Content-Type", "text/plain", "Content-Type", v3Type), 200, 1},
		{"two types in one", post("/hooks/main", push, "Content-Type", "", "Content-Type", "text/plain, "+v3Type), 200, 1},
		{"two types, none fits", post("/hooks/main", push, "Content-Type", "", "Content-Type", "text/plain", "Content-Type", "text/html"), 415, 0},
		{"many types", post("/hooks/main", push, "Content-Type", "", "Content-Type", strings.Repeat("a/b,", maxTypes)+v3Type), 415, 0},
		{"cloud event", post("/hooks/main", push, "Content-Type", "", "Content-Type", "application/cloudevents+json"), 415, 0},
		{"gzip", post("/hooks/main", zipped(t, push), "Content-Encoding", "gzip"), 415, 0},
		{"identity", post("/hooks/main", push, "Content-Encoding", "identity"), 415, 0},

		{"empty", post("/hooks/main", nil), 200, 0},
		{"one byte", post("/hooks/main", []byte("{")), 200, 0},
		{"twins", post("/hooks/main", bytes.Replace(push, []byte(`"digest"`), []byte(`"Digest":"", "digest"`), 1)), 200, 0},
		{"second document", post("/hooks/main", append(bytes.Clone(push), push...)), 200, 0},
		{"another kind", post("/hooks/main", []byte(`{"type":"PUSH_ARTIFACT","event_data":{}}`)), 400, 0},
		{"bad digest", post("/hooks/main", bytes.Replace(push, []byte(`"sha256:ab12`), []byte(`"sha256:AB12`), 1)), 200, 0},
		{"one bad of several", post("/hooks/main", bytes.Replace(fixture(t, "v3-several"), []byte(`"1.3.9"`), []byte(`"-1.3.9"`), 1)), 200, 2},
		{"at the limit", post("/hooks/main", limit(8*8192)), 200, 1},
		{"over the limit", post("/hooks/main", limit(8*8192+1)), 200, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newSink()
			var status, events int
			h := handler(t, s, func(c *Config) {
				c.MaxBody = 8192
				c.Metrics = Metrics{Request: func(_ string, got int) { status = got }, Event: func(_, _ string, n int) { events += n }}
			})
			w := httptest.NewRecorder()
			h.ServeHTTP(w, c.req)
			if w.Code != c.status || s.count() != c.stored || status != c.status {
				t.Fatalf("status %d (metric %d), %d stored; want %d and %d\n%s", w.Code, status, s.count(), c.status, c.stored, w.Body)
			}
			var body struct {
				Code, Message                          string
				Accepted, Duplicate, Ignored, Unusable int
			}
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || w.Header().Get("Content-Type") != "application/json" {
				t.Fatalf("answer %q is not JSON: %v", w.Body, err)
			}
			if (body.Code == "") != (w.Code == 200) || body.Accepted != c.stored || (w.Code == 200 && events != body.Accepted+body.Ignored+body.Unusable || body.Unusable != len(s.unusable())) {
				t.Errorf("answer %s with %d events counted", w.Body, events)
			}
			if w.Code == 405 && w.Header().Get("Allow") != "POST" {
				t.Errorf("405 without Allow")
			}
			if strings.Contains(w.Body.String(), "0123456789abcdef") {
				t.Errorf("the answer repeats a secret: %s", w.Body)
			}
		})
	}
}

func TestDelivery(t *testing.T) {
	s := newSink()
	h := handler(t, s, nil)
	push := fixture(t, "v3-push-tag")
	for i, want := range []string{`{"accepted":1,"duplicate":0,"ignored":0}`, `{"accepted":0,"duplicate":1,"ignored":0}`} { // B5
		w := httptest.NewRecorder()
		h.ServeHTTP(w, post("/hooks/main", push))
		if w.Code != 200 || strings.TrimSpace(w.Body.String()) != want {
			t.Fatalf("delivery %d: %d %s, want %s", i, w.Code, w.Body, want)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, post("/hooks/main", bytes.Replace(push, []byte("ci-billing"), []byte("mallory"), 1)))
	if odd := s.unusable(); w.Code != 200 || len(odd) != 1 || !bytes.Contains(odd[0].Body, []byte("mallory")) {
		t.Fatalf("same id, other body: %d %s, kept %v", w.Code, w.Body, odd)
	}
	// The payload names elsewhere.example.net; the connector decides.
	got := s.got[0]
	if got.Host != "reg.example:5000" || got.Connector != "main" || !got.ReceivedAt.Equal(received()) {
		t.Errorf("delivery %+v", got)
	}
	if diff := cmp.Diff(provenance.NewEventID("distribution", "main", "9d1c6a0e-2f57-4c0b-9d55-000000000010"), got.Event.ID); diff != "" {
		t.Errorf("event id: %s", diff)
	}
}

func TestSinkErrors(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		retry  string
	}{
		{provenance.Errorf(provenance.Full, "disk /var/x is low"), 503, "5"},
		{provenance.Errorf(provenance.Unavailable, "locked /var/x"), 503, "5"},
		{context.DeadlineExceeded, 503, "5"},
		{provenance.Errorf(provenance.Conflict, "event at /var/x"), 200, ""},
		{errors.New("disk /var/x burns"), 500, ""},
	} {
		s := newSink()
		s.err = c.err
		w := httptest.NewRecorder()
		handler(t, s, nil).ServeHTTP(w, post("/hooks/main", fixture(t, "v3-push-tag")))
		if w.Code != c.status || w.Header().Get("Retry-After") != c.retry || strings.Contains(w.Body.String(), "/var") {
			t.Errorf("%v: %d, Retry-After %q, %s", c.err, w.Code, w.Header().Get("Retry-After"), w.Body)
		}
	}
}

func TestRepositories(t *testing.T) { // B6
	for _, c := range []struct {
		patterns []string
		stored   int
	}{
		{nil, 3}, {[]string{"team-a/billing"}, 3}, {[]string{"team-a/*"}, 3}, {[]string{"other", "team-a/**"}, 3},
		{[]string{"team-a"}, 0}, {[]string{"team"}, 0}, {[]string{"team-a/bill"}, 0}, {[]string{"*"}, 0}, {[]string{"**"}, 3},
	} {
		s := newSink()
		h := handler(t, s, func(cfg *Config) { cfg.Connectors[0].Repositories = c.patterns })
		w := httptest.NewRecorder()
		h.ServeHTTP(w, post("/hooks/main", fixture(t, "v3-several")))
		if w.Code != 200 || s.count() != c.stored || len(s.unusable()) > 0 {
			t.Errorf("%v: %d with %d stored, want %d", c.patterns, w.Code, s.count(), c.stored)
		}
	}
}

func TestConcurrency(t *testing.T) {
	s := newSink()
	s.block, s.inside = make(chan struct{}), make(chan struct{})
	h := handler(t, s, func(c *Config) { c.Concurrency = 1 })
	first := httptest.NewRecorder()
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.ServeHTTP(first, post("/hooks/main", fixture(t, "v3-push-tag")))
	}()
	<-s.inside
	w := httptest.NewRecorder()
	h.ServeHTTP(w, post("/hooks/main", fixture(t, "v3-push-digest")))
	if w.Code != 429 || w.Header().Get("Retry-After") == "" {
		t.Errorf("second at once: %d, want 429 with Retry-After", w.Code)
	}
	// Strangers take no slot and are told the same as ever.
	w = httptest.NewRecorder()
	h.ServeHTTP(w, post("/hooks/main", nil, "Authorization", ""))
	if w.Code != 401 {
		t.Errorf("stranger: %d, want 401", w.Code)
	}
	close(s.block)
	<-done
	if first.Code != 200 {
		t.Errorf("first: %d", first.Code)
	}
}

func BenchmarkParse(b *testing.B) {
	raw := fixture(b, "v3-pull-tag")
	for b.Loop() {
		if _, err := distributionOf(raw, "main", time.Time{}); err != nil {
			b.Fatal(err)
		}
	}
}
