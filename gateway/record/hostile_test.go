package record_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/record"
	"github.com/waybill-dev/waybill/gateway/record/recordtest"
	"github.com/waybill-dev/waybill/gateway/registry"
)

// fickleRegistry answers the n-th request for a repository's manifest as the
// test says, over HTTP.
type fickleRegistry struct {
	answers map[string]func(n int, w http.ResponseWriter, r *http.Request)
	mu      sync.Mutex
	asked   map[string]int
}

func (f *fickleRegistry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	repo, _, found := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/manifests/")
	if !found {
		return // the ping
	}
	f.mu.Lock()
	n := f.asked[repo]
	f.asked[repo]++
	f.mu.Unlock()
	f.answers[repo](n, w, r)
}

func (f *fickleRegistry) count(repo string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[repo]
}

// F19 to F21: a push is never recorded on what such a registry says, never
// dropped because of what it cannot say now, and set aside, for people to see,
// where the registry says that there is nothing or sends something else.
func TestRegistryThatFails(t *testing.T) {
	good := func(w http.ResponseWriter, r *http.Request) {
		repo, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/manifests/")
		recordtest.SendManifest(w, recordtest.ManifestOf(repo))
	}
	status := func(code int) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	half := func(w http.ResponseWriter, _ *http.Request) {
		body := recordtest.ManifestOf("half")
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		recordtest.SendManifest(w, body[:30])
	}
	reset := func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{"))
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	then := func(faults ...func(http.ResponseWriter, *http.Request)) func(int, http.ResponseWriter, *http.Request) {
		return func(n int, w http.ResponseWriter, r *http.Request) {
			if n < len(faults) {
				faults[n](w, r)
				return
			}
			good(w, r)
		}
	}
	var down []func(http.ResponseWriter, *http.Request)
	for range 20 { // many more than readAttempts: a day of it changes nothing but the number
		down = append(down, status(http.StatusServiceUnavailable))
	}
	f := &fickleRegistry{asked: map[string]int{}, answers: map[string]func(int, http.ResponseWriter, *http.Request){
		"faults": then(status(429), status(500), status(502), status(503), status(401), half, reset, hang),
		"down":   then(down...),
		"gone": func(n int, w http.ResponseWriter, r *http.Request) {
			if n < 5 {
				status(503)(w, r)
				return
			}
			w.WriteHeader(404)
			_, _ = w.Write([]byte(`{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`))
		},
		"liar": func(_ int, w http.ResponseWriter, r *http.Request) {
			_, digest, _ := strings.Cut(r.URL.Path, "/manifests/")
			w.Header().Set("Docker-Content-Digest", digest)
			recordtest.SendManifest(w, recordtest.ManifestOf("another"))
		},
	}}
	server := httptest.NewServer(f)
	defer server.Close()
	client, err := registry.New(registry.Config{
		Host: provenance.Host(strings.TrimPrefix(server.URL, "http://")), Insecure: true, AllowPrivate: true, Timeout: 200 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	b := recordtest.New(t)
	b.Readers = func(provenance.Host) (record.Registry, bool) { return client, true }
	b.Reopen()
	push := func(repo string) delivery.Delivery {
		d := recordtest.Event(repo, 0, provenance.Push)
		d.Event.Digest = provenance.SHA256Of(recordtest.ManifestOf(repo))
		return d
	}
	b.Accept(push("faults"), push("down"), push("gone"), push("liar"))
	b.Run(t.Context(), recordtest.Empty)
	b.WantOnce([]delivery.Delivery{push("faults"), push("down")})
	if n := f.count("down"); n != 21 {
		t.Errorf("the registry that was down was asked %d times", n)
	}
	dead, err := b.Queue.Dead(t.Context(), 0, 10)
	if err != nil || len(dead) != 2 {
		t.Fatalf("dead letters %+v, %v", dead, err)
	}
	for _, d := range dead {
		want := map[provenance.Repository]string{"gone": "MANIFEST_UNKNOWN", "liar": "other bytes"}[d.Event.Repository]
		if want == "" || !strings.Contains(d.Reason, want) {
			t.Errorf("%s was set aside: %s", d.Event.Repository, d.Reason)
		}
	}
}
