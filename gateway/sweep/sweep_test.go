package sweep

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/findings"
)

func TestSweepFinds(t *testing.T) {
	b := newBench(t)
	// As recorded: nothing to say.
	b.known("team/app", "1.0", "a")
	b.known("team/app", "", "by digest only")
	// Pushed unseen: a tag of a known repository, a repository of its own, an index with a platform image.
	b.push("team/app", "1.1", imageNamed("unseen"))
	b.push("secret/tool", "latest", imageNamed("tool"))
	platform := b.push("team/multi", "", imageNamed("amd64"))
	left := b.push("team/multi", "", imageNamed("left out"))
	b.push("team/multi", "2.0", fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":%q,"digest":%q,"size":%d},{"mediaType":%q,"digest":%q,"size":7}]}`,
		manifestType, platform, len(imageNamed("amd64")), manifestType, left))
	b.do(http.MethodDelete, "team/multi/manifests/"+left.String(), "")
	// Moved unseen.
	b.known("team/moving", "stable", "before")
	b.push("team/moving", "stable", imageNamed("after"))
	// Deleted unseen: a tag, and an image.
	b.known("team/gone", "old", "c")
	b.do(http.MethodDelete, "team/gone/manifests/old", "")
	dead := b.known("team/gone", "", "d")
	b.do(http.MethodDelete, "team/gone/manifests/"+dead.String(), "")
	// Deleted on the ledger, and there again.
	back := b.known("team/back", "1", "e")
	b.record(provenance.Event{Action: provenance.Delete, Repository: "team/back", Digest: back})
	// Another's bytes under a recorded digest. This registry does not hash what is put.
	forged := b.known("team/forged", "", "f")
	b.do(http.MethodPut, "team/forged/manifests/"+forged.String(), imageNamed("malice"))
	// No manifest that could be recorded.
	b.do(http.MethodPut, "team/odd/manifests/x", `{"schemaVersion":1}`)

	want := []string{
		"image-gone team/gone queued", "moved team/moving:stable queued", "other-bytes team/forged alarm", "restored team/back:1 queued", "tag-gone team/gone:old queued",
		"unreadable team/odd:x alarm", "unrecorded secret/tool:latest queued", "unrecorded team/app:1.1 queued", "unrecorded team/multi:2.0 queued",
	}
	s := b.sweeper(nil)
	dry := b.swept(s, true)
	dryWant := []string{}
	for _, line := range want {
		dryWant = append(dryWant, line[:strings.LastIndexByte(line, ' ')]+" dry-run")
	}
	if diff := cmp.Diff(dryWant, found(dry)); diff != "" || dry.Error != "" {
		t.Errorf("dry run %s (-want +got):\n%s", dry.Error, diff)
	}
	if len(b.events) != 0 || len(b.counts) != 0 || len(s.states[b.host].Alerts) != 0 || !s.states[b.host].LastStart.IsZero() {
		t.Fatalf("a dry run did something: %v %v", b.events, b.counts)
	}

	run := b.swept(s, false)
	if diff := cmp.Diff(want, found(run)); diff != "" || run.Error != "" {
		t.Errorf("sweep %s (-want +got):\n%s", run.Error, diff)
	}
	// The platform image comes before the index that names it; what the index names and is not there is left out.
	at := slices.IndexFunc(b.events, func(e provenance.Event) bool { return e.Repository == "team/multi" })
	if len(b.events) != 8 || b.events[at].Digest != platform || b.events[at].Tag != "" || b.events[at+1].Tag != "2.0" || len(b.events[at+1].Children) != 2 {
		t.Errorf("%d events: %+v", len(b.events), b.events)
	}
	if len(s.states[b.host].Alerts) != 9 || b.counts[findings.OtherBytes] != 1 || b.counts[findings.Unrecorded] != 3 || b.counts["finished"] != 1 {
		t.Errorf("alerts %v, counts %v", s.states[b.host].Alerts, b.counts)
	}
	for agent := range b.agents {
		if !strings.HasPrefix(agent, "waybill-gateway") {
			t.Errorf("asked as %q: a registry's notification of it would become an event", agent)
		}
	}
	// What was recorded is not found again; alarms are, as long as they are so.
	if run = b.swept(s, false); !slices.Equal(found(run), []string{"other-bytes team/forged alarm", "unreadable team/odd:x alarm"}) || len(b.events) != 8 {
		t.Errorf("a second sweep found %v", found(run))
	}
}

// A notification that is merely late: in time, nothing is found; later, it
// changes nothing on the ledger.
func TestSweepAndLateNotification(t *testing.T) {
	b := newBench(t)
	d := b.push("app", "1.0", imageNamed("a"))
	looks := 0
	b.answer = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodHead {
			looks++
		}
		return false
	}
	s := b.sweeper(func(s *Sweeper) { s.Config.Grace = 50 * time.Millisecond })
	if _, err := s.begin(t.Context(), b.host, false); err != nil {
		t.Fatal(err)
	}
	level := 0
	s.Level = func(time.Time) bool {
		if level++; level == 2 { // the grace is over: the queue is being emptied
			b.recordPush("app", "1.0", d)
		}
		return true
	}
	s.sweep(t.Context(), b.host)
	if run := s.states[b.host].Last; len(run.Findings) != 0 || len(b.events) != 0 || run.Error != "" || looks != 2 {
		t.Fatalf("%+v after %d looks", run, looks)
	}

	late := b.push("app", "2.0", imageNamed("b"))
	if run := b.swept(s, false); len(run.Findings) != 1 {
		t.Fatalf("%+v", run)
	}
	var before, after state.Tag
	if _, err := state.Read(b, state.TagKey(b.host, "app", "2.0"), &before); err != nil {
		t.Fatal(err)
	}
	b.recordPush("app", "2.0", late)
	if _, err := state.Read(b, state.TagKey(b.host, "app", "2.0"), &after); err != nil || before != after || before.Moves != 1 {
		t.Errorf("%+v, then %+v: %v", before, after, err)
	}
	if run := b.swept(s, false); len(run.Findings) != 0 {
		t.Errorf("%+v", run)
	}
}

// A tag that keeps moving gets its grace anew, and is recorded in the end.
func TestSweepOfAMovingTag(t *testing.T) {
	b := newBench(t)
	n := 0
	b.push("app", "edge", imageNamed("0"))
	b.answer = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodHead && n < 10 {
			n++
			b.push("app", "edge", imageNamed(fmt.Sprint(n)))
		}
		return false
	}
	run := b.swept(b.sweeper(nil), false)
	if !slices.Equal(found(run), []string{"unrecorded app:edge queued"}) || n < 3 || n > 6 {
		t.Errorf("%v after %d moves", found(run), n)
	}
}

// A sweep that is killed at any request goes on where it was, finds what it
// would have found, and records nothing twice.
func TestSweepResumes(t *testing.T) {
	for _, kill := range []int{1, 3, 7, 12, 20, 31, 45} {
		t.Run(fmt.Sprint(kill), func(t *testing.T) {
			b := newBench(t)
			var want []string
			for i := range 12 {
				repo := fmt.Sprintf("team/r%02d", i)
				b.known(repo, "1", repo)
				b.push(repo, "2", imageNamed("unseen "+repo))
				want = append(want, "unrecorded "+repo+":2 queued")
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			b.answer = func(http.ResponseWriter, *http.Request) bool {
				if len(b.requests) == kill {
					cancel()
				}
				return false
			}
			eager := func(s *Sweeper) { s.Limits.save, s.Limits.suspects = 0, 3 }
			s := b.sweeper(eager)
			if _, err := s.begin(ctx, b.host, false); err != nil {
				t.Fatal(err)
			}
			s.save(ctx, true)
			s.sweep(ctx, b.host)
			if s.states[b.host].Run == nil || s.states[b.host].Last != nil {
				t.Fatal("the sweep was not interrupted")
			}
			id := s.states[b.host].Run.ID

			s = b.sweeper(eager)
			run := s.states[b.host].Run
			if run == nil || run.ID != id {
				t.Fatalf("restarted with %+v", run)
			}
			already := run.Place
			b.requests, b.answer = nil, nil
			s.sweep(t.Context(), b.host)
			last := s.states[b.host].Last
			if diff := cmp.Diff(want, found(last)); diff != "" || last.Error != "" || last.ID != id || last.Done != 12 {
				t.Errorf("%s %s (-want +got):\n%s", last.ID, last.Error, diff)
			}
			if len(b.events) != 12 {
				t.Errorf("%d events for 12 images", len(b.events))
			}
			for _, r := range b.requests {
				if name := strings.TrimPrefix(r, "GET /v2/"); strings.HasSuffix(name, "/tags/list") && strings.TrimSuffix(name, "/tags/list") < string(already.Repository) {
					t.Errorf("%s again, though %s was reached", r, already.Repository)
				}
			}
		})
	}
}

// A crash after the events were accepted and before that was saved.
func TestSweepCrashAfterAccept(t *testing.T) {
	b := newBench(t)
	b.push("app", "1", imageNamed("a"))
	b.held = true
	ctx, cancel := context.WithCancel(t.Context())
	var saved []byte
	s := b.sweeper(nil)
	b.accepted = func(provenance.Event) {
		saved, _ = os.ReadFile(b.path) // what stands on the disk in this moment
		cancel()
	}
	if _, err := s.begin(ctx, b.host, false); err != nil {
		t.Fatal(err)
	}
	s.save(ctx, true)
	s.sweep(ctx, b.host)
	if len(saved) == 0 || len(b.events) != 1 {
		t.Fatalf("%d bytes, %d events", len(saved), len(b.events))
	}
	if err := os.WriteFile(b.path, saved, 0o600); err != nil {
		t.Fatal(err)
	}
	b.accepted = nil
	s = b.sweeper(nil)
	s.sweep(t.Context(), b.host)
	if got := found(s.states[b.host].Last); !slices.Equal(got, []string{"unrecorded app:1 known"}) || len(b.events) != 1 {
		t.Errorf("%v, %d events", got, len(b.events))
	}
	// It is recorded, deleted, and pushed unseen once more: that is news.
	for _, e := range b.holding {
		b.record(e)
	}
	b.held = false
	b.record(provenance.Event{Action: provenance.Delete, Repository: "app", Digest: b.events[0].Digest})
	if run := b.swept(s, false); !slices.Equal(found(run), []string{"restored app:1 queued"}) || len(b.events) != 2 {
		t.Errorf("%v, %d events", found(run), len(b.events))
	}
}

// A registry that does not show a repository has not deleted it.
func TestSweepIsNotFooled(t *testing.T) {
	unknown := func(w http.ResponseWriter) bool {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"errors":[{"code":"NAME_UNKNOWN"}]}`)
		return true
	}
	for name, x := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request) bool
		want   []string
		notes  int
		errors bool
		events int
	}{
		"no catalogue, and credentials that are not good for it": {want: []string{"hidden app alarm"}, notes: 1, answer: func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/v2/_catalog" {
				w.WriteHeader(http.StatusUnauthorized)
				return true
			}
			return unknown(w)
		}},
		"no catalogue": {want: []string{}, notes: 1, answer: func(w http.ResponseWriter, r *http.Request) bool {
			return r.URL.Path == "/v2/_catalog" && unknown(w)
		}},
		"gone whole": {want: []string{"image-gone app queued", "tag-gone app:1 queued"}, events: 2, answer: func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/v2/_catalog" {
				_, _ = io.WriteString(w, `{"repositories":[]}`)
				return true
			}
			return unknown(w)
		}},
		"a proxy's 404": {want: []string{"unreachable app alarm"}, notes: 1, answer: func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusNotFound)
			return true
		}},
		"down": {want: []string{}, errors: true, answer: func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusBadGateway)
			return true
		}},
		"one tag that cannot be read": {want: []string{"unreachable app:1 alarm"}, answer: func(w http.ResponseWriter, r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, "/manifests/1") {
				w.WriteHeader(http.StatusInternalServerError)
				return true
			}
			return false
		}},
		"the digest in the header is not that of the bytes": {want: []string{}, answer: func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodHead {
				w.Header().Set("Docker-Content-Digest", provenance.SHA256Of([]byte("x")).String())
				return true
			}
			return false
		}},
		"pages that lead in circles": {want: []string{"unreadable app alarm"}, answer: func(w http.ResponseWriter, r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, "/tags/list") {
				w.Header().Set("Link", `</v2/app/tags/list?last=1>; rel="next"`)
				_, _ = io.WriteString(w, `{"tags":["1"]}`)
				return true
			}
			return false
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.known("app", "1", "a")
			b.answer = x.answer
			run := b.swept(b.sweeper(nil), false)
			if diff := cmp.Diff(x.want, found(run)); diff != "" || (run.Error != "") != x.errors || len(run.Notes) != x.notes || len(b.events) != x.events {
				t.Errorf("error %q, notes %q, %d events, findings (-want +got):\n%s", run.Error, run.Notes, len(b.events), diff)
			}
		})
	}
}

func TestSweepOfManyTags(t *testing.T) {
	b := newBench(t)
	const n = 1200 // more than a page; this registry gives no link
	for i := range n {
		b.do(http.MethodPut, fmt.Sprintf("app/manifests/t%04d", i), imageNamed("a"))
	}
	b.full = 3
	s := b.sweeper(func(s *Sweeper) { s.Limits.suspects, s.Limits.findings, s.Limits.alerts = 100, 50, 20 })
	run := b.swept(s, false)
	if run.Error != "" || run.Counts[findings.Unrecorded] != n || len(run.Findings) != 50 || len(s.states[b.host].Alerts) != 20 || len(b.events) != n || run.Tags != n {
		t.Errorf("%s: %v, %d findings, %d alerts, %d events, %d tags", run.Error, run.Counts, len(run.Findings), len(s.states[b.host].Alerts), len(b.events), run.Tags)
	}
}

func TestSweepOfListedRepositories(t *testing.T) {
	b := newBench(t)
	b.push("a", "1", imageNamed("a"))
	b.push("b", "1", imageNamed("b"))
	b.push("c/d", "1", imageNamed("c"))
	s := b.sweeper(func(s *Sweeper) { s.Hosts[b.host].Repositories = []provenance.Repository{"b"} })
	if run := b.swept(s, true); !slices.Equal(found(run), []string{"unrecorded b:1 dry-run"}) {
		t.Errorf("of the list: %v", found(run))
	}
	// Without a list: what a connector speaks for.
	s.Hosts[b.host].Repositories = nil
	s.Hosts[b.host].Watched = func(repo provenance.Repository) bool { return strings.HasPrefix(string(repo), "c/") }
	if run := b.swept(s, true); !slices.Equal(found(run), []string{"unrecorded c/d:1 dry-run"}) {
		t.Errorf("of a connector: %v", found(run))
	}
	s.Hosts[b.host].Watched = func(provenance.Repository) bool { return true }
	if run := b.swept(s, true); len(run.Findings) != 3 {
		t.Errorf("of connectors, one without a limit: %v", found(run))
	}
}
