package prove

import (
	"log/slog"
	"slices"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/ledger/ledgertest"
	"github.com/waybill-dev/waybill/gateway/record/recordtest"
	"github.com/waybill-dev/waybill/gateway/tasks"
	"github.com/waybill-dev/waybill/gateway/tasks/taskstest"
)

func TestProve(t *testing.T) {
	const host, repo = "reg.example", "app"
	r := recordtest.NewRegistry()
	image := r.Put("image", 900)
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
			s, l, counts := &ledgertest.State{}, &ledgertest.Acts{Refuse: func(ledgertest.Act) error { return x.refuse }}, map[string]int{}
			if x.place != nil {
				s.Put(t, state.PlaceKey(x.digest, host, repo), x.place)
			}
			r.Down = x.down
			p := &Prover{
				View: s.View, Ledger: l, Log: slog.New(slog.DiscardHandler), Count: func(o string) { counts[o]++ },
				Registries: func(provenance.Host) (Registry, bool) { return r, true },
			}
			_, err := p.Do(t.Context(), tasks.Proof(host, repo, x.digest))
			if taskstest.Outcome(err) != x.fate || len(l.Acts) != x.acts {
				t.Fatalf("%s (%v), %d transactions, %v", taskstest.Outcome(err), err, len(l.Acts), counts)
			}
			for _, a := range l.Acts {
				if a.Fn != recordManifest || !slices.Equal(a.Args, []string{host, repo, image.String()}) || !x.digest.Matches(a.Manifest) {
					t.Errorf("%s%q", a.Fn, a.Args)
				}
			}
		})
	}
}
