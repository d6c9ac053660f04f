package index

import (
	"slices"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
)

// Prepared is a block, read as far as it can be without an index: what costs time
// and needs no turn at one. Prepare and Apply may run in two goroutines.
type Prepared struct {
	block.Block
	txs []preparedTx
	err error // why it cannot be applied
}

// preparedTx is a transaction with its pages unpacked and its segments decoded.
type preparedTx struct {
	block.Tx
	records []block.Write        // under keys of their own
	fresh   map[string]bool      // the keys that are written for the first time
	changed map[string]bool      // those out of a page that were written before
	tags    map[string]state.Tag // that are written, and that the events touch
	moves   map[string]move      // of the tags that the events touch
}

// move is what the events of a transaction do to a tag.
type move struct {
	steps int               // to another image than the event before said
	last  provenance.Digest // zero: deleted
}

// Prepare reads a block. What is wrong with it is told when it is applied.
func Prepare(b block.Block) Prepared {
	p := Prepared{Block: b, txs: make([]preparedTx, len(b.Txs))}
	p.Txs = slices.Clone(b.Txs)
	for i, tx := range b.Txs {
		if p.txs[i], p.err = prepareTx(tx); p.err != nil {
			p.err = provenance.Wrap(provenance.CodeOf(p.err), p.err, "block %d transaction %s", b.Number, tx.ID)
			return p
		}
		p.Txs[i].Events = p.txs[i].Events
	}
	return p
}

// Size is about how many bytes the block's writes have.
func (p *Prepared) Size() (n int) {
	for _, tx := range p.Txs {
		for _, w := range tx.Writes {
			n += len(w.Key) + len(w.Value)
		}
	}
	return n
}

func prepareTx(tx block.Tx) (preparedTx, error) {
	p := preparedTx{
		Tx: tx, fresh: map[string]bool{}, changed: map[string]bool{}, tags: map[string]state.Tag{}, moves: map[string]move{},
	}
	p.Events = map[string][]provenance.Event{}
	for _, write := range tx.Writes {
		if write.Delete {
			continue
		}
		entries, err := state.Unpack(state.Entry{Key: write.Key, Value: write.Value})
		if err != nil {
			return p, err
		}
		for _, e := range entries {
			switch {
			case e.Key == write.Key:
			case e.Changed:
				p.changed[e.Key] = true
			default:
				p.fresh[e.Key] = true
			}
			p.records = append(p.records, block.Write{Key: e.Key, Value: e.Value})
			if err := p.readSegment(e); err != nil {
				return p, err
			}
		}
	}
	return p, p.readTags()
}

// readTags reads the tags that the events touch.
func (p *preparedTx) readTags() error {
	for _, write := range p.records {
		if _, moved := p.moves[write.Key]; !moved {
			continue
		}
		var tag state.Tag
		if err := state.Decode(write.Value, &tag); err != nil {
			return err
		}
		p.tags[write.Key] = tag
	}
	return nil
}

// readSegment decodes an entry that is a segment.
func (p *preparedTx) readSegment(e state.Entry) error {
	if objectType, _, ok := state.SplitKey(e.Key); !ok || objectType != state.TypeJournal {
		return nil
	}
	name, ok := state.SplitJournal(e.Key)
	if !ok {
		return provenance.Errorf(provenance.Internal, "key %q names no segment", e.Key)
	}
	events, err := provenance.DecodeSegment(e.Value)
	if err != nil {
		// The contract decodes a segment before it writes it.
		return provenance.Wrap(provenance.Internal, err, "segment of %s", name.Host)
	}
	p.Events[e.Key] = events
	for _, event := range events {
		if !movesTag(event) {
			continue
		}
		key, to := state.TagKey(name.Host, event.Repository, event.Tag), target(event)
		m, seen := p.moves[key]
		if !seen || m.last != to {
			p.moves[key] = move{m.steps + 1, to}
		}
	}
	return nil
}

func movesTag(e provenance.Event) bool {
	return e.Tag != "" && (e.Action == provenance.Push || e.Action == provenance.TagDelete)
}

// target is what an event's tag names after it.
func target(e provenance.Event) provenance.Digest {
	if e.Action == provenance.TagDelete {
		return provenance.Digest{}
	}
	return e.Digest
}

// named returns what a tag named before the transaction, where its writes say so:
// none where it went on naming what it did, and the record itself where it moved
// once. known is false where the record of before has to be looked up.
func (p *preparedTx) named(key string) (before provenance.Digest, known bool) {
	m := p.moves[key]
	tag, written := p.tags[key]
	switch {
	case p.fresh[key]:
		return provenance.Digest{}, true
	case m.steps == 1 && !written:
		return m.last, true
	case m.steps == 1:
		return tag.Previous, true
	default:
		return provenance.Digest{}, false
	}
}

// needed are the keys whose records of before the transaction is compared with.
func (p *preparedTx) needed() []string {
	var keys []string
	for _, write := range p.records {
		switch objectType, _, _ := state.SplitKey(write.Key); objectType {
		case state.TypePlace:
			if !p.fresh[write.Key] {
				keys = append(keys, write.Key)
			}
		case state.TypePromotion, state.TypeReleased, state.TypeRelease, state.TypeProposal, state.TypeRegistry, state.TypeMembers,
			state.TypeWaivers, state.TypeLabels, state.TypeContext:
			keys = append(keys, write.Key)
		}
	}
	for key := range p.moves {
		if _, known := p.named(key); !known {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}
