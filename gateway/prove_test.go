package gateway

import (
	"log/slog"
	"slices"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

func TestProve(t *testing.T) {
	const host, repo = "reg.example", "app"
	r := newShelf()
	image := r.put("image", 900)
	gone := provenance.SHA256Of([]byte("gone"))
	for name, x := range map[string]struct {
		digest provenance.Digest
		place  *state.Place
		down   bool
		refuse error
		fate   string
		acts   int
	}{
		"recorded by its digest alone": {digest: image, place: &state.Place{}, acts: 1},
		"proven":                       {digest: image, place: &state.Place{Proven: true}},
		"deleted":                      {digest: image, place: &state.Place{Deleted: true}},
		"not recorded yet":             {digest: image, fate: "waits for subject"},
		"gone from the registry":       {digest: gone, place: &state.Place{}},
		"the registry is down":         {digest: image, place: &state.Place{}, down: true, fate: "WB_UNAVAILABLE"},
		"the contract refuses":         {digest: image, place: &state.Place{}, refuse: provenance.Errorf(provenance.Invalid, "no manifest"), fate: "lost"},
	} {
		t.Run(name, func(t *testing.T) {
			s, l, counts := &fakeState{}, &fakeActs{refuse: func(act) error { return x.refuse }}, map[string]int{}
			if x.place != nil {
				s.put(t, state.PlaceKey(x.digest, host, repo), x.place)
			}
			r.down = x.down
			p := &prover{
				view: s.view, ledger: l, log: slog.New(slog.DiscardHandler), count: func(o string) { counts[o]++ },
				registries: func(provenance.Host) (manifestReader, bool) { return r, true },
			}
			_, err := p.do(t.Context(), proofOf(host, repo, x.digest))
			if fate(err) != x.fate || len(l.acts) != x.acts {
				t.Fatalf("%s (%v), %d transactions, %v", fate(err), err, len(l.acts), counts)
			}
			for _, a := range l.acts {
				if a.fn != recordManifest || !slices.Equal(a.args, []string{host, repo, image.String()}) || !x.digest.Matches(a.manifest) {
					t.Errorf("%s%q", a.fn, a.args)
				}
			}
		})
	}
}

// A sweep that finds an image as it should be, and unproven, has it proven.
func TestSweepHasImagesProven(t *testing.T) {
	b := newSweepBench(t)
	image := b.known("app", "v1", "one")
	proven := b.known("app", "v2", "two")
	b.state.put(t, state.PlaceKey(proven, b.host, "app"), state.Place{Proven: true})
	var asked []string
	s := b.sweeper(func(s *sweeper) {
		s.prove = func(host provenance.Host, repo provenance.Repository, d provenance.Digest) {
			asked = append(asked, string(host)+"/"+string(repo)+"@"+d.String())
		}
	})
	if got := found(b.swept(s, false)); len(got) != 0 {
		t.Fatal(got)
	}
	if len(asked) != 1 || asked[0] != string(b.host)+"/app@"+image.String() {
		t.Errorf("asked for %+v", asked)
	}
}

// So has a witness.
func TestWitnessHasImagesProven(t *testing.T) {
	s, l, r := &fakeState{}, &fakeActs{}, newShelf()
	image := r.put("image", 100)
	s.put(t, state.PlaceKey(image, "partner.example", "app"), state.Place{MSP: "OtherMSP"})
	w := &witnesser{
		msp: "VendorMSP", view: s.view, ledger: l, log: slog.New(slog.DiscardHandler), attempts: 3, count: func(string) {},
		registries: func(provenance.Host) (manifestReader, bool) { return r, true },
	}
	more, err := w.do(t.Context(), task{Kind: taskWitness, Host: "partner.example", Repository: "app", Digest: image})
	if err != nil || len(l.acts) != 1 || len(more) != 1 || more[0] != proofOf("partner.example", "app", image) {
		t.Errorf("%+v, %v", more, err)
	}
}
