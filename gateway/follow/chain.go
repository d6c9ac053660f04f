package follow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/ledger"
)

const (
	Stall    = time.Minute     // longest wait for a block that the peer says it has
	progress = 5 * time.Second // between two words about how far it is
)

// Source is the ledger as Fsck reads it.
type Source interface {
	Height(ctx context.Context) (uint64, error)
	Blocks(ctx context.Context, from uint64, apply func(block.Block) error) error
}

var _ Source = (*ledger.Client)(nil)

// BrokenError says that the peer's chain does not hang together.
type BrokenError struct {
	Block uint64
	Cause error
}

func (e *BrokenError) Error() string { return fmt.Sprintf("block %d: %v", e.Block, e.Cause) }

func (e *BrokenError) Unwrap() error { return e.Cause }

// callbackError is an error of whoever took a block, and not of the chain.
type callbackError struct{ error }

func (e callbackError) Unwrap() error { return e.error }

var errLevel = errors.New("level with the peer")

// ReadChain hands on the blocks below height, each of which carries the hash of
// the one before; a *brokenError where one does not. Blocks would wait for ever
// for a peer that went away: after stall it is WB_UNAVAILABLE.
func ReadChain(ctx context.Context, peer Source, height uint64, stall time.Duration, log *slog.Logger, take func(block.Block) error) error {
	if height == 0 {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := provenance.Errorf(provenance.Unavailable, "the peer has %d blocks and sent none for %s", height, stall)
	watch := time.AfterFunc(stall, func() { cancel(silent) })
	defer watch.Stop()
	told, next := time.Now(), uint64(0)
	var last []byte
	err := peer.Blocks(ctx, 0, func(b block.Block) error {
		watch.Reset(stall)
		if b.Number != next {
			return &BrokenError{next, fmt.Errorf("the peer sent block %d in its place", b.Number)}
		}
		if !bytes.Equal(b.PreviousHash, last) {
			return &BrokenError{next, fmt.Errorf("it follows block hash %x, and the block before has %x", b.PreviousHash, last)}
		}
		if err := take(b); err != nil {
			return callbackError{err}
		}
		next, last = b.Number+1, b.Hash
		if time.Since(told) > progress {
			told = time.Now()
			log.InfoContext(ctx, "reading the chain", slog.Uint64("blocks", next), slog.Uint64("of", height))
		}
		if next >= height {
			return errLevel
		}
		return nil
	})
	var taker callbackError
	var broken *BrokenError
	switch {
	case errors.Is(err, errLevel):
		log.InfoContext(ctx, "the chain is read", slog.Uint64("blocks", next))
		return nil
	case errors.As(err, &taker):
		return taker.error
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &broken):
		return broken
	case provenance.CodeOf(err) == provenance.Internal: // the stream's own check, or bytes that no peer would have committed
		return &BrokenError{next, err}
	}
	return err
}
