package intake

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
)

const (
	anIndex    = "application/vnd.oci.image.index.v1+json"
	aManifest  = "application/vnd.oci.image.manifest.v1+json"
	someClient = "10.2.3.4:51234"
)

// asked is one request that a registry reports.
type asked struct {
	id, image, mediaType, address, agent, actor string
	children                                    []string
	after                                       time.Duration
}

func sum(s string) provenance.Digest { return provenance.SHA256Of([]byte(s)) }

func envelope(t testing.TB, all ...asked) []byte {
	t.Helper()
	var events []map[string]any
	for _, a := range all {
		references := []map[string]any{}
		for _, c := range a.children {
			references = append(references, map[string]any{"mediaType": aManifest, "digest": sum(c).String()})
		}
		events = append(events, map[string]any{
			"id": a.id, "action": "pull", "timestamp": received().Add(a.after - time.Minute).Format(time.RFC3339Nano),
			"target": map[string]any{"mediaType": a.mediaType, "digest": sum(a.image).String(), "repository": "team/app",
				"url": "https://reg.example/v2/team/app/manifests/" + sum(a.image).String(), "references": references},
			"request": map[string]any{"method": "GET", "addr": a.address, "useragent": a.agent}, "actor": map[string]any{"name": a.actor},
		})
	}
	b, err := json.Marshal(map[string]any{"events": events})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// tell sends the requests in one notification.
func tell(t testing.TB, h *Handler, all ...asked) (status int, got counts) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, post("/hooks/main", envelope(t, all...)))
	if w.Code == 200 {
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
	}
	return w.Code, got
}

// first is a client's request for an index; the others change it.
func first() asked {
	return asked{id: "1", image: "index", mediaType: anIndex, address: someClient, agent: "containerd/2", actor: "ci", children: []string{"amd64", "arm64"}}
}

func TestCoalesce(t *testing.T) {
	second := func(change func(*asked)) asked {
		a := asked{id: "2", image: "amd64", mediaType: aManifest, address: "10.2.3.4:60000", agent: "containerd/2", actor: "ci", after: time.Second}
		change(&a)
		return a
	}
	for name, tt := range map[string]struct {
		change    func(*asked)
		coalesced bool
	}{
		"the platform of the index":     {func(*asked) {}, true},
		"the index again":               {func(a *asked) { a.image, a.mediaType = "index", anIndex }, true},
		"told late, asked early":        {func(a *asked) { a.after = -coalesceWindow }, true},
		"at the window's end":           {func(a *asked) { a.after = coalesceWindow }, true},
		"after the window":              {func(a *asked) { a.after = coalesceWindow + time.Millisecond }, false},
		"another image":                 {func(a *asked) { a.image = "other" }, false},
		"another address":               {func(a *asked) { a.address = "10.2.3.5:51234" }, false},
		"another account":               {func(a *asked) { a.actor = "alice" }, false},
		"another program":               {func(a *asked) { a.agent = "docker/28" }, false},
		"the same address, IPv4 in six": {func(a *asked) { a.address = "[::ffff:10.2.3.4]:1" }, true},
		"no address":                    {func(a *asked) { a.address = "" }, false},
		"an address that is none":       {func(a *asked) { a.address = "proxy" }, false},
	} {
		for _, together := range []bool{false, true} {
			s := newSink()
			h := handler(t, s, nil)
			want := counts{Accepted: 1, Duplicate: 0}
			var got counts
			if together {
				_, got = tell(t, h, first(), second(tt.change))
				want.Accepted = 2
				if tt.coalesced {
					want = counts{Accepted: 1, Duplicate: 1}
				}
			} else {
				tell(t, h, first())
				_, got = tell(t, h, second(tt.change))
				if tt.coalesced {
					want = counts{Accepted: 0, Duplicate: 1}
				}
			}
			if got != want {
				t.Errorf("%s (in one notification: %v): %+v, want %+v", name, together, got, want)
			}
		}
	}
	// Nothing is coalesced where two machines could not be told apart.
	s := newSink()
	a, b := first(), first()
	a.address, b.address, b.id = "", "", "2"
	if _, got := tell(t, handler(t, s, nil), a, b); got.Accepted != 2 {
		t.Errorf("without an address: %+v", got)
	}
	// An image is no index because it says so of its layers.
	a = first()
	a.mediaType = aManifest
	if _, got := tell(t, handler(t, newSink(), nil), a, second(func(*asked) {})); got.Accepted != 2 {
		t.Errorf("children of a manifest: %+v", got)
	}
}

// A registry that names no children, as distribution by default: the ledger does.
func TestCoalesceAsksForChildren(t *testing.T) {
	parent := first()
	parent.children = nil
	child := asked{id: "2", image: "arm64", mediaType: aManifest, address: someClient, agent: "containerd/2", actor: "ci"}
	for name, tt := range map[string]struct {
		children []provenance.Digest
		err      error
		want     counts
	}{
		"known":              {[]provenance.Digest{sum("amd64"), sum("arm64")}, nil, counts{Duplicate: 1}},
		"not known":          {nil, nil, counts{Accepted: 1}},
		"cannot be answered": {nil, provenance.Errorf(provenance.Unavailable, "busy"), counts{Accepted: 1}},
	} {
		asks := 0
		h := handler(t, newSink(), func(c *Config) {
			c.Children = func(_ context.Context, host provenance.Host, repo provenance.Repository, d provenance.Digest) ([]provenance.Digest, error) {
				if asks++; host != "reg.example:5000" || repo != "team/app" || d != sum("index") {
					t.Errorf("asked for %s of %s/%s", d, host, repo)
				}
				return tt.children, tt.err
			}
		})
		if status, got := tell(t, h, parent); status != 200 || got != (counts{Accepted: 1}) {
			t.Errorf("%s, the index: %d %+v", name, status, got)
		}
		if _, got := tell(t, h, child); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
		again := parent
		again.id = "3"
		if tell(t, h, again); asks != 1 {
			t.Errorf("%s: asked %d times", name, asks)
		}
	}
}

// The first of a pull, sent again, is the queue's business: it knows whether
// the id says the same.
func TestCoalesceRepeatOfTheFirst(t *testing.T) {
	s := newSink()
	h := handler(t, s, nil)
	tell(t, h, first())
	if status, got := tell(t, h, first()); status != 200 || got != (counts{Duplicate: 1}) {
		t.Errorf("again: %d %+v", status, got)
	}
	other := first()
	other.children = nil // another body
	if status, got := tell(t, h, other); status != 200 || got != (counts{Unusable: 1}) {
		t.Errorf("another body under its id: %d %+v", status, got)
	}
}

// What is coalesced into something that was not kept is kept itself.
func TestCoalesceAfterARefusal(t *testing.T) {
	s := newSink()
	h := handler(t, s, nil)
	s.err = provenance.Errorf(provenance.Full, "full")
	if status, _ := tell(t, h, first()); status != 503 {
		t.Fatalf("full queue: %d", status)
	}
	s.err = nil
	child := asked{id: "2", image: "amd64", mediaType: aManifest, address: someClient, agent: "containerd/2", actor: "ci"}
	if _, got := tell(t, h, child); got != (counts{Accepted: 1}) {
		t.Errorf("the next request of that pull: %+v", got)
	}
	if _, got := tell(t, h, first()); got != (counts{Accepted: 1}) {
		t.Errorf("the first one again: %+v", got)
	}
}

// No part of a pull is answered before the pull is on disk; where it does not
// come there, the part takes its place.
func TestCoalesceWaitsForTheDisk(t *testing.T) {
	for _, kept := range []bool{true, false} {
		var f coalescer
		slow := &slowSink{inside: make(chan struct{}), answer: make(chan error)}
		event := func(id string) []delivery.Delivery {
			return []delivery.Delivery{{Event: provenance.Event{ID: provenance.NewEventID("x", "y", id), Action: provenance.Pull, Repository: "a", Digest: sum("a"), OccurredAt: received()}}}
		}
		who := []client{{address: "10.2.3.4"}}
		firstDone, secondDone := make(chan error, 1), make(chan delivery.Accepted, 1)
		go func() {
			_, _, err := f.accept(t.Context(), slow, event("1"), who)
			firstDone <- err
		}()
		<-slow.inside
		quick := newSink()
		go func() {
			got, coalesced, err := f.accept(t.Context(), quick, event("2"), who)
			if err != nil {
				t.Error(err)
			}
			secondDone <- delivery.Accepted{New: got.New, Duplicate: coalesced}
		}()
		// It must not be answered; that it waits is seen by the deadline of a third.
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if _, _, err := f.accept(ctx, quick, event("3"), who); provenance.CodeOf(err) != provenance.Unavailable {
			t.Errorf("before the disk has it: %v", err)
		}
		cancel()
		select {
		case got := <-secondDone:
			t.Fatalf("answered too early: %+v", got)
		default:
		}
		want := delivery.Accepted{Duplicate: 1}
		if kept {
			slow.answer <- nil
		} else {
			slow.answer <- provenance.Errorf(provenance.Full, "full")
			want = delivery.Accepted{New: 1}
		}
		if err := <-firstDone; (err == nil) != kept {
			t.Errorf("the first: %v", err)
		}
		if got := <-secondDone; got != want {
			t.Errorf("kept %v: %+v, want %+v", kept, got, want)
		}
	}
}

type slowSink struct {
	inside chan struct{}
	answer chan error
}

func (s *slowSink) Accept(_ context.Context, d []delivery.Delivery) (delivery.Accepted, error) {
	s.inside <- struct{}{}
	return delivery.Accepted{New: len(d)}, <-s.answer
}

func (*slowSink) AcceptUnusable(context.Context, []delivery.Unusable) error { return nil }

func TestCoalesceIsBounded(t *testing.T) {
	var f coalescer
	s := newSink()
	for i := range 3 * maxCoalesced / 2 {
		e := provenance.Event{ID: provenance.NewEventID("x", "y", fmt.Sprint(i)), Action: provenance.Pull, Repository: "a", Digest: sum(fmt.Sprint(i)), OccurredAt: received()}
		if _, _, err := f.accept(t.Context(), s, []delivery.Delivery{{Event: e}}, []client{{address: "10.0.0.1", children: []provenance.Digest{sum("c" + fmt.Sprint(i))}}}); err != nil {
			t.Fatal(err)
		}
	}
	if len(f.seen) > maxCoalesced || len(f.order) > maxCoalesced || s.count() != 3*maxCoalesced/2 {
		t.Errorf("%d keys, ring of %d, %d kept", len(f.seen), len(f.order), s.count())
	}
}

func TestPullsSetting(t *testing.T) {
	for mode, want := range map[string]struct {
		got            counts
		address, agent string
	}{
		"":           {counts{Accepted: 1}, "", ""},
		PullsChannel: {counts{Accepted: 1}, "10.2.3.4", "containerd/2"},
		PullsPrivate: {counts{Accepted: 1}, "10.2.3.4", "containerd/2"},
		PullsOff:     {counts{Ignored: 1}, "", ""},
	} {
		s := newSink()
		h := handler(t, s, func(c *Config) { c.Connectors[0].Pulls = mode })
		if _, got := tell(t, h, first()); got != want.got {
			t.Errorf("%q: %+v", mode, got)
		}
		if want.got.Accepted == 0 {
			continue
		}
		if e := s.got[0].Event; e.Address != want.address || e.UserAgent != want.agent || e.Actor != "ci" {
			t.Errorf("%q: %+v", mode, e)
		} else if (e.Blind == provenance.Unblinded()) != (mode == PullsPrivate) {
			t.Errorf("%q: marked %q", mode, e.Blind)
		}
	}
	c := connector()
	c.Pulls = "secret"
	if _, err := New(Config{Connectors: []Connector{c}, Sink: newSink()}); provenance.CodeOf(err) != provenance.Invalid {
		t.Errorf("an unknown setting: %v", err)
	}
	// A push says nothing of a client, whatever the setting.
	d := deskOf(t, KindDistribution)
	d.handler.endpoints["main"].Pulls = PullsChannel
	d.expect("push", d.send("v3-push-tag", hostile{}), 200, 1)
	if e := d.sink.got[0].Event; e.Address != "" || e.UserAgent != "" {
		t.Errorf("push: %+v", e)
	}
}
