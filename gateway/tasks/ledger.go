package tasks

import (
	"context"

	"github.com/waybill-dev/waybill/gateway/ledger"
)

// Submitter brings transactions of this gateway onto the ledger. Losing a race
// with another transaction is no failure there: it is run again. Every one of
// ours is success without a write when it is there already, so that one whose
// fate is unknown is simply sent again later.
type Submitter interface {
	SubmitTransient(ctx context.Context, transient map[string][]byte, fn string, args ...string) (ledger.Result, error)
}
