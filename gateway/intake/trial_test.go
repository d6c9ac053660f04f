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

// trials is a queue for trials: it counts ids as the real one does.
type trials struct{ err error }

func (s *trials) Try(_ context.Context, ds []delivery.Delivery) (got delivery.Accepted, err error) {
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

func trialHandler(t *testing.T, s *sink, try TrialSink, cs ...Connector) (*Handler, *[]string) {
	t.Helper()
	now, told := received(), &[]string{}
	h, err := New(Config{
		Connectors: cs, Sink: s, Trials: try, Log: quiet(), Now: func() time.Time { now = now.Add(time.Millisecond); return now },
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

// A trial passes everything that a notification passes, and no kind's sample
// ever reaches the sink of notifications.
func TestTrial(t *testing.T) {
	// A repeated event of these kinds carries nothing by which it could be known again.
	noID := []string{KindQuay}
	for _, kind := range Kinds() {
		s := newSink()
		h, told := trialHandler(t, s, &trials{}, connectorOf(t, kind))
		trial, err := h.Trial("main")
		if err != nil {
			t.Fatal(err)
		}
		push, err := trial.Push(t.Context(), "")
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
		if w := serve(h, request(trial.Stranger)); w.Code != http.StatusUnauthorized || trial.Stage() != StageArrived {
			t.Errorf("%s: a guessed secret: %d at stage %d", kind, w.Code, trial.Stage())
		}
		for i, want := range []string{`{"accepted":1,"duplicate":0,"ignored":0}`, `{"accepted":0,"duplicate":1,"ignored":0}`} {
			if i == 1 && slices.Contains(noID, kind) {
				want = `{"accepted":1,"duplicate":0,"ignored":0}`
			}
			if w := serve(h, request(trial.Request)); w.Code != 200 || w.Body.String() != want+"\n" || trial.Stage() != StageStored {
				t.Errorf("%s, sample %d: %d %s at stage %d, want %s", kind, i+1, w.Code, w.Body, trial.Stage(), want)
			}
		}
		if got := trial.Deliveries(); len(got) != 2 || got[0].Event.Repository != push.Repository || got[0].Event.Tag != trialName || got[0].Connector != "main" {
			t.Errorf("%s: delivered %+v", kind, got)
		}
		trial.Close()
		if w := serve(h, request(trial.Request)); w.Code != http.StatusForbidden {
			t.Errorf("%s: a trial that has ended: %d", kind, w.Code)
		}
		if s.count() != 0 || !slices.Equal(*told, []string{"main Forbidden"}) {
			t.Errorf("%s: %d of a trial's events are with the registry's; metrics heard %q", kind, s.count(), *told)
		}
	}
}

// Who knows the secret can neither hide a push behind the mark nor use another's trial.
func TestTrialMark(t *testing.T) {
	one, other := connectorOf(t, KindHarbor), connectorOf(t, KindHarbor)
	other.Name = "other"
	s := newSink()
	h, _ := trialHandler(t, s, &trials{}, one, other)
	trial, err := h.Trial("other")
	if err != nil {
		t.Fatal(err)
	}
	defer trial.Close()
	for name, marks := range map[string][]string{
		"empty": {""}, "guessed": {"0123456789abcdef0123456789abcdef"}, "of another connector": {trial.token}, "twice": {trial.token, trial.token},
	} {
		r, err := Sample(t.Context(), one, "http://gw.example.net", samplePush("team-a/billing"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header[TrialHeader] = marks
		if w := serve(h, r); w.Code != http.StatusForbidden || s.count() != 0 {
			t.Errorf("%s: %d, %d stored", name, w.Code, s.count())
		}
	}
	if _, err := h.Trial("harbour"); provenance.CodeOf(err) != provenance.NotFound {
		t.Errorf("no such connector: %v", err)
	}
	h, _ = trialHandler(t, s, nil, one)
	if _, err := h.Trial("main"); provenance.CodeOf(err) != provenance.Unavailable {
		t.Errorf("without a sink for trials: %v", err)
	}
}

// Where a trial fails it says how far it came.
func TestTrialStages(t *testing.T) {
	c := connectorOf(t, KindHarbor)
	c.Repositories = []string{"team-a/*", "team-b/app"}
	try := &trials{}
	h, _ := trialHandler(t, newSink(), try, c)
	trial, err := h.Trial("main")
	if err != nil {
		t.Fatal(err)
	}
	defer trial.Close()
	push, err := trial.Push(t.Context(), "")
	if err != nil || push.Repository != "team-a/"+trialName {
		t.Fatalf("%+v, %v", push, err)
	}
	send := func(repository provenance.Repository) int {
		t.Helper()
		push, err := trial.Push(t.Context(), repository)
		if err != nil {
			t.Fatal(err)
		}
		r, err := trial.Request(t.Context(), "http://gw.example.net", push)
		if err != nil {
			t.Fatal(err)
		}
		if trial.Stage() != StageSent {
			t.Fatalf("stage %d before it is sent", trial.Stage())
		}
		return serve(h, r).Code
	}
	if got := send("team-c/app"); got != http.StatusForbidden || trial.Stage() != StageUnderstood {
		t.Errorf("not its repository: %d at stage %d", got, trial.Stage())
	}
	if got := send("Team"); got != http.StatusBadRequest || trial.Stage() != StageKnown {
		t.Errorf("no repository: %d at stage %d", got, trial.Stage())
	}
	try.err = provenance.Errorf(provenance.Full, "the disk is full")
	if got := send("team-b/app"); got != http.StatusServiceUnavailable || trial.Stage() != StageAllowed {
		t.Errorf("full: %d at stage %d", got, trial.Stage())
	}
	try.err = errors.New("torn")
	if got := send("team-b/app"); got != http.StatusInternalServerError || trial.Stage() != StageAllowed {
		t.Errorf("broken: %d at stage %d", got, trial.Stage())
	}
}

func TestTrialRepository(t *testing.T) {
	for _, c := range []struct {
		kind     string
		patterns []string
		prefixes map[string]string
		want     provenance.Repository // "": none
	}{
		{KindHarbor, nil, nil, trialName + "/" + trialName},
		{KindHarbor, []string{"team-a/app"}, nil, "team-a/app"},
		{KindHarbor, []string{"*/app/**"}, nil, trialName + "/app/" + trialName},
		{KindQuay, []string{"**"}, nil, trialName + "/" + trialName},
		{KindQuay, []string{"*", "a/b"}, nil, "a/b"},
		{KindQuay, []string{"app"}, nil, ""},
		{KindNexus, nil, map[string]string{"shared": "docker-shared"}, "docker-shared/" + trialName},
		{KindNexus, []string{"docker-shared/team/*"}, map[string]string{"shared": "docker-shared"}, "docker-shared/team/" + trialName},
		{KindNexus, []string{"team/*"}, map[string]string{"shared": "docker-shared"}, ""},
		{KindArtifactory, nil, map[string]string{"hosted": ""}, trialName},
	} {
		connector := connectorOf(t, c.kind)
		connector.Repositories, connector.Prefixes = c.patterns, c.prefixes
		h, _ := trialHandler(t, newSink(), &trials{}, connector)
		trial, err := h.Trial("main")
		if err != nil {
			t.Fatal(err)
		}
		push, err := trial.Push(t.Context(), "")
		if c.want == "" {
			if provenance.CodeOf(err) != provenance.Invalid {
				t.Errorf("%s %q: %s, %v", c.kind, c.patterns, push.Repository, err)
			}
		} else if err != nil || push.Repository != c.want {
			t.Errorf("%s %q: %s, %v; want %s", c.kind, c.patterns, push.Repository, err, c.want)
		}
	}
}
