package gateway

import (
	"context"
	"log/slog"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/record"
	"github.com/waybill-dev/waybill/gateway/tasks"
)

// recordManifest is the transaction that proves, from its manifest's bytes, an
// image that was recorded by its digest alone.
const recordManifest = "record:Manifest"

// prover brings the bytes of such an image before the contract. An image is
// recorded so where its segment had to be endorsed anew and the registry did not
// serve it in that moment; it cannot be released until it is proven. Whoever
// looks at one for another reason (the sweep, a witness) notes a task.
type prover struct {
	view       func(ctx context.Context, read func(state.Scanner) error) error
	registries func(host provenance.Host) (record.Registry, bool)
	ledger     tasks.Submitter
	log        *slog.Logger
	count      func(outcome string)
}

// do proves one image. Doing it again finds it proven.
func (p *prover) do(ctx context.Context, t tasks.Task) ([]tasks.Task, error) {
	var unproven, found bool
	err := p.view(ctx, func(r state.Scanner) (err error) {
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
	reader, configured := p.registries(t.Host)
	if !configured || reader == nil {
		return nil, nil // whoever can read the registry proves it
	}
	_, body, err := reader.ManifestBytes(ctx, t.Repository, t.Digest)
	switch provenance.CodeOf(err) {
	case "":
	case provenance.NotFound:
		p.count("gone") // there is nothing to release either; the sweep records that it is gone
		return nil, nil
	case provenance.Invalid:
		return nil, &tasks.FinalError{Cause: err}
	default:
		return nil, err
	}
	_, err = p.ledger.SubmitTransient(ctx, map[string][]byte{"manifest": body}, recordManifest, string(t.Host), string(t.Repository), t.Digest.String())
	if provenance.CodeOf(err) == provenance.Invalid {
		return nil, &tasks.FinalError{Cause: err}
	}
	if err != nil {
		return nil, err
	}
	p.count("proven")
	p.log.InfoContext(ctx, "image proven that was recorded by its digest alone", slog.String("registry", string(t.Host)),
		slog.String("repository", string(t.Repository)), slog.String("digest", t.Digest.String()))
	return nil, nil
}
