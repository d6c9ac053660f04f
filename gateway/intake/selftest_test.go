package intake

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
)

// selfTests is a queue for self-tests: it counts ids as the real one does.
type selfTests struct{ err error }

func (s *selfTests) SelfTest(_ context.Context, ds []delivery.Delivery) (got delivery.Accepted, err error) {
	seen := map[provenance.EventID]bool{}
	for _, d := range ds {
		if seen[d.Event.ID] {
			got.Duplicate++
		} else {
			got.New++
		}
		seen[d.Event.ID] = true
	}
	return got, s.err
}

func selfTestHandler(t *testing.T, s *sink, try SelfTestSink, cs ...Connector) (*Handler, *[]string) {
	t.Helper()
	now, told := received(), &[]string{}
	h, err := New(Config{
		Connectors: cs, Sink: s, SelfTests: try, Log: quiet(), Now: func() time.Time { now = now.Add(time.Millisecond); return now },
		Metrics: Metrics{
			Request: func(c string, status int) { *told = append(*told, c+" "+http.StatusText(status)) },
			Event:   func(c, outcome string, _ int) { *told = append(*told, c+" "+outcome) },
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h, told
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// A self-test passes everything that a notification passes, and no kind's sample
// ever reaches the sink of notifications.
func TestSelfTest(t *testing.T) {
	// A repeated event of these kinds carries nothing by which it could be known again.
	noID := []string{KindQuay}
	for _, kind := range Kinds() {
		s := newSink()
		h, told := selfTestHandler(t, s, &selfTests{}, connectorOf(t, kind))
		test, err := h.SelfTest("main")
		if err != nil {
			t.Fatal(err)
		}
		push, err := test.Push(t.Context(), "")
		if kind == KindGAR {
			if provenance.CodeOf(err) != provenance.Invalid {
				t.Errorf("gar: %v, want Invalid", err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		request := func(make func(context.Context, string, provenance.Event) (*http.Request, error)) *http.Request {
			r, err := make(t.Context(), "http://gw.example.net", push)
			if err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			return r
		}
		if w := serve(h, request(test.WithWrongSecret)); w.Code != http.StatusUnauthorized || test.Stage() != StageArrived {
			t.Errorf("%s: a guessed secret: %d at stage %d", kind, w.Code, test.Stage())
		}
		for i, want := range []string{`{"accepted":1,"duplicate":0,"ignored":0}`, `{"accepted":0,"duplicate":1,"ignored":0}`} {
			if i == 1 && slices.Contains(noID, kind) {
				want = `{"accepted":1,"duplicate":0,"ignored":0}`
			}
			if w := serve(h, request(test.Request)); w.Code != 200 || w.Body.String() != want+"\n" || test.Stage() != StageStored {
				t.Errorf("%s, sample %d: %d %s at stage %d, want %s", kind, i+1, w.Code, w.Body, test.Stage(), want)
			}
		}
		if got := test.Deliveries(); len(got) != 2 || got[0].Event.Repository != push.Repository || got[0].Event.Tag != selfTestName || got[0].Connector != "main" {
			t.Errorf("%s: delivered %+v", kind, got)
		}
		test.Close()
		if w := serve(h, request(test.Request)); w.Code != http.StatusForbidden {
			t.Errorf("%s: a self-test that has ended: %d", kind, w.Code)
		}
		if s.count() != 0 || !slices.Equal(*told, []string{"main Forbidden"}) {
			t.Errorf("%s: %d of a self-test's events are with the registry's; metrics heard %q", kind, s.count(), *told)
		}
	}
}

// Who knows the secret can neither hide a push behind the mark nor use another's self-test.
func TestSelfTestMark(t *testing.T) {
	one, other := connectorOf(t, KindHarbor), connectorOf(t, KindHarbor)
	other.Name = "other"
	s := newSink()
	h, _ := selfTestHandler(t, s, &selfTests{}, one, other)
	test, err := h.SelfTest("other")
	if err != nil {
		t.Fatal(err)
	}
	defer test.Close()
	for name, marks := range map[string][]string{
		"empty": {""}, "guessed": {"0123456789abcdef0123456789abcdef"}, "of another connector": {test.token}, "twice": {test.token, test.token},
	} {
		r, err := Sample(t.Context(), one, "http://gw.example.net", samplePush("team-a/billing"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header[SelfTestHeader] = marks
		if w := serve(h, r); w.Code != http.StatusForbidden || s.count() != 0 {
			t.Errorf("%s: %d, %d stored", name, w.Code, s.count())
		}
	}
	if _, err := h.SelfTest("harbour"); provenance.CodeOf(err) != provenance.NotFound {
		t.Errorf("no such connector: %v", err)
	}
	h, _ = selfTestHandler(t, s, nil, one)
	if _, err := h.SelfTest("main"); provenance.CodeOf(err) != provenance.Unavailable {
		t.Errorf("without a sink for self-tests: %v", err)
	}
}

// Where a self-test fails it says how far it came.
func TestSelfTestStages(t *testing.T) {
	c := connectorOf(t, KindHarbor)
	c.Repositories = []string{"team-a/*", "team-b/app"}
	try := &selfTests{}
	h, _ := selfTestHandler(t, newSink(), try, c)
	test, err := h.SelfTest("main")
	if err != nil {
		t.Fatal(err)
	}
	defer test.Close()
	push, err := test.Push(t.Context(), "")
	if err != nil || push.Repository != "team-a/"+selfTestName {
		t.Fatalf("%+v, %v", push, err)
	}
	send := func(repository provenance.Repository) int {
		t.Helper()
		push, err := test.Push(t.Context(), repository)
		if err != nil {
			t.Fatal(err)
		}
		r, err := test.Request(t.Context(), "http://gw.example.net", push)
		if err != nil {
			t.Fatal(err)
		}
		if test.Stage() != StageSent {
			t.Fatalf("stage %d before it is sent", test.Stage())
		}
		return serve(h, r).Code
	}
	if got := send("team-c/app"); got != http.StatusForbidden || test.Stage() != StageUnderstood {
		t.Errorf("not its repository: %d at stage %d", got, test.Stage())
	}
	if got := send("Team"); got != http.StatusBadRequest || test.Stage() != StageKnown {
		t.Errorf("no repository: %d at stage %d", got, test.Stage())
	}
	try.err = provenance.Errorf(provenance.Full, "the disk is full")
	if got := send("team-b/app"); got != http.StatusServiceUnavailable || test.Stage() != StageAllowed {
		t.Errorf("full: %d at stage %d", got, test.Stage())
	}
	try.err = errors.New("torn")
	if got := send("team-b/app"); got != http.StatusInternalServerError || test.Stage() != StageAllowed {
		t.Errorf("broken: %d at stage %d", got, test.Stage())
	}
}

func TestSelfTestRepository(t *testing.T) {
	for _, c := range []struct {
		kind     string
		patterns []string
		prefixes map[string]string
		want     provenance.Repository // "": none
	}{
		{KindHarbor, nil, nil, selfTestName + "/" + selfTestName},
		{KindHarbor, []string{"team-a/app"}, nil, "team-a/app"},
		{KindHarbor, []string{"*/app/**"}, nil, selfTestName + "/app/" + selfTestName},
		{KindQuay, []string{"**"}, nil, selfTestName + "/" + selfTestName},
		{KindQuay, []string{"*", "a/b"}, nil, "a/b"},
		{KindQuay, []string{"app"}, nil, ""},
		{KindNexus, nil, map[string]string{"shared": "docker-shared"}, "docker-shared/" + selfTestName},
		{KindNexus, []string{"docker-shared/team/*"}, map[string]string{"shared": "docker-shared"}, "docker-shared/team/" + selfTestName},
		{KindNexus, []string{"team/*"}, map[string]string{"shared": "docker-shared"}, ""},
		{KindArtifactory, nil, map[string]string{"hosted": ""}, selfTestName},
	} {
		connector := connectorOf(t, c.kind)
		connector.Repositories, connector.Prefixes = c.patterns, c.prefixes
		h, _ := selfTestHandler(t, newSink(), &selfTests{}, connector)
		test, err := h.SelfTest("main")
		if err != nil {
			t.Fatal(err)
		}
		push, err := test.Push(t.Context(), "")
		if c.want == "" {
			if provenance.CodeOf(err) != provenance.Invalid {
				t.Errorf("%s %q: %s, %v", c.kind, c.patterns, push.Repository, err)
			}
		} else if err != nil || push.Repository != c.want {
			t.Errorf("%s %q: %s, %v; want %s", c.kind, c.patterns, push.Repository, err, c.want)
		}
	}
}
