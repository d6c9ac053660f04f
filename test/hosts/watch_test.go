package hosts_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"

	"github.com/waybill-dev/waybill/network"
	"github.com/waybill-dev/waybill/test/chaos/check"
	"github.com/waybill-dev/waybill/test/lab"
)

// reopened is how long one stream of blocks is read: whoever waits at a cable that was pulled would not
// hear of it before the kernel does.
const reopened = 5 * time.Second

// chain is what was seen of a peer.
type chain struct {
	blocks []check.Block
	at     []time.Time // when each came
}

// watcher follows the blocks of every peer from the bridge.
type watcher struct {
	channel, chaincode string

	mu     sync.Mutex
	chains map[string]*chain
}

// follow begins to follow a peer, until ctx ends.
func (w *watcher) follow(ctx context.Context, c network.Client) {
	w.mu.Lock()
	if w.chains == nil {
		w.chains = map[string]*chain{}
	}
	seen := &chain{}
	w.chains[c.Org] = seen
	w.mu.Unlock()
	go func() {
		for ctx.Err() == nil {
			next := w.height(c.Org)
			open, cancel := context.WithTimeout(ctx, reopened)
			err := lab.Blocks(open, c, w.channel, next, func(raw *common.Block) (bool, error) {
				b, err := check.ReadBlock(raw, w.chaincode)
				if err != nil {
					return false, err
				}
				w.mu.Lock()
				defer w.mu.Unlock()
				seen.blocks, seen.at = append(seen.blocks, b), append(seen.at, time.Now())
				return false, nil
			})
			cancel()
			if err != nil && ctx.Err() == nil && open.Err() == nil {
				time.Sleep(300 * time.Millisecond) // it is down, or out of reach
			}
		}
	}()
}

// forget leaves out a peer that takes part no more.
func (w *watcher) forget(org string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.chains, org)
}

// height is of the blocks that were seen of a peer.
func (w *watcher) height(org string) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.chains[org] == nil {
		return 0 // forgotten
	}
	return uint64(len(w.chains[org].blocks))
}

// heights of all.
func (w *watcher) heights() map[string]uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]uint64{}
	for org, c := range w.chains {
		out[org] = uint64(len(c.blocks))
	}
	return out
}

// level waits until all were seen at one height, or those named, and returns how long it took.
func (w *watcher) level(ctx context.Context, within time.Duration, orgs ...string) (time.Duration, error) {
	began := time.Now()
	err := lab.Poll(ctx, within, func() error {
		heights := w.heights()
		if len(orgs) > 0 {
			maps.DeleteFunc(heights, func(org string, _ uint64) bool { return !slices.Contains(orgs, org) })
		}
		least, most := slices.Min(slices.Collect(maps.Values(heights))), slices.Max(slices.Collect(maps.Values(heights)))
		// While events flow they are never all the same: a block or two is under way.
		if most-least > 2 {
			return fmt.Errorf("heights %v", heights)
		}
		return nil
	})
	return time.Since(began), err
}

// arrivals returns when each event was last seen on a peer, by key, and counts its events.
func (w *watcher) arrivals(org string) (map[string]time.Time, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	out, n := map[string]time.Time{}, 0
	for i, b := range w.chains[org].blocks {
		for _, tx := range b.Txs {
			if !tx.Valid {
				continue
			}
			for _, e := range tx.Events {
				n++
				out[e.Key] = w.chains[org].at[i]
			}
		}
	}
	return out, n
}

// gap returns the longest time in a window in which no block with events came to a peer, and when it began.
func (w *watcher) gap(org string, from, to time.Time) (longest time.Duration, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := from
	look := func(now time.Time) {
		if d := now.Sub(last); d > longest {
			longest, at = d, last
		}
		last = now
	}
	c := w.chains[org]
	for i, b := range c.blocks {
		recorded := slices.ContainsFunc(b.Txs, func(tx check.Tx) bool { return tx.Valid && len(tx.Events) > 0 })
		if recorded && c.at[i].After(from) && c.at[i].Before(to) {
			look(c.at[i])
		}
	}
	look(to)
	return longest, at
}

// peers are the chains as the judge reads them.
func (w *watcher) peers() []check.Peer {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []check.Peer
	for _, org := range slices.Sorted(maps.Keys(w.chains)) {
		out = append(out, check.Peer{Name: org, Blocks: slices.Clone(w.chains[org].blocks)})
	}
	return out
}

// quantile of durations.
func quantile(d []time.Duration, of float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[min(len(d)-1, int(of*float64(len(d))))]
}
