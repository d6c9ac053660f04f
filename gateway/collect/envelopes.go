package collect

import (
	"context"
	"errors"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/registry"
	"github.com/waybill-dev/waybill/gateway/tasks"
)

// Envelope is a signed envelope as the contract is handed it.
type Envelope struct {
	Format evidence.Format
	Bytes  []byte
}

// Envelopes hands the signed envelopes of an artifact, one after the other, to each,
// until it says that it has seen enough. What cannot be read is left out; errors are
// the registry's.
func Envelopes(ctx context.Context, r Registry, repo provenance.Repository, a registry.Artifact, each func(Envelope) (enough bool)) error {
	for _, p := range sortArtifact(a).pieces {
		b, err := p.fetch(ctx, r, repo)
		var lost *tasks.FinalError
		switch {
		case errors.As(err, &lost):
			continue
		case err != nil:
			return err
		}
		if each(Envelope{p.format, b}) {
			return nil
		}
	}
	return nil
}
