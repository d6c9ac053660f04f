package record_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/gateway/wait"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/ledger/ledgertest"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/gateway/record"
	"github.com/waybill-dev/waybill/gateway/record/recordtest"
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
			b := recordtest.New(t)
			var all []delivery.Delivery
			for r := range 4 {
				all = append(all, recordtest.Pushes(fmt.Sprintf("repo%d", r), 9)...)
			}
			b.Accept(all...)
			for range 4 {
				ctx, kill := context.WithCancel(t.Context())
				var calls atomic.Int64
				arm(b.Ledger, func(int) error {
					if calls.Add(1) < 2 {
						return nil
					}
					kill()
					return gone
				})
				b.Run(ctx, recordtest.Empty)
				b.Reopen()
			}
			arm(b.Ledger, nil)
			b.Run(t.Context(), recordtest.Empty)
			b.WantOnce(all)
		})
	}
}

func TestContractRefusalBuriesTheCulpritOnly(t *testing.T) {
	b := recordtest.New(t)
	all := recordtest.Pushes("a", 20)
	culprit := all[13].Event.ID
	b.Ledger.Refuse = func(e provenance.Event) error {
		if e.ID == culprit {
			return provenance.Errorf(provenance.Invalid, "this event cannot stand")
		}
		return nil
	}
	b.Accept(all...)
	b.Run(t.Context(), recordtest.Empty)
	b.WantOnce(append(append([]delivery.Delivery{}, all[:13]...), all[14:]...))
	dead, err := b.Queue.Dead(t.Context(), 0, 10)
	if err != nil || len(dead) != 1 || dead[0].Event.ID != culprit || !strings.Contains(dead[0].Reason, "cannot stand") {
		t.Fatalf("dead letters %+v, %v", dead, err)
	}
}

// A sealed segment turns out invalid and the contract has changed its mind
// meanwhile: it is dissolved, and split as a new one would be.
func TestResealRefusedIsSplit(t *testing.T) {
	b := recordtest.New(t)
	all := recordtest.Pushes("a", 4)
	b.Accept(all...)
	b.Ledger.Invalid = func(n int) string {
		if n == 1 {
			return "ENDORSEMENT_POLICY_FAILURE"
		}
		return "VALID"
	}
	b.Ledger.Refuse = func(e provenance.Event) error {
		b.Ledger.Mu.Lock()
		defer b.Ledger.Mu.Unlock()
		if len(b.Ledger.Outcomes) > 0 && e.ID == all[2].Event.ID {
			return provenance.Errorf(provenance.Invalid, "not any more")
		}
		return nil
	}
	b.Run(t.Context(), recordtest.Empty)
	b.WantOnce([]delivery.Delivery{all[0], all[1], all[3]})
}

// A missing grant is mended by somebody; no event is set aside for it.
func TestForbiddenWaits(t *testing.T) {
	b := recordtest.New(t)
	all := recordtest.Pushes("a", 7)
	b.Accept(all...)
	b.Ledger.OnEndorse = func(n int) error {
		if n < 4 {
			return provenance.Errorf(provenance.Forbidden, "gateway@VendorMSP has no role gateway")
		}
		return nil
	}
	b.Run(t.Context(), func(delivery.Stats) bool { return b.Recorder.State().Reason != "" })
	if s := b.Recorder.State(); !strings.Contains(s.Reason, "no role gateway") || s.Since.IsZero() {
		t.Fatalf("state %+v", s)
	}
	b.Reopen()
	b.Run(t.Context(), recordtest.Empty)
	b.WantOnce(all)
	if s := b.Recorder.State(); s.Reason != "" {
		t.Fatalf("still waiting after all was recorded: %+v", s)
	}
}

// A registry may have several owners. What the contract does not take of one
// repository holds up no other; what is another organisation's is set aside, and
// what nobody has yet waits until somebody does.
func TestRefusedRepositoryHoldsNobody(t *testing.T) {
	b := recordtest.New(t)
	var given atomic.Bool
	b.Ledger.Refuse = func(e provenance.Event) error {
		switch {
		case strings.HasPrefix(string(e.Repository), "theirs/"):
			return provenance.Errorf(provenance.Forbidden, "%s belongs to PartnerMSP", e.Repository)
		case strings.HasPrefix(string(e.Repository), "nobodys/") && !given.Load():
			return provenance.Errorf(provenance.NotFound, "no organisation has the namespace of %s", e.Repository)
		}
		return nil
	}
	b.Recorder.OwnerElsewhere = func(_ context.Context, host provenance.Host, repo provenance.Repository) string {
		if host == recordtest.Host && strings.HasPrefix(string(repo), "theirs/") {
			return "PartnerMSP"
		}
		return ""
	}
	var all, ours, later []delivery.Delivery
	for i := range 4 { // of whichever lanes
		theirs, nobodys, mine := recordtest.Pushes(fmt.Sprint("theirs/", i), 3), recordtest.Pushes(fmt.Sprint("nobodys/", i), 3), recordtest.Pushes(fmt.Sprint("ours/", i), 3)
		ours, later = append(ours, mine...), append(later, nobodys...)
		for n := range 3 {
			all = append(all, theirs[n], nobodys[n], mine[n])
		}
	}
	b.Accept(all...)
	b.Run(t.Context(), func(s delivery.Stats) bool {
		return s.Dead == 12 && len(b.Ledger.Recordings(t)) == len(ours) && b.Recorder.State().Reason != ""
	})
	b.WantOnce(ours)
	if s := b.Recorder.State(); !strings.Contains(s.Reason, "no organisation has the namespace of nobodys/") {
		t.Errorf("state %+v", s)
	}
	dead, err := b.Queue.Dead(t.Context(), 0, 20)
	if err != nil || len(dead) != 12 || !strings.Contains(dead[0].Reason, "belongs to PartnerMSP, whose gateways record it") {
		t.Errorf("dead letters %+v, %v", dead, err)
	}
	given.Store(true)
	b.Run(t.Context(), recordtest.Empty)
	b.WantOnce(append(ours, later...))
	if s := b.Recorder.State(); s.Reason != "" {
		t.Errorf("mended, it says %+v", s)
	}
}

// More refused repositories than a segment has room for, each of them due again
// before the last has been asked for, keep no other waiting.
func TestManyRefusedRepositoriesHoldNobody(t *testing.T) {
	b := recordtest.New(t)
	b.Ledger.Refuse = func(e provenance.Event) error {
		if strings.HasPrefix(string(e.Repository), "nobodys/") {
			return provenance.Errorf(provenance.NotFound, "no organisation has the namespace of %s", e.Repository)
		}
		return nil
	}
	b.Ledger.OnEndorse = func(int) error { return wait.For(t.Context(), b.Limits.BackoffMax+time.Millisecond) }
	for i := range 30 {
		b.Accept(recordtest.Pushes(fmt.Sprint("nobodys/", i), 1)...)
	}
	ours := append(recordtest.Pushes("ours/a", 3), recordtest.Pushes("ours/b", 3)...)
	b.Accept(ours...)
	b.Run(t.Context(), func(delivery.Stats) bool { return len(b.Ledger.Recordings(t)) == len(ours) })
	b.WantOnce(ours)
}

// How long the ledger was away is no reason to keep a repository waiting that is
// refused right after.
func TestRefusedAfterAnOutageWaitsItsDelay(t *testing.T) {
	b := recordtest.New(t)
	const outage = 1500 * time.Millisecond
	back := time.Now().Add(outage)
	b.Ledger.OnEndorse = func(int) error {
		if time.Now().Before(back) {
			return ledgertest.Unavailable("")
		}
		return nil
	}
	var refused atomic.Bool
	b.Ledger.Refuse = func(provenance.Event) error {
		if refused.CompareAndSwap(false, true) {
			return provenance.Errorf(provenance.NotFound, "no organisation has the namespace yet")
		}
		return nil
	}
	b.Accept(recordtest.Pushes("app", 1)...)
	b.Run(t.Context(), recordtest.Empty)
	if late := time.Since(back); late > 2*outage {
		t.Errorf("recorded %s after the ledger was back, which was away for %s", late, outage)
	}
}

func TestLedgerUnavailableWaitsAndSaysWhy(t *testing.T) {
	b := recordtest.New(t)
	var down atomic.Bool
	down.Store(true)
	fault := func(int) error {
		if down.Load() {
			return ledgertest.Unavailable("")
		}
		return nil
	}
	b.Ledger.OnEndorse, b.Ledger.OnSubmit, b.Ledger.OnStatus = fault, fault, fault
	all := append(recordtest.Pushes("a", 6), recordtest.Pushes("b", 6)...)
	b.Accept(all...)
	var first time.Time
	b.Run(t.Context(), func(delivery.Stats) bool {
		if s := b.Recorder.State(); first.IsZero() {
			first = s.Since
		}
		b.Ledger.Mu.Lock()
		defer b.Ledger.Mu.Unlock()
		return !first.IsZero() && b.Ledger.Endorses > 20 // it has tried again and again since
	})
	if s := b.Recorder.State(); !strings.Contains(s.Reason, "SecurityMSP") || !s.Since.Equal(first) {
		t.Fatalf("state %+v of a wait that began at %s", s, first)
	}
	down.Store(false)
	b.Reopen()
	b.Run(t.Context(), recordtest.Empty)
	b.WantOnce(all)
}

// An old copy of the queue: its numbers are taken. Nothing is recorded twice,
// nothing is lost silently.
func TestOldCopyOfTheQueueIsSetAside(t *testing.T) {
	b := recordtest.New(t)
	for lane := range b.Queue.Lanes() {
		b.Ledger.Segments[fmt.Sprint([]string{string(recordtest.Host), b.Queue.LaneName(lane), "1"})] = segmentOf(t, recordtest.Event("x", lane, provenance.Push))
	}
	all := recordtest.Pushes("a", 3)
	b.Accept(all...)
	skipped := func(delivery.Stats) bool { return laneWith(t, b.Queue, 2) >= 0 }
	b.Run(t.Context(), skipped)
	if s, _ := b.Queue.Stats(t.Context()); s.Dead != 3 {
		t.Fatalf("stats %+v", s)
	}
	more := recordtest.Pushes("a", 5)[3:]
	b.Accept(more...)
	b.Run(t.Context(), recordtest.Empty)
	if got := b.Ledger.Recordings(t); got[more[0].Event.ID] != 1 || got[all[0].Event.ID] != 0 {
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
	b := recordtest.New(t)
	var all []delivery.Delivery
	for n := range 17 {
		all = append(all, recordtest.Event("a", n, provenance.Pull))
	}
	for n := range 8 {
		all = append(all, recordtest.Event("a", 100+n, provenance.Push))
	}
	b.Accept(all...)
	b.Run(t.Context(), recordtest.Empty)
	b.WantOnce(all)
	var sizes []int
	for _, events := range b.Ledger.Endorsed {
		sizes = append(sizes, len(events))
	}
	if diff := cmp.Diff([]int{5, 5, 5, 5, 5}, sizes); diff != "" {
		t.Fatal(diff)
	}
}

func TestReadBack(t *testing.T) {
	b := recordtest.New(t)
	facts := registry.Facts{MediaType: "application/vnd.oci.image.manifest.v1+json", Size: 42, Config: provenance.SHA256Of([]byte("config"))}
	var tries atomic.Int64
	b.Readers = func(host provenance.Host) (record.Registry, bool) {
		return recordtest.FakeRegistry(func(repo provenance.Repository, d provenance.Digest) (registry.Facts, error) {
			switch {
			case repo == "gone":
				return registry.Facts{}, provenance.Errorf(provenance.NotFound, "manifest is gone")
			case repo == "slow" && tries.Add(1) < 4:
				return registry.Facts{}, provenance.Errorf(provenance.Unavailable, "503")
			}
			return facts, nil
		}), host == recordtest.Host
	}
	b.Reopen()
	strange := recordtest.Event("elsewhere", 0, provenance.Push)
	strange.Host = "unknown.example.com"
	slow := []delivery.Delivery{recordtest.Event("slow", 0, provenance.Push), recordtest.Event("slow", 1, provenance.Pull), recordtest.Event("slow", 2, provenance.Push)}
	deleted := recordtest.Event("gone", 1, provenance.Delete)
	fine := recordtest.Event("fine", 0, provenance.Push)
	b.Accept(strange, recordtest.Event("gone", 0, provenance.Push), deleted, fine)
	b.Accept(slow...)
	b.Run(t.Context(), recordtest.Empty)
	b.WantOnce(append(slow, deleted, fine))

	var order []provenance.Digest
	for _, events := range b.Ledger.Endorsed {
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
	dead, err := b.Queue.Dead(t.Context(), 0, 10)
	if err != nil || len(dead) != 2 || dead[0].Host != strange.Host || dead[1].Event.Repository != "gone" || dead[1].Attempts != 2 {
		t.Fatalf("dead letters %+v, %v", dead, err)
	}
}
