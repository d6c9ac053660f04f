package intake

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// desk is one connector with its memory, at a clock that tests move.
type desk struct {
	t         *testing.T
	connector Connector
	sink      *sink
	handler   *Handler
	now       time.Time
}

func deskOf(t *testing.T, kind string) *desk {
	t.Helper()
	d := &desk{t: t, connector: connectorOf(t, kind), sink: newSink(), now: received()}
	h, err := New(Config{Connectors: []Connector{d.connector}, Sink: d.sink, Now: func() time.Time { return d.now }, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	d.handler = h
	return d
}

// send delivers a fixture, changed by h, and returns the status.
func (d *desk) send(name string, h hostile) int {
	d.t.Helper()
	raw, header := load(d.t, d.connector.Kind, name)
	_, raw = h.body(d.t, raw)
	r := requestOf(d.t, d.connector, raw, raw, header)
	for k, v := range h.Headers {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, r)
	return w.Code
}

// expect says how many events are stored by now.
func (d *desk) expect(what string, status, wantStatus, stored int) {
	d.t.Helper()
	if status != wantStatus || d.sink.count() != stored {
		d.t.Fatalf("%s: %d with %d stored, want %d with %d", what, status, d.sink.count(), wantStatus, stored)
	}
}

// Corpus B5 for every kind with an id of its own: the same again is a
// duplicate, something else under the same id is refused.
func TestRepeats(t *testing.T) {
	other := map[string]hostile{
		KindDistribution: {Replace: []string{"1.4.0", "1.4.1"}}, KindGitLab: {Replace: []string{"1.4.0", "1.4.1"}}, KindZot: {Replace: []string{`"1.4.0"`, `"1.4.1"`}},
		KindGHCR: {Replace: []string{`"1.4.0"`, `"1.4.1"`}}, KindNexus: {Replace: []string{"1.4.0", "1.4.1"}}, KindECR: {Replace: []string{"1.4.0", "1.4.1"}},
		KindACR: {Replace: []string{"1.4.0", "1.4.1"}}, KindEventGrid: {Replace: []string{"1.4.0", "1.4.1"}}, KindGeneric: {Replace: []string{"1.4.0", "1.4.1"}},
	}
	for _, kind := range Kinds() {
		d := deskOf(t, kind)
		if kind == KindDistribution {
			continue // TestDelivery
		}
		d.expect(kind+" first", d.send(good(kind), hostile{}), 200, 1)
		if kind == KindQuay {
			continue // TestQuayIsNews
		}
		d.now = d.now.Add(3 * time.Second)
		d.expect(kind+" again", d.send(good(kind), hostile{}), 200, 1)
		if change, ok := other[kind]; ok {
			d.expect(kind+" same id, other body", d.send(good(kind), change), 200, 1)
			if got := d.sink.unusable(); len(got) != 1 || !strings.Contains(got[0].Reason, "came before") && !strings.Contains(got[0].Reason, "event ") {
				t.Errorf("%s same id, other body: kept %v", kind, got)
			}
		}
	}
	// Pub/Sub counts its attempts in the envelope: still the same message.
	d := deskOf(t, KindGAR)
	d.expect("gar", d.send("push-tag", hostile{}), 200, 1)
	d.expect("gar, third attempt", d.send("push-tag-again", hostile{}), 200, 1)
}

// A signed body that somebody replays is a duplicate, whatever its unsigned headers say.
func TestReplays(t *testing.T) {
	for kind, header := range map[string]string{KindGHCR: "X-Github-Delivery", KindNexus: "X-Nexus-Webhook-Delivery"} {
		d := deskOf(t, kind)
		d.expect(kind, d.send(good(kind), hostile{}), 200, 1)
		for i := range 3 {
			d.now = d.now.Add(time.Hour)
			d.expect(kind+" replayed", d.send(good(kind), hostile{Headers: map[string]string{header: fmt.Sprint("new-", i)}}), 200, 1)
		}
		// A restart forgets the headers, not the content key.
		again := deskOf(t, kind)
		again.sink = d.sink
		again.handler.config.Sink = d.sink
		again.expect(kind+" after a restart", again.send(good(kind), hostile{Headers: map[string]string{header: "newer"}}), 200, 1)
	}
}

// Artifactory's bodies have no id: a retry is told from news by time and by
// what was said in between.
func TestArtifactoryRetry(t *testing.T) {
	d := deskOf(t, KindArtifactory)
	a, b := hostile{}, hostile{Replace: []string{"ab12ab12", "cd34cd34"}}
	d.expect("push a", d.send("push-index", a), 200, 1)
	d.now = d.now.Add(retryWindow)
	d.expect("retry", d.send("push-index", a), 200, 1)
	d.expect("push b", d.send("push-index", b), 200, 2)
	d.expect("tag goes back to a", d.send("push-index", a), 200, 3)
	d.now = d.now.Add(retryWindow + time.Second)
	d.expect("long after", d.send("push-index", a), 200, 4)
	// What the queue could not take is the same event when it comes again.
	d.sink.err = provenance.Errorf(provenance.Full, "full")
	d.expect("queue full", d.send("delete-tag", hostile{}), 503, 4)
	d.sink.err = nil
	d.now = d.now.Add(time.Minute)
	d.expect("accepted now", d.send("delete-tag", hostile{}), 200, 6) // the tag, and its image if that is gone
	d.expect("and again", d.send("delete-tag", hostile{}), 200, 6)
}

// Quay says the same of two pushes: both are news, to be resolved.
func TestQuayIsNews(t *testing.T) {
	d := deskOf(t, KindQuay)
	d.expect("push", d.send("push", hostile{}), 200, 1)
	d.now = d.now.Add(30 * time.Second)
	d.expect("push again", d.send("push", hostile{}), 200, 2)
	for _, got := range d.sink.got {
		if !got.Unresolved() || got.BodyHash != d.sink.got[0].BodyHash || got.Event.Check() == nil {
			t.Errorf("%+v: want an unresolved push", got)
		}
	}
}

// … but one whose sender hung up before our answer is the same when it comes again.
func TestQuayRetry(t *testing.T) {
	d := deskOf(t, KindQuay)
	hangUp := func() {
		raw, header := load(t, KindQuay, "push-several")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		d.handler.ServeHTTP(httptest.NewRecorder(), requestOf(t, d.connector, raw, raw, header).WithContext(ctx))
	}
	hangUp()
	d.expect("first", 200, 200, 2)
	d.now = d.now.Add(30 * time.Second)
	hangUp()
	d.expect("retry without answer", 200, 200, 2)
	d.now = d.now.Add(30 * time.Second)
	d.expect("retry", d.send("push-several", hostile{}), 200, 2)
	d.now = d.now.Add(30 * time.Second)
	d.expect("the next push", d.send("push-several", hostile{}), 200, 4)
	hangUp()
	d.expect("in the same instant", 200, 200, 4)
	d.now = d.now.Add(retryWindow + time.Second)
	d.expect("long after", d.send("push-several", hostile{}), 200, 6)
}

func TestOwnTraffic(t *testing.T) {
	c := Connector{OwnActor: "waybill-robot"}
	hex64 := "sha256-" + provenance.SHA256Of(nil).String()[7:]
	for _, e := range []struct {
		action      provenance.Action
		tag         provenance.Tag
		actor       string
		agent       string
		ours, ours2 bool // with and without OwnActor
	}{
		{provenance.Pull, "1", "alice", "docker/28", false, false},
		{provenance.Pull, "1", "alice", "waybill-gateway/1.0", true, true},
		{provenance.Pull, "1", "waybill-robot", "docker/28", true, false},
		{provenance.Pull, "1", "Waybill-Robot", "docker/28", false, false},
		{provenance.Push, "1", "waybill-robot", "waybill-gateway/1.0", false, false},
		{provenance.Push, "", "waybill-robot", "waybill-gateway/1.0", false, false},
		{provenance.Push, provenance.Tag(hex64), "waybill-robot", "", true, false},
		{provenance.Push, provenance.Tag(hex64 + ".sig"), "waybill-robot", "", true, false},
		{provenance.Push, provenance.Tag(hex64 + ".exe"), "waybill-robot", "", false, false},
		{provenance.Push, provenance.Tag(hex64), "alice", "waybill-gateway/1.0", false, false},
		{provenance.Delete, "", "waybill-robot", "waybill-gateway/1.0", false, false},
		{provenance.TagDelete, provenance.Tag(hex64), "waybill-robot", "", false, false},
		{provenance.Pull, "1", "", "", false, false},
	} {
		event := provenance.Event{Action: e.action, Tag: e.tag, Actor: e.actor}
		if c.ownTraffic(event, e.agent) != e.ours || (&Connector{}).ownTraffic(event, e.agent) != e.ours2 {
			t.Errorf("%+v: with actor %v, without %v", e, c.ownTraffic(event, e.agent), (&Connector{}).ownTraffic(event, e.agent))
		}
	}
}

// Corpus B6 for every kind, and the origins of those that have them.
func TestScope(t *testing.T) {
	for _, kind := range Kinds() {
		d := deskOf(t, kind)
		d.connector.Repositories = []string{"somebody-else/**"}
		d.handler = handlerOf(t, d.sink, d.connector)
		d.expect(kind+" outside", d.send(good(kind), hostile{Headers: map[string]string{"Content-Type": typeOf(kind)}}), http.StatusOK, 0)
	}
	for kind, origins := range map[string][2]string{
		KindZot: {"https://zot.example.net", "https://zot.example.org"}, KindEventGrid: {"waybill", "waybill2"},
		KindGAR: {"projects/p1/subscriptions/waybill", "projects/p1/subscriptions/other"},
	} {
		for i, status := range []int{200, 403} {
			d := deskOf(t, kind)
			d.connector.Origins = []string{"x", origins[i]}
			d.handler = handlerOf(t, d.sink, d.connector)
			d.expect(kind+" from "+origins[i], d.send(good(kind), hostile{}), status, 1-i)
		}
	}
}

func typeOf(kind string) string {
	if kind == KindDistribution || kind == KindGitLab {
		return v3Type
	}
	return "application/json"
}

func TestDedupForgetsTheOldest(t *testing.T) {
	var r dedup
	now := received()
	for i := range 3 * maxDedup {
		if err := r.once(fmt.Sprint(i), [32]byte{1}, now); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.seen) != maxDedup || len(r.order) != maxDedup {
		t.Fatalf("%d remembered, %d in order; want %d", len(r.seen), len(r.order), maxDedup)
	}
	if r.once(fmt.Sprint(3*maxDedup-1), [32]byte{2}, now) == nil {
		t.Error("the last is forgotten")
	}
	if err := r.once("0", [32]byte{2}, now); err != nil {
		t.Error("the first is remembered")
	}
	if at := r.first("0", [32]byte{3}, now.Add(time.Minute)); at.Equal(now) {
		t.Error("another body has the first one's time")
	}
}
