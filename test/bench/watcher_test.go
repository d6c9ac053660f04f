package bench

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/test/lab"
)

// watcher sees events become final on the owner's peer.
type watcher struct {
	mu        sync.Mutex
	final     map[provenance.Tag]chan time.Time
	count     atomic.Int64
	first     atomic.Int64 // Unix nanoseconds of the first block with events since it was zeroed
	last      atomic.Int64
	lastBlock atomic.Uint64 // the number of the last block with events
	bytes     atomic.Int64  // of the segments seen
	// inFirst is how many events that block held: they were final when the time began.
	inFirst atomic.Int64
}

func follow(ctx context.Context, l *lab.Lab) (*watcher, error) {
	c, err := l.Dial(lab.Owner, "auditor")
	if err != nil {
		return nil, err
	}
	height, err := c.Height(ctx)
	if err != nil {
		return nil, err
	}
	w := &watcher{final: map[provenance.Tag]chan time.Time{}}
	go func() { // ends with ctx
		defer func() { _ = c.Close() }()
		err := c.Blocks(ctx, height, w.block)
		if ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, "watcher:", err)
		}
	}()
	return w, nil
}

func (w *watcher) block(b block.Block) error {
	now := time.Now()
	var events, bytes int64
	for _, tx := range b.Txs {
		for _, write := range tx.Writes {
			if kind, _, ok := state.SplitKey(write.Key); !ok || kind != state.TypeJournal {
				continue
			}
			n, err := provenance.SegmentEvents(write.Value)
			if err != nil {
				return err
			}
			if err := w.waitedFor(write.Value, now); err != nil {
				return err
			}
			events += int64(n)
			bytes += int64(len(write.Value))
		}
	}
	if events == 0 {
		return nil
	}
	if w.first.CompareAndSwap(0, now.UnixNano()) {
		w.inFirst.Store(events)
	}
	w.last.Store(now.UnixNano())
	w.lastBlock.Store(b.Number)
	w.bytes.Add(bytes)
	w.count.Add(events) // who waits for it reads the others then
	return nil
}

// waitedFor reads a segment only while somebody waits for a tag: reading every
// event of every phase would take processor time from what is measured.
func (w *watcher) waitedFor(segment []byte, now time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.final) == 0 {
		return nil
	}
	events, err := provenance.DecodeSegment(segment)
	for _, e := range events {
		if c := w.final[e.Tag]; e.Tag != "" && c != nil {
			c <- now
			delete(w.final, e.Tag)
		}
	}
	return err
}

// reach waits until n events are final in all.
func (w *watcher) reach(ctx context.Context, n int64) error {
	return lab.Poll(ctx, 5*time.Minute, func() error {
		if got := w.count.Load(); got < n {
			return fmt.Errorf("%d of %d events are final", got, n)
		}
		return nil
	})
}
