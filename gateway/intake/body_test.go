package intake

import (
	"bytes"
	"crypto/sha256"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/waybill-dev/waybill/gateway/delivery"
)

// endless is a body without length: 1 GiB of white space, made as it is read.
// endless is read by the client's own goroutine, which may outlive the answer.
type endless struct{ left atomic.Int64 }

func (e *endless) Read(b []byte) (int, error) {
	if e.left.Load() <= 0 {
		return 0, io.EOF
	}
	n := min(int64(len(b)), e.left.Load())
	for i := range b[:n] {
		b[i] = ' '
	}
	e.left.Add(-n)
	return int(n), nil
}

// Corpus B8: a gibibyte without length costs no more than the limit, whether
// its sender is known (distribution), may be (quay: the secret is right), or is a
// stranger whose signature could only be refused after the body (ghcr, zot's
// limit).
func TestEndlessBody(t *testing.T) {
	for kind, prove := range map[string]func(r *http.Request){
		KindDistribution: func(r *http.Request) {
			r.Header.Set("Content-Type", v3Type)
			r.Header.Set("Authorization", "Bearer "+secretA)
		},
		KindQuay: func(r *http.Request) { r.URL.Path += "/" + secretA },
		KindGHCR: func(r *http.Request) { r.Header.Set("X-Hub-Signature-256", "sha256="+strings.Repeat("0", 64)) },
		KindZot:  func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+secretA) },
	} {
		if testing.Short() && kind != KindDistribution && kind != KindGHCR { // one that is known, one that signs
			continue
		}
		t.Run(kind, func(t *testing.T) {
			s := newSink()
			server := httptest.NewServer(handlerOf(t, s, connectorOf(t, kind)))
			defer server.Close()
			body := &endless{}
			body.left.Store(1 << 30)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/hooks/main", io.NopCloser(body))
			if err != nil {
				t.Fatal(err)
			}
			req.ContentLength = -1
			req.Header.Set("Content-Type", "application/json")
			prove(req)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			resp, err := server.Client().Do(req)
			runtime.ReadMemStats(&after)
			if err == nil { // the server may close first, which the client sees as an error
				defer func() { _ = resp.Body.Close() }()
				// A signature over what nobody reads proves nothing; who is known is told 2xx.
				want := map[bool]int{true: http.StatusRequestEntityTooLarge, false: http.StatusOK}[kind == KindGHCR]
				if resp.StatusCode != want {
					t.Errorf("status %d, want %d", resp.StatusCode, want)
				}
			}
			limit := uint64(32 << 20)
			if f, _ := formatOf(kind); f.wide {
				limit = 96 << 20
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > limit || body.left.Load() < 1<<29 {
				t.Errorf("%d bytes allocated, %d of the body not read", used, body.left.Load())
			}
			if s.count() != 0 {
				t.Error("something was stored")
			}
		})
	}
}

// A stranger's body is not read at all where the proof stands in the headers.
func TestStrangersBodyIsNotRead(t *testing.T) {
	for _, kind := range Kinds() {
		c := connectorOf(t, kind)
		r := httptest.NewRequest(http.MethodPost, "/hooks/main", untouched{t, kind})
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer nobody")
		w := httptest.NewRecorder()
		handlerOf(t, newSink(), c).ServeHTTP(w, r)
		if w.Code != http.StatusUnauthorized {
			t.Errorf("%s: %d", kind, w.Code)
		}
	}
}

type untouched struct {
	t    *testing.T
	kind string
}

func (u untouched) Read([]byte) (int, error) {
	u.t.Errorf("%s: the body was read", u.kind)
	return 0, io.EOF
}

// A manifest may have four megabytes, and twice that in an event once it is
// escaped: kinds that carry one have room, the others do not.
func TestWideBody(t *testing.T) {
	pad := strings.Repeat(" ", 6<<20)
	for _, kind := range Kinds() {
		c := connectorOf(t, kind)
		f, _ := formatOf(kind)
		raw, header := load(t, kind, good(kind))
		if kind == KindDistribution {
			header.Set("Content-Type", v3Type)
		}
		raw = append(raw, pad...)
		w := httptest.NewRecorder()
		s := newSink()
		handlerOf(t, s, c).ServeHTTP(w, requestOf(t, c, raw, raw, header))
		want := map[bool]int{true: 0, false: 1}[f.wide]
		if got := s.unusable(); w.Code != 200 || len(got) != want || s.count() != 1-want {
			t.Errorf("%s: %d, %d stored, %d kept", kind, w.Code, s.count(), len(got))
		} else if want == 1 && (got[0].Size != int64(len(raw)) || got[0].Hash != sha256.Sum256(raw) || len(got[0].Body) > delivery.MaxUnusable || len(got[0].Body) < delivery.MaxUnusable-128) {
			t.Errorf("%s: kept %d of %d bytes, hash %x", kind, len(got[0].Body), got[0].Size, got[0].Hash)
		}
	}
}

// Large bodies of wide kinds count for what they weigh: together they take no
// more memory than the small ones of other kinds.
func TestWeight(t *testing.T) {
	s := newSink()
	s.block, s.inside = make(chan struct{}), make(chan struct{})
	c := connectorOf(t, KindZot)
	h, err := New(Config{Connectors: []Connector{c}, Sink: s, Now: received, Log: quiet(), MaxBody: 16 << 10, Concurrency: 8})
	if err != nil {
		t.Fatal(err)
	}
	raw, header := load(t, KindZot, "push-tag")
	heavy := append(bytes.Clone(raw), bytes.Repeat([]byte{' '}, 100<<10)...)
	send := func(body []byte, length int64) int {
		r := requestOf(t, c, body, body, header)
		r.ContentLength = length
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	first := make(chan int)
	go func() { first <- send(heavy, int64(len(heavy))) }()
	<-s.inside
	for name, length := range map[string]int64{"as heavy": int64(len(heavy)), "of unknown length": -1} {
		beside := make(chan int, 1)
		go func() { beside <- send(heavy, length) }()
		select {
		case got := <-beside:
			if got != http.StatusTooManyRequests {
				t.Errorf("%s beside it: %d, want 429", name, got)
			}
		case <-s.inside:
			t.Errorf("%s beside it: let in", name)
		}
	}
	second := make(chan int)
	go func() { second <- send(raw, int64(len(raw))) }()
	<-s.inside // a light one goes through
	close(s.block)
	if a, b := <-first, <-second; a != 200 || b != 200 {
		t.Errorf("heavy %d, light %d", a, b)
	}
	if left := h.endpoints["main"].weight.Load(); left != 0 {
		t.Errorf("%d bytes are still held", left)
	}
}

func TestBrokenBody(t *testing.T) {
	s := newSink()
	r := post("/hooks/main", nil)
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"events":[`), brokenReader{}))
	r.ContentLength = -1
	w := httptest.NewRecorder()
	handler(t, s, nil).ServeHTTP(w, r)
	if w.Code != http.StatusBadRequest || s.count() != 0 {
		t.Errorf("%d with %d stored", w.Code, s.count())
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
