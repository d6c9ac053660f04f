package registry

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// What was read back a moment ago is had once without asking the registry, of the same
// repository and for a minute.
func TestArtifactReadBackBefore(t *testing.T) {
	var asked atomic.Int64
	handler := inProcess(true)
	server, image := withImage(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/manifests/") {
			asked.Add(1)
		}
		handler.ServeHTTP(w, r)
	}))
	c := client(t, server, nil)
	now := time.Now()
	c.now = func() time.Time { return now }
	read := func(what string, repo provenance.Repository, later time.Duration, want int64) {
		t.Helper()
		if _, err := c.Manifest(t.Context(), "team/app", image); err != nil {
			t.Fatal(err)
		}
		before := asked.Load()
		now = now.Add(later)
		_, err := c.Artifact(t.Context(), repo, image)
		if got := asked.Load() - before; got != want || (err != nil) != (repo != "team/app") {
			t.Errorf("%s: the registry was asked %d times, want %d; %v", what, got, want, err)
		}
	}
	read("read back", "team/app", time.Second, 0)
	read("another repository", "team/other", time.Second, 1)
	read("long ago", "team/app", recentFor, 1)
	before := asked.Load()
	for range 2 {
		if _, err := c.Artifact(t.Context(), "team/app", image); err != nil {
			t.Fatal(err)
		}
	}
	if got := asked.Load() - before; got != 2 {
		t.Errorf("two more looks asked %d times", got)
	}
}

// What is kept is bounded, in number and bytes.
func TestRecentIsBounded(t *testing.T) {
	var r recent
	for i := range 3 * recentManifests {
		r.keep(recentKey{"app", provenance.SHA256Of([]byte{byte(i), byte(i >> 8)})}, recentManifest{body: make([]byte, i%(small+2))})
	}
	size := 0
	for _, m := range r.held {
		size += len(m.body)
	}
	if len(r.held) == 0 || len(r.order) > recentManifests || size != r.bytes || size > recentBytes {
		t.Errorf("%d manifests of %d bytes, %d counted, %d in order", len(r.held), size, r.bytes, len(r.order))
	}
}
