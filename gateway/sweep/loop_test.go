package sweep

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/findings"
)

func TestSweepWaitsForTheQueue(t *testing.T) {
	b := newBench(t)
	s := b.sweeper(nil)
	stats := []delivery.Stats{
		{Pending: 1, OldestPending: time.Now().Add(-time.Hour)},                    // accepted long ago
		{Pending: 1, Sealed: 2, OldestPending: time.Now().Add(time.Hour), Done: 5}, // the rest is younger, two are sealed
		{Sealed: 1, Done: 6},
		{Sealed: 1, Done: 7},
	}
	asked := 0
	s.Queue = statsOnly{b, func() delivery.Stats {
		asked++
		return stats[min(asked, len(stats))-1]
	}}
	levels := 0
	s.Level = func(since time.Time) bool { levels++; return levels == 3 && asked == len(stats) }
	p := &pass{Sweeper: s, host: b.host, reg: s.Hosts[b.host], pace: rate.NewLimiter(rate.Inf, 1)}
	if _, err := s.begin(t.Context(), b.host, false); err != nil {
		t.Fatal(err)
	}
	if err := p.caughtUp(t.Context(), time.Now()); err != nil || asked != len(stats) || levels != 3 {
		t.Errorf("%v after %d looks at the queue and %d at the index", err, asked, levels)
	}
}

type statsOnly struct {
	Queue
	stats func() delivery.Stats
}

func (q statsOnly) Stats(context.Context) (delivery.Stats, error) { return q.stats(), nil }

func TestSweepBegin(t *testing.T) {
	b := newBench(t)
	s := b.sweeper(nil)
	if _, err := s.begin(t.Context(), "other.example", false); provenance.CodeOf(err) != provenance.NotFound {
		t.Errorf("not configured: %v", err)
	}
	started, err := s.Start(t.Context(), "", false)
	if err != nil || len(started) != 1 || started[0].Joined || started[0].ID == "" {
		t.Fatalf("%+v, %v", started, err)
	}
	if again, err := s.Start(t.Context(), b.host, false); err != nil || !again[0].Joined || again[0].ID != started[0].ID {
		t.Errorf("%+v, %v", again, err)
	}
	if _, err := s.Start(t.Context(), b.host, true); provenance.CodeOf(err) != provenance.Conflict {
		t.Errorf("a dry one beside it: %v", err)
	}
	s.sweep(t.Context(), b.host)
	if list := s.List(t.Context()); len(list) != 1 || list[0].Running != nil || list[0].Last == nil || list[0].Last.Finished.IsZero() {
		t.Errorf("%+v", list)
	}
	b.state.Put(t, state.RegistryKey(b.host), state.Registry{Host: b.host, Claims: []state.Claim{{Owner: "PartnerMSP"}}})
	if _, err := s.Start(t.Context(), b.host, false); provenance.CodeOf(err) != provenance.Forbidden {
		t.Errorf("another organisation's: %v", err)
	}
	if _, err := s.Start(t.Context(), "", false); provenance.CodeOf(err) != provenance.NotFound {
		t.Errorf("all of none: %v", err)
	}
}

// The loop sweeps when it is asked, by the schedule, and after a restart.
func TestSweepLoop(t *testing.T) {
	b := newBench(t)
	s := b.sweeper(func(s *Sweeper) { s.Config.Every = time.Hour })
	s.states[b.host] = &progress{LastStart: time.Now().Add(-2 * time.Hour)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	finished := func() (n string) {
		for _, one := range s.List(ctx) {
			if one.Running == nil && one.Last != nil {
				n = one.Last.ID
			}
		}
		return n
	}
	first := waitFor(t, func() (string, bool) { id := finished(); return id, id != "" })
	if next := s.List(ctx)[0].Next; time.Until(next) < 59*time.Minute {
		t.Errorf("the next one at %s", next)
	}
	if _, err := s.Start(ctx, "", true); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() (string, bool) { id := finished(); return id, id != "" && id != first })
	cancel()
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	var states map[provenance.Host]*progress
	if raw, err := os.ReadFile(b.path); err != nil || json.Unmarshal(raw, &states) != nil || states[b.host].LastStart.IsZero() {
		t.Errorf("%v: %s", err, raw)
	}
}

// A new gateway makes its first sweep after a while, whatever restarts there
// are; none of a registry that is not read back, and none where they are off.
func TestSweepSchedule(t *testing.T) {
	b := newBench(t)
	day := func(s *Sweeper) { s.Config.Every = 24 * time.Hour }
	s := b.sweeper(day)
	due := s.due(b.host)
	if wait := time.Until(due); wait < 59*time.Minute || wait > 61*time.Minute {
		t.Errorf("the first sweep after %s", wait)
	}
	s.save(t.Context(), true)
	if again := b.sweeper(day).due(b.host); !again.Equal(due) {
		t.Errorf("due at %s, and after a restart at %s", due, again)
	}
	s.Hosts[b.host].Unread = true
	if !s.due(b.host).IsZero() {
		t.Error("a registry that is not read back is swept by itself")
	}
	s.Hosts[b.host].Unread, s.Config.Off = false, true
	if !s.due(b.host).IsZero() {
		t.Error("off, and swept")
	}
}

// A sweep that nobody waits for makes a quarter of the requests; joined, it goes on as fast as another.
func TestScheduledSweepIsSlow(t *testing.T) {
	b := newBench(t)
	s := b.sweeper(func(s *Sweeper) { s.Config.Rate = 100 })
	if _, err := s.start(t.Context(), b.host, false, true); err != nil {
		t.Fatal(err)
	}
	p := &pass{Sweeper: s, host: b.host, reg: s.Hosts[b.host], pace: rate.NewLimiter(rate.Inf, 1)}
	five := func() time.Duration {
		began := time.Now()
		for range 5 {
			if err := p.request(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		return time.Since(began)
	}
	if slow := five(); slow < 160*time.Millisecond {
		t.Errorf("five requests in %s, want four pauses of 40 ms", slow)
	}
	if joined, err := s.begin(t.Context(), b.host, false); err != nil || !joined {
		t.Fatal(joined, err)
	}
	_ = p.request(t.Context()) // its pause was set before
	if fast := five(); fast > 120*time.Millisecond {
		t.Errorf("five requests in %s, want five pauses of 10 ms", fast)
	}
}

func waitFor(t *testing.T, try func() (string, bool)) string {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); <-tick.C {
		if got, ok := try(); ok {
			return got
		}
	}
	t.Fatal("it did not come in ten seconds")
	return ""
}

func TestSweepFileDamaged(t *testing.T) {
	b := newBench(t)
	if err := os.WriteFile(b.path, []byte(`{"x":`), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &Sweeper{Path: b.path}
	if err := s.Load(); err == nil || !strings.Contains(err.Error(), "may be deleted") {
		t.Error(err)
	}
	if err := os.WriteFile(s.Path, []byte("null"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Load(); err != nil || s.state("registry.example") == nil {
		t.Errorf("a file that says null: %v", err)
	}
}

// A registry may have many owners. What another one's gateways do not record is
// not ours to find: its push would be set aside, sweep after sweep.
func TestSweepOfSharedRegistry(t *testing.T) {
	for _, named := range [][]provenance.Repository{nil, {"ours/app", "theirs/app"}} {
		b := newBench(t)
		b.state.Put(t, state.RegistryKey(b.host), state.Registry{Host: b.host, Claims: []state.Claim{{Namespace: "ours", Owner: "VendorMSP"}, {Namespace: "theirs", Owner: "PartnerMSP"}}})
		b.push("ours/app", "1", imageNamed("ours"))
		b.push("theirs/app", "1", imageNamed("theirs"))
		b.push("nobodys/app", "1", imageNamed("nobody's"))
		gone := b.known("theirs/app", "2", "gone")
		b.do(http.MethodDelete, "theirs/app/manifests/2", "")
		b.do(http.MethodDelete, "theirs/app/manifests/"+gone.String(), "")
		run := b.swept(b.sweeper(func(s *Sweeper) { s.Hosts[b.host].Repositories = named }), false)
		if got := found(run); len(got) != 1 || got[0] != "unrecorded ours/app:1 queued" || run.Error != "" {
			t.Errorf("%q: found %q, %s", named, got, run.Error)
		}
	}
}

// Findings of one repository, however many, hide neither another one's nor other
// bytes for a recorded digest.
func TestSweepKeepsTheWorst(t *testing.T) {
	var list []findings.Finding
	add := func(kind, repo string) {
		list = keepWorst(append(list, findings.Finding{Kind: kind, Repository: provenance.Repository(repo)}), 5)
	}
	add(findings.OtherBytes, "flood")
	add(findings.Unrecorded, "quiet")
	for range 50 {
		add(findings.Unrecorded, "flood")
	}
	add(findings.OtherBytes, "quiet")
	count := map[string]int{}
	for _, f := range list {
		count[f.Kind+" "+string(f.Repository)]++
	}
	if len(list) != 5 || count[findings.OtherBytes+" flood"] != 1 || count[findings.OtherBytes+" quiet"] != 1 || count[findings.Unrecorded+" quiet"] != 1 {
		t.Errorf("kept %v", count)
	}
}
