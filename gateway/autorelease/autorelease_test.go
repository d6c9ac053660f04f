package autorelease

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/gateway/ledger/ledgertest"
	"github.com/waybill-dev/waybill/gateway/readmodel"
	"github.com/waybill-dev/waybill/gateway/wait/waittest"
)

// promotions adds the index's list to the fake state.
type promotions struct{ *ledgertest.State }

func (p promotions) Promotions(f readmodel.PromotionFilter, _ readmodel.Page) ([]state.Promotion, string, error) {
	entries, err := p.Scan(1000, state.TypePromotion)
	var out []state.Promotion
	for _, e := range entries {
		var promotion state.Promotion
		if err := state.Decode(e.Value, &promotion); err != nil {
			return nil, "", err
		}
		if promotion.Status == f.Status {
			out = append(out, promotion)
		}
	}
	return out, "", err
}

const autoPolicy = `{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":"app"},"spec":{"match":["reg.example/**"],"stages":[
	{"name":"staging","approvals":{"min":1,"orgs":["SecurityMSP"]}},
	{"name":"production","from":"staging","soak":"24h","approvals":{"min":1}}]}}`

// releasing is a releaser over fakes: one image, promoted to both stages.
type releasing struct {
	*Releaser
	state  *ledgertest.State
	ledger *ledgertest.Acts
	counts map[string]int
	time   time.Time
	image  provenance.Digest
	rules  policy.Version
}

func (r *releasing) subject(stage string) state.Subject {
	return state.Subject{Stage: stage, Host: "reg.example", Repository: "app", Digest: r.image}
}

func newReleasing(t *testing.T, msp string) *releasing {
	t.Helper()
	r := &releasing{state: &ledgertest.State{}, ledger: &ledgertest.Acts{}, counts: map[string]int{}, time: time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC), image: provenance.SHA256Of([]byte("image"))}
	r.Releaser = &Releaser{
		MSP: msp, Ledger: r.ledger, Log: slog.New(slog.DiscardHandler), Count: func(o string) { r.counts[o]++ }, Now: func() time.Time { return r.time },
		View:  func(_ context.Context, read func(Index) error) error { return read(promotions{r.state}) },
		Woken: make(chan struct{}, 1), attempts: map[string]attempt{}, limits: releaseLimits{every: time.Minute, again: 2 * time.Second, most: time.Minute},
	}
	p, err := policy.Parse([]byte(autoPolicy))
	if err != nil {
		t.Fatal(err)
	}
	r.state.Put(t, state.MembersKey(), state.Members{MSPs: []string{"PlatformMSP", "SecurityMSP", "VendorMSP"}})
	r.state.Put(t, state.PoliciesKey(), state.Catalogue{Policies: []state.CatalogueEntry{{Name: "app", Version: 1, Match: p.Spec.Match}}})
	r.state.Put(t, state.PolicyKey("app", 1), state.PolicyVersion{Name: "app", Version: 1, Text: p.Canonical()})
	r.rules = policy.Version{Name: "app", Version: 1, Hash: p.Hash()}
	r.state.Put(t, state.ClockKey(), state.Clock{At: r.time, Seq: 1})
	r.state.Put(t, state.PlaceKey(r.image, "reg.example", "app"), state.Place{MSP: "VendorMSP", At: r.time.Add(-48 * time.Hour), Proven: true})
	return r
}

func (r *releasing) promote(t *testing.T, stage string, approver ...string) {
	t.Helper()
	s := r.subject(stage)
	r.state.Put(t, s.PromotionKey(), state.Promotion{Subject: s, Attempt: 1, Status: state.PromotionOpen, Requester: policy.Person{MSP: "VendorMSP", Name: "ann"}, At: r.time.Add(-time.Hour)})
	for _, msp := range approver {
		r.state.Put(t, s.ApprovalKey(1, msp), state.Approval{Subject: s, Attempt: 1, Approval: policy.Approval{
			By: policy.Person{MSP: msp, Name: "bob"}, At: r.time.Add(-time.Hour), Roles: []string{"release-manager"}, Policy: r.rules,
		}})
	}
}

func (r *releasing) released(t *testing.T, stage string, at time.Time) {
	t.Helper()
	s := r.subject(stage)
	r.state.Put(t, s.ReleasedKey(), state.Release{Subject: s, Attempt: 1, Policy: r.rules, Act: state.Act{At: at}})
	r.state.Put(t, s.ReleaseKey(), state.Current{Digest: r.image})
	r.state.Put(t, s.PromotionKey(), state.Promotion{Subject: s, Attempt: 1, Status: state.PromotionReleased})
}

func TestAutoRelease(t *testing.T) {
	for name, x := range map[string]struct {
		msp     string
		prepare func(t *testing.T, r *releasing)
		want    string // the stage released to
	}{
		"last approval":                 {"SecurityMSP", func(t *testing.T, r *releasing) { r.promote(t, "staging", "SecurityMSP") }, "staging"},
		"the stage names somebody else": {"PlatformMSP", func(t *testing.T, r *releasing) { r.promote(t, "staging", "SecurityMSP") }, ""},
		"no approval yet":               {"SecurityMSP", func(t *testing.T, r *releasing) { r.promote(t, "staging") }, ""},
		"nothing promoted":              {"SecurityMSP", func(*testing.T, *releasing) {}, ""},
		"soak is over": {"PlatformMSP", func(t *testing.T, r *releasing) {
			r.released(t, "staging", r.time.Add(-25*time.Hour))
			r.promote(t, "production", "PlatformMSP")
		}, "production"},
		"soak is over, and the ledger's clock stands still": {"PlatformMSP", func(t *testing.T, r *releasing) {
			r.released(t, "staging", r.time.Add(-25*time.Hour))
			r.promote(t, "production", "PlatformMSP")
			r.state.Put(t, state.ClockKey(), state.Clock{At: r.time.Add(-policy.ClockGrace - time.Minute), Seq: 1})
		}, ""},
		"soak goes on": {"PlatformMSP", func(t *testing.T, r *releasing) {
			r.released(t, "staging", r.time.Add(-23*time.Hour))
			r.promote(t, "production", "PlatformMSP")
		}, ""},
		"quarantined": {"SecurityMSP", func(t *testing.T, r *releasing) {
			r.promote(t, "staging", "SecurityMSP")
			r.state.Put(t, state.HoldKey(r.image, "PlatformMSP"), state.Hold{Digest: r.image, MSP: "PlatformMSP", Reason: "no", Act: state.Act{At: r.time}})
		}, ""},
		"rolled back": {"SecurityMSP", func(t *testing.T, r *releasing) {
			r.promote(t, "staging", "SecurityMSP")
			r.state.Put(t, r.subject("staging").ReleaseKey(), state.Current{Digest: provenance.SHA256Of([]byte("before")), Pinned: true})
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReleasing(t, x.msp)
			x.prepare(t, r)
			if _, err := r.look(t.Context()); err != nil {
				t.Fatal(err)
			}
			if x.want == "" {
				if len(r.ledger.Acts) != 0 {
					t.Fatalf("asked for %v", r.ledger.Acts)
				}
				return
			}
			want := []string{"reg.example", "app", r.image.String(), x.want}
			if len(r.ledger.Acts) != 1 || r.ledger.Acts[0].Fn != releaseAuto || !slices.Equal(r.ledger.Acts[0].Args, want) {
				t.Fatalf("asked for %v, want %v", r.ledger.Acts, want)
			}
		})
	}
}

// A refusal is not asked about again and again, and another gateway that was
// first is no failure.
func TestAutoReleaseBacksOff(t *testing.T) {
	r := newReleasing(t, "SecurityMSP")
	r.promote(t, "staging", "SecurityMSP")
	asked := 0
	r.ledger.Refuse = func(ledgertest.Act) error {
		asked++
		return provenance.Errorf(provenance.Conflict, "no promotion is open")
	}
	for range 30 {
		if _, err := r.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.time = r.time.Add(time.Second)
	}
	if asked != 4 || r.counts["overtaken"] != 4 || r.counts["failed"] != 0 { // after 0, 2, 6 and 14 s
		t.Errorf("asked %d times in 30 s, %v", asked, r.counts)
	}
	// The next attempt of the promotion is another one.
	s := r.subject("staging")
	r.state.Put(t, s.PromotionKey(), state.Promotion{Subject: s, Attempt: 2, Status: state.PromotionOpen, Requester: policy.Person{MSP: "VendorMSP", Name: "ann"}, At: r.time})
	r.state.Put(t, s.ApprovalKey(2, "SecurityMSP"), state.Approval{Subject: s, Attempt: 2, Approval: policy.Approval{
		By: policy.Person{MSP: "SecurityMSP", Name: "bob"}, At: r.time, Roles: []string{"release-manager"}, Policy: r.rules,
	}})
	r.ledger.Refuse = nil
	if _, err := r.look(t.Context()); err != nil || len(r.ledger.Acts) != 1 || len(r.attempts) != 1 {
		t.Errorf("%v, %v, tried %v", err, r.ledger.Acts, r.attempts)
	}
}

// A block wakes the loop; a time that has come does too.
func TestAutoReleaseLoop(t *testing.T) {
	r := newReleasing(t, "SecurityMSP")
	r.limits = releaseLimits{every: time.Hour, pause: time.Millisecond, again: time.Hour, most: time.Hour}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("run: %v", err)
		}
	})
	asked := func() int {
		r.ledger.Mu.Lock()
		defer r.ledger.Mu.Unlock()
		return len(r.ledger.Acts)
	}
	r.promote(t, "staging", "SecurityMSP")
	r.Wake()
	waittest.Until(t, func() bool { return asked() == 1 })
	cancel()
	wg.Wait()
}

// TestConcerns: a signer whom a shared root names is of no organisation, so that a stage
// with such a rule alone names nobody, and anybody's gateway releases.
func TestConcerns(t *testing.T) {
	keyless := policy.SignerRule{Identity: "https://ci.example/app", Issuer: "https://ci.example"}
	for name, x := range map[string]struct {
		signers []policy.SignerRule
		want    bool
	}{
		"keyless alone":       {[]policy.SignerRule{keyless}, true},
		"beside another's":    {[]policy.SignerRule{keyless, {Org: "SecurityMSP"}}, false},
		"beside one's own":    {[]policy.SignerRule{{Org: "VendorMSP"}, keyless}, true},
		"of nobody":           {nil, true},
		"of somebody else":    {[]policy.SignerRule{{Org: "SecurityMSP"}}, false},
		"below its own roots": {[]policy.SignerRule{{Org: "VendorMSP", Identity: keyless.Identity, Issuer: keyless.Issuer}}, true},
	} {
		if got := concerns(policy.Stage{Evidence: []policy.EvidenceRule{{Signers: x.signers}}}, "VendorMSP"); got != x.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// slow is a ledger whose blocks take a second.
type slow struct{ *ledgertest.Acts }

func (s slow) SubmitTransient(ctx context.Context, transient map[string][]byte, fn string, args ...string) (ledger.Result, error) {
	time.Sleep(time.Second)
	return s.Acts.SubmitTransient(ctx, transient, fn, args...)
}

// What comes to be due in one moment is asked for together.
func TestReleasesOfOneMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReleasing(t, "SecurityMSP")
		r.Ledger, r.Count = slow{r.ledger}, func(string) {}
		for i := range releasesOut {
			r.image = provenance.SHA256Of([]byte{byte(i)})
			r.state.Put(t, state.PlaceKey(r.image, "reg.example", "app"), state.Place{MSP: "VendorMSP", At: r.time.Add(-48 * time.Hour), Proven: true})
			r.promote(t, "staging", "SecurityMSP")
		}
		start := time.Now()
		if _, err := r.look(t.Context()); err != nil || len(r.ledger.Acts) != releasesOut || time.Since(start) > time.Second {
			t.Errorf("%d releases in %s, %v", len(r.ledger.Acts), time.Since(start), err)
		}
	})
}
