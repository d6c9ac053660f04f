package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/ledger/ledgertest"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/gateway/registry"
)

// TestCrashPoints ends the process at each point of a segment's life, several
// times over, restarts it, and counts.
func TestCrashPoints(t *testing.T) {
	gone := errors.New("the process is gone")
	for name, arm := range map[string]func(l *ledgertest.Ledger, fault func(int) error){
		"before endorse":                 func(l *ledgertest.Ledger, f func(int) error) { l.OnEndorse = f },
		"after seal, before submit":      func(l *ledgertest.Ledger, f func(int) error) { l.OnSubmit = f },
		"after submit":                   func(l *ledgertest.Ledger, f func(int) error) { l.AfterSubmit = f },
		"before recorded (fate unheard)": func(l *ledgertest.Ledger, f func(int) error) { l.OnStatus = f },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			var all []delivery.Delivery
			for r := range 4 {
				all = append(all, pushes(fmt.Sprintf("repo%d", r), 9)...)
			}
			b.accept(all...)
			for range 4 {
				ctx, kill := context.WithCancel(t.Context())
				var calls atomic.Int64
				arm(b.ledger, func(int) error {
					if calls.Add(1) < 2 {
						return nil
					}
					kill()
					return gone
				})
				b.run(ctx, empty)
				b.reopen()
			}
			arm(b.ledger, nil)
			b.run(t.Context(), empty)
			b.wantOnce(all)
		})
	}
}

func TestContractRefusalBuriesTheCulpritOnly(t *testing.T) {
	b := newBench(t)
	all := pushes("a", 20)
	culprit := all[13].Event.ID
	b.ledger.Refuse = func(e provenance.Event) error {
		if e.ID == culprit {
			return provenance.Errorf(provenance.Invalid, "this event cannot stand")
		}
		return nil
	}
	b.accept(all...)
	b.run(t.Context(), empty)
	b.wantOnce(append(append([]delivery.Delivery{}, all[:13]...), all[14:]...))
	dead, err := b.queue.Dead(t.Context(), 0, 10)
	if err != nil || len(dead) != 1 || dead[0].Event.ID != culprit || !strings.Contains(dead[0].Reason, "cannot stand") {
		t.Fatalf("dead letters %+v, %v", dead, err)
	}
}

// A sealed segment turns out invalid and the contract has changed its mind
// meanwhile: it is dissolved, and split as a new one would be.
func TestResealRefusedIsSplit(t *testing.T) {
	b := newBench(t)
	all := pushes("a", 4)
	b.accept(all...)
	b.ledger.Invalid = func(n int) string {
		if n == 1 {
			return "ENDORSEMENT_POLICY_FAILURE"
		}
		return "VALID"
	}
	b.ledger.Refuse = func(e provenance.Event) error {
		b.ledger.Mu.Lock()
		defer b.ledger.Mu.Unlock()
		if len(b.ledger.Fates) > 0 && e.ID == all[2].Event.ID {
			return provenance.Errorf(provenance.Invalid, "not any more")
		}
		return nil
	}
	b.run(t.Context(), empty)
	b.wantOnce([]delivery.Delivery{all[0], all[1], all[3]})
}

// A missing grant is mended by somebody; no event is set aside for it.
func TestForbiddenWaits(t *testing.T) {
	b := newBench(t)
	all := pushes("a", 7)
	b.accept(all...)
	b.ledger.OnEndorse = func(n int) error {
		if n < 4 {
			return provenance.Errorf(provenance.Forbidden, "gateway@VendorMSP has no role gateway")
		}
		return nil
	}
	b.run(t.Context(), func(delivery.Stats) bool { return b.sub.State().Reason != "" })
	if s := b.sub.State(); !strings.Contains(s.Reason, "no role gateway") || s.Since.IsZero() {
		t.Fatalf("state %+v", s)
	}
	b.reopen()
	b.run(t.Context(), empty)
	b.wantOnce(all)
	if s := b.sub.State(); s.Reason != "" {
		t.Fatalf("still waiting after all was recorded: %+v", s)
	}
}

// A registry may have several owners. What the contract does not take of one
// repository holds up no other; what is another organisation's is set aside, and
// what nobody has yet waits until somebody does.
func TestRefusedRepositoryHoldsNobody(t *testing.T) {
	b := newBench(t)
	var given atomic.Bool
	b.ledger.Refuse = func(e provenance.Event) error {
		switch {
		case strings.HasPrefix(string(e.Repository), "theirs/"):
			return provenance.Errorf(provenance.Forbidden, "%s belongs to PartnerMSP", e.Repository)
		case strings.HasPrefix(string(e.Repository), "nobodys/") && !given.Load():
			return provenance.Errorf(provenance.NotFound, "no organisation has the namespace of %s", e.Repository)
		}
		return nil
	}
	b.sub.elsewhere = func(_ context.Context, host provenance.Host, repo provenance.Repository) string {
		if host == submitHost && strings.HasPrefix(string(repo), "theirs/") {
			return "PartnerMSP"
		}
		return ""
	}
	var all, ours, later []delivery.Delivery
	for i := range 4 { // of whichever lanes
		theirs, nobodys, mine := pushes(fmt.Sprint("theirs/", i), 3), pushes(fmt.Sprint("nobodys/", i), 3), pushes(fmt.Sprint("ours/", i), 3)
		ours, later = append(ours, mine...), append(later, nobodys...)
		for n := range 3 {
			all = append(all, theirs[n], nobodys[n], mine[n])
		}
	}
	b.accept(all...)
	b.run(t.Context(), func(s delivery.Stats) bool {
		return s.Dead == 12 && len(b.ledger.Recordings(t)) == len(ours) && b.sub.State().Reason != ""
	})
	b.wantOnce(ours)
	if s := b.sub.State(); !strings.Contains(s.Reason, "no organisation has the namespace of nobodys/") {
		t.Errorf("state %+v", s)
	}
	dead, err := b.queue.Dead(t.Context(), 0, 20)
	if err != nil || len(dead) != 12 || !strings.Contains(dead[0].Reason, "belongs to PartnerMSP, whose gateways record it") {
		t.Errorf("dead letters %+v, %v", dead, err)
	}
	given.Store(true)
	b.run(t.Context(), empty)
	b.wantOnce(append(ours, later...))
	if s := b.sub.State(); s.Reason != "" {
		t.Errorf("mended, it says %+v", s)
	}
}

// More refused repositories than a segment has room for, each of them due again
// before the last has been asked for, keep no other waiting.
func TestManyRefusedRepositoriesHoldNobody(t *testing.T) {
	b := newBench(t)
	b.ledger.Refuse = func(e provenance.Event) error {
		if strings.HasPrefix(string(e.Repository), "nobodys/") {
			return provenance.Errorf(provenance.NotFound, "no organisation has the namespace of %s", e.Repository)
		}
		return nil
	}
	b.ledger.OnEndorse = func(int) error {
		time.Sleep(b.limits.backoffMax + time.Millisecond)
		return nil
	}
	for i := range 30 {
		b.accept(pushes(fmt.Sprint("nobodys/", i), 1)...)
	}
	ours := append(pushes("ours/a", 3), pushes("ours/b", 3)...)
	b.accept(ours...)
	b.run(t.Context(), func(delivery.Stats) bool { return len(b.ledger.Recordings(t)) == len(ours) })
	b.wantOnce(ours)
}

func TestLedgerUnavailableWaitsAndSaysWhy(t *testing.T) {
	b := newBench(t)
	var down atomic.Bool
	down.Store(true)
	fault := func(int) error {
		if down.Load() {
			return ledgertest.Unavailable("")
		}
		return nil
	}
	b.ledger.OnEndorse, b.ledger.OnSubmit, b.ledger.OnStatus = fault, fault, fault
	all := append(pushes("a", 6), pushes("b", 6)...)
	b.accept(all...)
	var first time.Time
	b.run(t.Context(), func(delivery.Stats) bool {
		if s := b.sub.State(); first.IsZero() {
			first = s.Since
		}
		b.ledger.Mu.Lock()
		defer b.ledger.Mu.Unlock()
		return !first.IsZero() && b.ledger.Endorses > 20 // it has tried again and again since
	})
	if s := b.sub.State(); !strings.Contains(s.Reason, "SecurityMSP") || !s.Since.Equal(first) {
		t.Fatalf("state %+v of a wait that began at %s", s, first)
	}
	down.Store(false)
	b.reopen()
	b.run(t.Context(), empty)
	b.wantOnce(all)
}

// An old copy of the queue: its numbers are taken. Nothing is recorded twice,
// nothing is lost silently.
func TestOldCopyOfTheQueueIsSetAside(t *testing.T) {
	b := newBench(t)
	for lane := range b.queue.Lanes() {
		b.ledger.Segments[fmt.Sprint([]string{string(submitHost), b.queue.LaneName(lane), "1"})] = segmentOf(t, event("x", lane, provenance.Push))
	}
	all := pushes("a", 3)
	b.accept(all...)
	skipped := func(delivery.Stats) bool { return laneWith(t, b.queue, 2) >= 0 }
	b.run(t.Context(), skipped)
	if s, _ := b.queue.Stats(t.Context()); s.Dead != 3 {
		t.Fatalf("stats %+v", s)
	}
	more := pushes("a", 5)[3:]
	b.accept(more...)
	b.run(t.Context(), empty)
	if got := b.ledger.Recordings(t); got[more[0].Event.ID] != 1 || got[all[0].Event.ID] != 0 {
		t.Fatal("the lane does not go on after its number was skipped")
	}
}

// laneWith returns the lane whose next number is seq, or -1.
func laneWith(t *testing.T, q *queue.Queue, seq uint64) int {
	t.Helper()
	for lane := range q.Lanes() {
		next, err := q.NextSeq(t.Context(), lane)
		if err != nil {
			t.Fatal(err)
		}
		if next == seq {
			return lane
		}
	}
	return -1
}

func segmentOf(t *testing.T, d delivery.Delivery) []byte {
	t.Helper()
	b, err := provenance.EncodeSegment([]provenance.Event{d.Event})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSegmentsAreBounded(t *testing.T) {
	b := newBench(t)
	var all []delivery.Delivery
	for n := range 17 {
		all = append(all, event("a", n, provenance.Pull))
	}
	for n := range 8 {
		all = append(all, event("a", 100+n, provenance.Push))
	}
	b.accept(all...)
	b.run(t.Context(), empty)
	b.wantOnce(all)
	var sizes []int
	for _, events := range b.ledger.Endorsed {
		sizes = append(sizes, len(events))
	}
	if diff := cmp.Diff([]int{5, 5, 5, 5, 5}, sizes); diff != "" {
		t.Fatal(diff)
	}
}

func TestReadBack(t *testing.T) {
	b := newBench(t)
	facts := registry.Facts{MediaType: "application/vnd.oci.image.manifest.v1+json", Size: 42, Config: provenance.SHA256Of([]byte("config"))}
	var tries atomic.Int64
	b.readers = func(host provenance.Host) (manifestReader, bool) {
		return fakeRegistry(func(repo provenance.Repository, d provenance.Digest) (registry.Facts, error) {
			switch {
			case repo == "gone":
				return registry.Facts{}, provenance.Errorf(provenance.NotFound, "manifest is gone")
			case repo == "slow" && tries.Add(1) < 4:
				return registry.Facts{}, provenance.Errorf(provenance.Unavailable, "503")
			}
			return facts, nil
		}), host == submitHost
	}
	b.reopen()
	strange := event("elsewhere", 0, provenance.Push)
	strange.Host = "unknown.example.com"
	slow := []delivery.Delivery{event("slow", 0, provenance.Push), event("slow", 1, provenance.Pull), event("slow", 2, provenance.Push)}
	deleted := event("gone", 1, provenance.Delete)
	fine := event("fine", 0, provenance.Push)
	b.accept(strange, event("gone", 0, provenance.Push), deleted, fine)
	b.accept(slow...)
	b.run(t.Context(), empty)
	b.wantOnce(append(slow, deleted, fine))

	var order []provenance.Digest
	for _, events := range b.ledger.Endorsed {
		for _, e := range events {
			if e.Action == provenance.Push && (e.Size != 42 || e.Config != facts.Config || e.MediaType != facts.MediaType) {
				t.Errorf("facts of %s were not filled in: %+v", e.Repository, e)
			}
			if e.Repository == "slow" {
				order = append(order, e.Digest)
			}
		}
	}
	for i, d := range slow {
		if order[i] != d.Event.Digest {
			t.Fatal("later events of a repository passed one that waited for its registry")
		}
	}
	dead, err := b.queue.Dead(t.Context(), 0, 10)
	if err != nil || len(dead) != 2 || dead[0].Host != strange.Host || dead[1].Event.Repository != "gone" || dead[1].Attempts != 2 {
		t.Fatalf("dead letters %+v, %v", dead, err)
	}
}
