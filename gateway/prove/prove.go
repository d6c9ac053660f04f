package prove

import (
	"context"
	"log/slog"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/registry"
	"github.com/waybill-dev/waybill/gateway/tasks"
)

// recordManifest is the transaction that proves, from its manifest's bytes, an
// image that was recorded by its digest alone.
const recordManifest = "record:Manifest"

// Registry is a registry whose manifests are read.
type Registry interface {
	// ManifestBytes fetches a manifest and checks that it hashes to its digest.
	ManifestBytes(ctx context.Context, repo provenance.Repository, d provenance.Digest) (registry.Facts, []byte, error)
}

// Prover brings the bytes of such an image before the contract. An image is
// recorded so where its segment had to be endorsed anew and the registry did not
// serve it in that moment; it cannot be released until it is proven. Whoever
// looks at one for another reason (the sweep, a witness) notes a task.
type Prover struct {
	View       func(ctx context.Context, read func(state.Scanner) error) error
	Registries func(host provenance.Host) (Registry, bool)
	Ledger     tasks.Submitter
	Log        *slog.Logger
	Count      func(outcome string)
}

// Do proves one image. Doing it again finds it proven.
func (p *Prover) Do(ctx context.Context, t tasks.Task) ([]tasks.Task, error) {
	var unproven, found bool
	err := p.View(ctx, func(r state.Scanner) (err error) {
		unproven, found, err = state.Unproven(r, t.Host, t.Repository, t.Digest)
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case !found:
		return nil, &tasks.WaitingError{For: tasks.ForSubject, Cause: provenance.Errorf(provenance.NotFound, "%s is not recorded in %s/%s yet", t.Digest.Short(), t.Host, t.Repository)}
	case !unproven:
		return nil, nil
	}
	reader, configured := p.Registries(t.Host)
	if !configured || reader == nil {
		return nil, nil // whoever can read the registry proves it
	}
	_, body, err := reader.ManifestBytes(ctx, t.Repository, t.Digest)
	switch provenance.CodeOf(err) {
	case "":
	case provenance.NotFound:
		p.Count("gone") // there is nothing to release either; the sweep records that it is gone
		return nil, nil
	case provenance.Invalid:
		return nil, &tasks.FinalError{Cause: err}
	default:
		return nil, err
	}
	_, err = p.Ledger.SubmitTransient(ctx, map[string][]byte{"manifest": body}, recordManifest, string(t.Host), string(t.Repository), t.Digest.String())
	if provenance.CodeOf(err) == provenance.Invalid {
		return nil, &tasks.FinalError{Cause: err}
	}
	if err != nil {
		return nil, err
	}
	p.Count("proven")
	p.Log.InfoContext(ctx, "image proven that was recorded by its digest alone", slog.String("registry", string(t.Host)),
		slog.String("repository", string(t.Repository)), slog.String("digest", t.Digest.String()))
	return nil, nil
}
