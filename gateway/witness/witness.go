package witness

import (
	"context"
	"log/slog"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/registry"
	"github.com/waybill-dev/waybill/gateway/tasks"
)

// recordWitness is the transaction of a gateway that saw an image itself.
const recordWitness = "record:Witness"

// Registry is a registry that is looked at.
type Registry interface {
	// Manifest fetches and hashes a manifest. NotFound and Invalid say that the
	// registry does not serve it.
	Manifest(ctx context.Context, repo provenance.Repository, d provenance.Digest) (registry.Facts, error)
}

// Witness looks for itself at what another organisation recorded: it fetches
// the manifest from that organisation's registry, hashes it, and says so on
// the ledger. A registry that does not serve what its owner recorded is a
// disagreement: it is counted, logged as an error and set aside for an operator.
type Witness struct {
	MSP        string
	View       func(ctx context.Context, read func(state.Scanner) error) error
	Registries func(host provenance.Host) (Registry, bool)
	Ledger     tasks.Submitter
	Log        *slog.Logger
	Count      func(outcome string)
	Attempts   int // before a registry's answer is a disagreement
}

// Do looks at one image. Doing it again finds the word on the ledger.
func (w *Witness) Do(ctx context.Context, t tasks.Task) ([]tasks.Task, error) {
	needed, unproven := false, false
	err := w.View(ctx, func(r state.Scanner) error {
		var place state.Place
		found, err := state.Read(r, state.PlaceKey(t.Digest, t.Host, t.Repository), &place)
		if err != nil || !found || place.Deleted || place.MSP == w.MSP {
			return err // deleted since: there is nothing to see
		}
		if unproven, _, err = state.Unproven(r, t.Host, t.Repository, t.Digest); err != nil {
			return err
		}
		var seen state.Witness
		found, err = state.Read(r, state.WitnessKey(t.Digest, t.Host, t.Repository, w.MSP), &seen)
		needed = !found
		return err
	})
	if err != nil || !needed {
		return nil, err
	}
	reader, configured := w.Registries(t.Host)
	if !configured || reader == nil {
		return nil, &tasks.FinalError{Cause: provenance.Errorf(provenance.Unavailable, "registry %s is not configured in this gateway: nothing can be seen there", t.Host)}
	}
	_, err = reader.Manifest(ctx, t.Repository, t.Digest)
	switch code := provenance.CodeOf(err); {
	case err == nil:
	case code != provenance.NotFound && code != provenance.Invalid:
		return nil, err
	case t.Attempts+1 < w.Attempts:
		return nil, err
	default:
		w.Count("disagreement")
		w.Log.ErrorContext(ctx, "a registry does not serve what its owner recorded", slog.String("registry", string(t.Host)),
			slog.String("repository", string(t.Repository)), slog.String("digest", t.Digest.String()), slog.Any("error", err))
		return nil, &tasks.FinalError{Cause: provenance.Wrap(provenance.CodeOf(err), err, "disagreement")}
	}
	if _, err := w.Ledger.SubmitTransient(ctx, nil, recordWitness, string(t.Host), string(t.Repository), t.Digest.String()); err != nil {
		return nil, err
	}
	w.Count("seen")
	if unproven {
		return []tasks.Task{tasks.Proof(t.Host, t.Repository, t.Digest)}, nil
	}
	return nil, nil
}
