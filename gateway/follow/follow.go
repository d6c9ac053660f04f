package follow

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/index"
	"github.com/waybill-dev/waybill/gateway/readmodel"
	"github.com/waybill-dev/waybill/gateway/wait"
)

// staleAfter is how long the index may be behind its peer, or the peer silent,
// before answers are called stale. An idle channel has no blocks, so silence of
// the block stream proves nothing; the peer's height is asked for.
const (
	staleAfter = 10 * time.Second
	heightPoll = 2 * time.Second
	indexRetry = time.Second // when the index's server does not answer
	noteAhead  = 4           // blocks that the index holds and whose tasks are not noted
)

// watcher takes each block that the index holds, from its own height on. One
// that fails with WB_UNAVAILABLE is brought again.
type watcher interface {
	Height() uint64
	Block(ctx context.Context, b block.Block) error
}

// Follower carries blocks into the index and keeps an eye on the distance.
type Follower struct {
	Ledger  Source
	Index   *index.Index
	Watcher watcher
	Log     *slog.Logger

	mu            sync.Mutex
	height        uint64 // of the index
	peer          uint64
	level         time.Time // when the index was last known to be level with the peer
	lastBlock     time.Time
	organisations []block.Organisation
	again         context.CancelCauseFunc // reads the blocks again from where the index stands; nil until it follows
}

// Run follows the blocks until ctx ends: each at once while it is level, many in one
// SQL transaction while it is behind. Rows and height are one SQL
// transaction in Apply: a crash anywhere here resumes at the stored height. The
// tasks have a height of their own, and what to do about a block is noted once
// the index holds it.
//
// An index on a server may be away for a while, and may go back: it was rebuilt,
// or the server fell over to one that lagged. Then the blocks are read again
// from where it stands.
func (f *Follower) Run(ctx context.Context) error {
	for {
		err := f.follow(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, index.ErrMoved):
			f.Log.InfoContext(ctx, "index stands elsewhere, reading its blocks again", slog.Any("error", err))
		case provenance.CodeOf(err) == provenance.Unavailable:
			f.Log.WarnContext(ctx, "index or queue cannot be reached, trying again", slog.Any("error", err))
		default:
			return err
		}
		if err := wait.For(ctx, indexRetry); err != nil {
			return err
		}
	}
}

func (f *Follower) follow(ctx context.Context) error {
	held, err := f.Index.Height(ctx)
	if err != nil {
		return err
	}
	if err := f.refresh(ctx, held); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	f.mu.Lock()
	f.again = cancel
	f.mu.Unlock()
	// What a block asks of us is noted while the next one is applied: readers of the
	// index do not wait for the queue's disk.
	indexed, noted := make(chan block.Block, noteAhead), make(chan error, 1)
	go func() { noted <- f.note(ctx, indexed, cancel) }()
	err = ahead(ctx, f.Ledger, min(held, f.Watcher.Height()), func(blocks []index.Prepared) (err error) {
		if held, err = f.apply(ctx, blocks, held); err != nil {
			return err
		}
		configured := slices.ContainsFunc(blocks, func(b index.Prepared) bool { return len(b.Organisations) > 0 })
		if configured {
			err = f.refresh(ctx, held)
		} else {
			f.advance(held)
		}
		for _, b := range blocks {
			if err != nil {
				return err
			}
			select {
			case indexed <- b.Block:
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		return err
	})
	close(indexed)
	if failed := <-noted; failed != nil {
		err = failed
	}
	if errors.Is(context.Cause(ctx), index.ErrMoved) {
		return index.ErrMoved
	}
	return err
}

// note notes what blocks ask of us, and ends the following where it cannot: they are
// brought again.
func (f *Follower) note(ctx context.Context, indexed <-chan block.Block, end context.CancelCauseFunc) error {
	for b := range indexed {
		if err := f.Watcher.Block(ctx, b); err != nil {
			end(err)
			for range indexed { // they come again, after this one
			}
			return err
		}
	}
	return nil
}

// apply applies those of the blocks that the index does not hold, unless another
// replica did, and returns the index's height.
func (f *Follower) apply(ctx context.Context, blocks []index.Prepared, held uint64) (uint64, error) {
	for {
		for len(blocks) > 0 && blocks[0].Number < held {
			blocks = blocks[1:]
		}
		if len(blocks) == 0 {
			return held, nil
		}
		err := f.Index.ApplyPrepared(ctx, blocks)
		switch {
		case err == nil:
			return blocks[len(blocks)-1].Number + 1, nil
		case errors.Is(err, index.ErrMoved):
			stands, herr := f.Index.Height(ctx)
			if herr != nil || stands <= blocks[0].Number {
				return stands, errors.Join(herr, err)
			}
			held = stands
		case len(blocks) > 1 && provenance.CodeOf(err) != provenance.Unavailable && ctx.Err() == nil:
			// Those before the bad one are good.
			if held, err = f.apply(ctx, blocks[:1], held); err != nil {
				return held, err
			}
		default:
			return held, err
		}
	}
}

func (f *Follower) refresh(ctx context.Context, height uint64) error {
	organisations, err := f.Index.Organisations(ctx)
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.organisations = organisations
	f.mu.Unlock()
	f.advance(height)
	return nil
}

func (f *Follower) advance(height uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.height, f.lastBlock = height, time.Now()
	if f.height >= f.peer && f.peer > 0 {
		f.level = f.lastBlock
	}
}

// Watch asks the peer for its height. A peer that does not answer is not an
// error here: the answers grow stale, and say so.
func (f *Follower) Watch(ctx context.Context) error {
	tick := time.NewTicker(heightPoll)
	defer tick.Stop()
	for {
		asked := time.Now()
		height, err := f.Ledger.Height(ctx)
		if err == nil {
			err = f.compare(ctx, asked, height)
		}
		if err != nil && ctx.Err() == nil {
			f.Log.DebugContext(ctx, "peer or index does not tell its height", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// compare notes the peer's height, and that the index had it. An index that
// stands lower than it did has gone back, and on a quiet channel no block would
// tell.
func (f *Follower) compare(ctx context.Context, asked time.Time, peer uint64) error {
	f.mu.Lock()
	before := f.height
	f.peer = peer
	f.mu.Unlock()
	stands, err := f.Index.Height(ctx)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case stands < before && f.again != nil:
		f.again(index.ErrMoved)
	case f.height >= peer && stands >= peer:
		f.level = asked
	}
	return nil
}

// Freshness is what the API tells its callers about the distance.
func (f *Follower) Freshness() readmodel.Freshness {
	f.mu.Lock()
	defer f.mu.Unlock()
	level := !f.level.IsZero()
	stale := !level || time.Since(f.level) > staleAfter
	return readmodel.Freshness{Stale: stale, Ready: level && !stale, PeerHeight: f.peer, LastBlock: f.lastBlock}
}

// Members returns the channel's members as of the last block.
func (f *Follower) Members() []block.Organisation {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.organisations
}

// LevelSince tells whether the index was level with the peer after a moment.
func (f *Follower) LevelSince(t time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.level.After(t)
}
