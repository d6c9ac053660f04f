package intake

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

func samplePush(repo provenance.Repository) provenance.Event {
	return provenance.Event{
		ID: provenance.NewEventID("sample", "main", "one"), Action: provenance.Push, Repository: repo, Tag: "1.4.0", Digest: provenance.SHA256Of([]byte("manifest")),
		Actor: "connector-test", OccurredAt: received(),
	}
}

// A sample must pass the very handler that the real sender has to pass.
func TestSample(t *testing.T) {
	for _, kind := range Kinds() {
		c := connectorOf(t, kind)
		push := samplePush("team-a/billing")
		r, err := Sample(t.Context(), c, "https://gw.example.net/", push)
		if kind == KindGAR {
			if provenance.CodeOf(err) != provenance.Invalid {
				t.Errorf("gar: %v, want Invalid", err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if !strings.HasPrefix(r.URL.String(), "https://gw.example.net/hooks/main") {
			t.Errorf("%s: %s", kind, r.URL)
		}
		s, now := newSink(), received()
		h, err := New(Config{Connectors: []Connector{c}, Sink: s, Log: quiet(), Now: func() time.Time { now = now.Add(time.Millisecond); return now }})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 200 || s.count() != 1 {
			t.Errorf("%s: %d with %d stored: %s", kind, w.Code, s.count(), w.Body)
			continue
		}
		got := s.got[0].Event
		if got.Action != provenance.Push || got.Repository != push.Repository || got.Tag != push.Tag || got.Digest != push.Digest && !s.got[0].Unresolved() {
			t.Errorf("%s: %+v", kind, got)
		}
		other := push
		other.ID, other.OccurredAt = provenance.NewEventID("sample", "main", "two"), push.OccurredAt.Add(time.Second)
		if r, err = Sample(t.Context(), c, "http://127.0.0.1:1", other); err != nil {
			t.Fatal(err)
		}
		w = httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 200 || s.count() != 2 {
			t.Errorf("%s, another sample: %d with %d stored: %s", kind, w.Code, s.count(), w.Body)
		}
	}
}

func TestSampleOfStorage(t *testing.T) {
	c := Connector{Name: "main", Prefixes: map[string]string{"hosted": "", "shared": "docker-shared", "deep": "docker-shared/deep"}}
	for repo, want := range map[provenance.Repository]string{
		"team/app": "hosted team/app", "docker-shared/app": "shared app", "docker-shared/deep/app": "deep app", "docker-sharedx/app": "hosted docker-sharedx/app",
	} {
		key, image, err := c.storage(repo)
		if got := key + " " + image; err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", repo, got, err, want)
		}
	}
	delete(c.Prefixes, "hosted")
	if _, _, err := c.storage("team/app"); provenance.CodeOf(err) != provenance.Invalid {
		t.Errorf("nowhere: %v", err)
	}
	for kind, push := range map[string]provenance.Event{KindQuay: samplePush("app"), KindGHCR: samplePush("app"), KindDockerHub: {}, "harbour": {}} {
		c := Connector{Name: "main", Kind: kind, Secrets: [][]byte{[]byte(secretA)}}
		if _, err := Sample(t.Context(), c, "http://gw.example.net", push); provenance.CodeOf(err) != provenance.Invalid || strings.Contains(err.Error(), secretA) {
			t.Errorf("%s: %v, want Invalid", kind, err)
		}
	}
}
