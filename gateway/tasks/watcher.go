package tasks

import (
	"context"
	"maps"
	"path"
	"slices"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/queue"
)

// Watcher reads off each block what this gateway has to do about it.
type Watcher struct {
	MSP     string
	Collect bool
	Witness []string // patterns over registry hosts
	List    *queue.Tasks
	Looked  func() // after each block
	Trust   func() // after trust material came, and before those who wait for it are woken
}

// Height is the number of blocks whose tasks are noted.
func (n *Watcher) Height() uint64 { return n.List.Height() }

// Block notes the tasks of a block that the index holds; those of a block below
// the list's height are noted. Only the owner of a registry records its
// segments, so the creator's organisation is the owner. Whatever fails is
// WB_UNAVAILABLE: the block is to be brought again.
func (n *Watcher) Block(ctx context.Context, b block.Block) error {
	if b.Number < n.List.Height() {
		return nil
	}
	asks := n.asks(b)
	if asks.Keys && n.Trust != nil {
		n.Trust()
	}
	if err := n.List.Note(ctx, asks); err != nil {
		return provenance.Wrap(provenance.Unavailable, err, "note the tasks of block %d", b.Number)
	}
	if n.Looked != nil && len(b.Txs) > 0 {
		n.Looked()
	}
	return nil
}

// asks is what a block asks of us.
func (n *Watcher) asks(b block.Block) queue.TaskBlock {
	out := queue.TaskBlock{Height: b.Number + 1}
	pushed := map[provenance.Digest]bool{}
	for _, tx := range b.Txs {
		for _, w := range tx.Writes {
			objectType, attributes, ok := state.SplitKey(w.Key)
			switch {
			case !ok || w.Delete:
			case objectType == state.TypeKey, objectType == state.TypeSchema, objectType == state.TypeTrust:
				out.Keys = true
			case objectType == state.TypeJournal && len(attributes) > 1:
				events, decoded := tx.Events[w.Key]
				if !decoded {
					var err error
					if events, err = provenance.DecodeSegment(w.Value); err != nil {
						continue // the index has refused the block before
					}
				}
				for _, e := range events {
					if e.Action == provenance.Push {
						pushed[e.Digest] = true
						out.Tasks = append(out.Tasks, n.push(tx.Creator.MSP, provenance.Host(attributes[1]), e)...)
					}
				}
			}
		}
	}
	out.Subjects = slices.Collect(maps.Keys(pushed))
	return out
}

// push returns what to do about one recorded push.
func (n *Watcher) push(owner string, host provenance.Host, e provenance.Event) []Task {
	t := Task{Host: host, Repository: e.Repository, Digest: e.Digest, Tag: e.Tag}
	if owner != n.MSP {
		if !slices.ContainsFunc(n.Witness, func(p string) bool { ok, _ := path.Match(p, string(host)); return ok }) {
			return nil
		}
		t.Kind, t.Tag = Witness, ""
		return []Task{t}
	}
	if !n.Collect {
		return nil
	}
	t.Kind, t.Subject = Collect, e.Subject
	if tagged, ok := e.Tag.Subject(); ok && t.Subject.IsZero() {
		t.Subject = tagged
	}
	if t.Subject.IsZero() {
		return nil
	}
	return []Task{t}
}
