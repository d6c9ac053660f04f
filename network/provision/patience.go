package provision

import (
	"context"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// How long founding waits for peers to agree, and how often it looks.
const (
	patience = 30 * time.Second
	again    = 250 * time.Millisecond
)

// insist submits until the peers agree. In a network that is seconds old an
// endorsing peer may be a block behind: its answer then differs from the
// others', or it has not heard that we were invited, or joined. Nothing was written in either
// case, and every act here may be done twice. The last error is returned when
// patience or ctx ends.
func insist(ctx context.Context, door Acts, fn string, args ...string) error {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(again)
	defer tick.Stop()
	for {
		_, err := door.Submit(ctx, fn, args...)
		if !passing(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-deadline.C:
			return err
		case <-tick.C:
		}
	}
}

// passing tells whether err is of the kind that waiting cures.
func passing(err error) bool {
	switch provenance.CodeOf(err) {
	case provenance.Unavailable, provenance.Conflict:
		return true
	case provenance.Forbidden:
		return provenance.PhaseOf(err) == provenance.Membership
	default:
		return false
	}
}
