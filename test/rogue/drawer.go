package rogue

import (
	"context"
	"fmt"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/ledger"
)

// Drawer is a client that has acts endorsed and keeps them for later.
type Drawer struct {
	as   *ledger.Client
	kept ledger.Endorsed
	at   time.Time
}

// Keep has an act endorsed, and sends it to nobody. Peers that stand at different
// blocks, because the clock has just ticked, are asked again, as anybody would.
func Keep(ctx context.Context, as *ledger.Client, fn string, args ...string) (*Drawer, error) {
	for attempt := 1; ; attempt++ {
		endorsed, err := as.Endorse(ctx, fn, args, nil)
		switch {
		case err == nil:
			return &Drawer{as: as, kept: endorsed, at: time.Now()}, nil
		case provenance.CodeOf(err) != provenance.Unavailable || attempt == 20:
			return nil, err
		}
		select {
		case <-time.After(250 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Use sends what was kept, and returns what became of it and how long it had been kept.
func (d *Drawer) Use(ctx context.Context) (ledger.Commit, time.Duration, error) {
	kept := time.Since(d.at)
	if err := d.as.SubmitEndorsed(ctx, d.kept); err != nil {
		return ledger.Commit{}, kept, err
	}
	commit, err := d.as.CommitStatus(ctx, d.kept.TxID)
	if err != nil {
		return commit, kept, fmt.Errorf("what became of transaction %s: %w", d.kept.TxID, err)
	}
	return commit, kept, nil
}
