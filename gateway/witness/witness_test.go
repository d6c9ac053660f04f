package witness

import (
	"context"
	"log/slog"
	"slices"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/ledger/ledgertest"
	"github.com/waybill-dev/waybill/gateway/record/recordtest"
	"github.com/waybill-dev/waybill/gateway/registry"
	"github.com/waybill-dev/waybill/gateway/tasks"
	"github.com/waybill-dev/waybill/gateway/tasks/taskstest"
)

type fakeManifests func() error

func (f fakeManifests) Manifest(context.Context, provenance.Repository, provenance.Digest) (registry.Facts, error) {
	return registry.Facts{}, f()
}

func (f fakeManifests) ManifestBytes(ctx context.Context, repo provenance.Repository, d provenance.Digest) (registry.Facts, []byte, error) {
	facts, err := f.Manifest(ctx, repo, d)
	return facts, nil, err
}

func (f fakeManifests) Resolve(context.Context, provenance.Repository, provenance.Tag) (provenance.Digest, error) {
	return provenance.Digest{}, f()
}

func TestWitness(t *testing.T) {
	image := provenance.SHA256Of([]byte("image"))
	serves := func() error { return nil }
	for name, x := range map[string]struct {
		serve     func() error
		attempts  int
		prepare   func(t *testing.T, s *ledgertest.State)
		acts      int
		fate      string
		disagrees int
	}{
		"seen": {serve: serves, acts: 1},
		"seen before": {serve: serves, prepare: func(t *testing.T, s *ledgertest.State) {
			s.Put(t, state.WitnessKey(image, "partner.example", "app", "VendorMSP"), state.Witness{MSP: "VendorMSP"})
		}},
		"another organisation saw it": {serve: serves, acts: 1, prepare: func(t *testing.T, s *ledgertest.State) {
			s.Put(t, state.WitnessKey(image, "partner.example", "app", "SecurityMSP"), state.Witness{MSP: "SecurityMSP"})
		}},
		"deleted since": {serve: func() error { return provenance.Errorf(provenance.NotFound, "gone") }, attempts: 9, prepare: func(t *testing.T, s *ledgertest.State) {
			s.Put(t, state.PlaceKey(image, "partner.example", "app"), state.Place{MSP: "OtherMSP", Deleted: true})
		}},
		"recorded by ourselves": {serve: serves, prepare: func(t *testing.T, s *ledgertest.State) {
			s.Put(t, state.PlaceKey(image, "partner.example", "app"), state.Place{MSP: "VendorMSP"})
		}},
		"not served, at first":    {serve: func() error { return provenance.Errorf(provenance.NotFound, "gone") }, fate: "WB_NOT_FOUND"},
		"not served":              {serve: func() error { return provenance.Errorf(provenance.NotFound, "gone") }, attempts: 2, fate: "lost", disagrees: 1},
		"other bytes":             {serve: func() error { return provenance.Errorf(provenance.Invalid, "other bytes") }, attempts: 2, fate: "lost", disagrees: 1},
		"down is no disagreement": {serve: func() error { return ledgertest.Unavailable("") }, attempts: 9, fate: "WB_UNAVAILABLE"},
	} {
		t.Run(name, func(t *testing.T) {
			s, l, counts := &ledgertest.State{}, &ledgertest.Acts{}, map[string]int{}
			s.Put(t, state.PlaceKey(image, "partner.example", "app"), state.Place{MSP: "OtherMSP"})
			if x.prepare != nil {
				x.prepare(t, s)
			}
			w := &Witness{
				MSP: "VendorMSP", View: s.View, Ledger: l, Log: slog.New(slog.DiscardHandler), Attempts: 3, Count: func(o string) { counts[o]++ },
				Registries: func(provenance.Host) (Registry, bool) { return fakeManifests(x.serve), true },
			}
			_, err := w.Do(t.Context(), tasks.Task{Kind: tasks.Witness, Host: "partner.example", Repository: "app", Digest: image, Attempts: x.attempts})
			if taskstest.Outcome(err) != x.fate || len(l.Acts) != x.acts || counts["disagreement"] != x.disagrees || counts["seen"] != x.acts {
				t.Fatalf("%s (%v), %d transactions, %v", taskstest.Outcome(err), err, len(l.Acts), counts)
			}
			for _, a := range l.Acts {
				if a.Fn != recordWitness || !slices.Equal(a.Args, []string{"partner.example", "app", image.String()}) {
					t.Errorf("%s%q", a.Fn, a.Args)
				}
			}
		})
	}
}

// So has a witness.
func TestWitnessHasImagesProven(t *testing.T) {
	s, l, r := &ledgertest.State{}, &ledgertest.Acts{}, recordtest.NewRegistry()
	image := r.Put("image", 100)
	s.Put(t, state.PlaceKey(image, "partner.example", "app"), state.Place{MSP: "OtherMSP"})
	w := &Witness{
		MSP: "VendorMSP", View: s.View, Ledger: l, Log: slog.New(slog.DiscardHandler), Attempts: 3, Count: func(string) {},
		Registries: func(provenance.Host) (Registry, bool) { return r, true },
	}
	more, err := w.Do(t.Context(), tasks.Task{Kind: tasks.Witness, Host: "partner.example", Repository: "app", Digest: image})
	if err != nil || len(l.Acts) != 1 || len(more) != 1 || more[0] != tasks.Proof("partner.example", "app", image) {
		t.Errorf("%+v, %v", more, err)
	}
}
