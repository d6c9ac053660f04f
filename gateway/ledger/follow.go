package ledger

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync/atomic"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/block"
)

// Blocks calls apply with every block from the given number on, in order, and
// waits for new ones. It reconnects by itself and goes on after the last block
// that apply took. It returns only when ctx ends (with its error), when apply
// fails (with that error), or when the chain is broken: a number left out or a
// block that does not carry the hash of the one before (WB_INTERNAL). Then the
// peer was reset or lies, and nothing it says may be indexed.
//
// The first block's own PreviousHash is not checked here: compare it with what
// you stored.
func (c *Client) Blocks(ctx context.Context, from uint64, apply func(block.Block) error) error {
	stream := func(ctx context.Context, from uint64) (<-chan *common.Block, error) {
		return c.as.Load().network.BlockEvents(ctx, client.WithStartBlock(from))
	}
	height := c.config.After.Height
	if from < height {
		if err := c.before(ctx, from, apply); err != nil {
			return err
		}
		from = height
	}
	counted := func(b block.Block) error {
		b, err := c.counted(b)
		if err != nil {
			return err
		}
		return apply(b)
	}
	f := follower{stream: stream, chaincode: c.config.Chaincode, apply: counted, next: from - height, log: c.log, backoff: c.retry, seen: &c.seen}
	return f.run(ctx)
}

// follower keeps the place in the chain over reconnections.
type follower struct {
	stream    func(ctx context.Context, from uint64) (<-chan *common.Block, error)
	chaincode string
	apply     func(block.Block) error
	next      uint64
	last      []byte // hash of block next-1, nil before the first
	log       *slog.Logger
	backoff   retry
	seen      *atomic.Pointer[common.Block]
}

func (f *follower) run(ctx context.Context) error {
	delay := f.backoff.base
	for {
		before := f.next
		err := f.once(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var lost *lostError
		if !errors.As(err, &lost) {
			return err
		}
		if f.next > before {
			delay = f.backoff.base
		}
		f.log.InfoContext(ctx, "block stream ended, reconnecting", slog.Uint64("block", f.next), slog.Duration("after", delay), slog.Any("error", lost.cause))
		if err := pause(ctx, delay); err != nil {
			return err
		}
		delay = min(2*delay, f.backoff.max)
	}
}

// lostError says that the stream ended, which reconnecting mends.
type lostError struct{ cause error }

func (e *lostError) Error() string { return "block stream ended" }
func (e *lostError) Unwrap() error { return e.cause }

func (f *follower) once(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream on the peer's side
	blocks, err := f.stream(ctx, f.next)
	if err != nil {
		return &lostError{err}
	}
	for raw := range blocks {
		block, err := Decode(raw, f.chaincode)
		if err != nil {
			return err
		}
		if block.Number != f.next {
			return provenance.Errorf(provenance.Internal, "follow blocks: the peer sent block %d, want %d", block.Number, f.next)
		}
		if f.last != nil && !bytes.Equal(block.PreviousHash, f.last) {
			return provenance.Errorf(provenance.Internal,
				"follow blocks: block %d follows %x, but block %d was %x; the peer's chain is not the one seen before", block.Number, block.PreviousHash, f.next-1, f.last)
		}
		if err := f.apply(block); err != nil {
			return err
		}
		f.next, f.last = block.Number+1, block.Hash
		if f.seen != nil { // of the channel itself, and not of the one before it
			f.seen.Store(&common.Block{Header: raw.GetHeader(), Metadata: raw.GetMetadata()})
		}
	}
	return &lostError{nil}
}
