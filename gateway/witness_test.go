package gateway

import (
	"context"
	"log/slog"
	"slices"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/registry"
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
		prepare   func(t *testing.T, s *fakeState)
		acts      int
		fate      string
		disagrees int
	}{
		"seen": {serve: serves, acts: 1},
		"seen before": {serve: serves, prepare: func(t *testing.T, s *fakeState) {
			s.put(t, state.WitnessKey(image, "partner.example", "app", "VendorMSP"), state.Witness{MSP: "VendorMSP"})
		}},
		"another organisation saw it": {serve: serves, acts: 1, prepare: func(t *testing.T, s *fakeState) {
			s.put(t, state.WitnessKey(image, "partner.example", "app", "SecurityMSP"), state.Witness{MSP: "SecurityMSP"})
		}},
		"deleted since": {serve: func() error { return provenance.Errorf(provenance.NotFound, "gone") }, attempts: 9, prepare: func(t *testing.T, s *fakeState) {
			s.put(t, state.PlaceKey(image, "partner.example", "app"), state.Place{MSP: "OtherMSP", Deleted: true})
		}},
		"recorded by ourselves": {serve: serves, prepare: func(t *testing.T, s *fakeState) {
			s.put(t, state.PlaceKey(image, "partner.example", "app"), state.Place{MSP: "VendorMSP"})
		}},
		"not served, at first":    {serve: func() error { return provenance.Errorf(provenance.NotFound, "gone") }, fate: "WB_NOT_FOUND"},
		"not served":              {serve: func() error { return provenance.Errorf(provenance.NotFound, "gone") }, attempts: 2, fate: "lost", disagrees: 1},
		"other bytes":             {serve: func() error { return provenance.Errorf(provenance.Invalid, "other bytes") }, attempts: 2, fate: "lost", disagrees: 1},
		"down is no disagreement": {serve: func() error { return unavailable("") }, attempts: 9, fate: "WB_UNAVAILABLE"},
	} {
		t.Run(name, func(t *testing.T) {
			s, l, counts := &fakeState{}, &fakeActs{}, map[string]int{}
			s.put(t, state.PlaceKey(image, "partner.example", "app"), state.Place{MSP: "OtherMSP"})
			if x.prepare != nil {
				x.prepare(t, s)
			}
			w := &witnesser{
				msp: "VendorMSP", view: s.view, ledger: l, log: slog.New(slog.DiscardHandler), attempts: 3, count: func(o string) { counts[o]++ },
				registries: func(provenance.Host) (manifestReader, bool) { return fakeManifests(x.serve), true },
			}
			_, err := w.do(t.Context(), task{Kind: taskWitness, Host: "partner.example", Repository: "app", Digest: image, Attempts: x.attempts})
			if fate(err) != x.fate || len(l.acts) != x.acts || counts["disagreement"] != x.disagrees || counts["seen"] != x.acts {
				t.Fatalf("%s (%v), %d transactions, %v", fate(err), err, len(l.acts), counts)
			}
			for _, a := range l.acts {
				if a.fn != recordWitness || !slices.Equal(a.args, []string{"partner.example", "app", image.String()}) {
					t.Errorf("%s%q", a.fn, a.args)
				}
			}
		})
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
