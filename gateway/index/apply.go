package index

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// Apply adds the next block. Its rows, the new height and the block's hash are
// one SQL transaction: a crash leaves the block applied whole or not at all,
// and the follower resumes at Height.
//
// It is a Conflict error when the block is not the next one (the cause is then
// ErrMoved; one that is already in the index is refused too), or does not
// continue the chain the index holds: the peer serves another channel, or was
// rolled back. Internal means that a record cannot be read, as when the
// chaincode is newer than this program; nothing of the block is kept then.
// Unavailable means that the server with the index is not there, or did not say
// whether it committed: ask Height and go on from there.
func (x *Index) Apply(ctx context.Context, b block.Block) error {
	return x.ApplyBatch(ctx, []block.Block{b})
}

// ErrMoved is the cause of a Conflict where the index stands at another height
// than the caller thought: another replica applied the block, or the index was
// rebuilt. Ask Height and go on from there.
var ErrMoved = errors.New("the index stands elsewhere")

// ApplyBatch applies consecutive blocks in one SQL transaction, for catching
// up. The result is that of applying them one by one, all or none.
//
// Of several replicas one holds the row of meta from head to commit; the others
// wait for it and then find their block applied.
func (x *Index) ApplyBatch(ctx context.Context, blocks []block.Block) error {
	// Not cancelled half-way: a batch is short, and a driver that watches for
	// cancellation costs a goroutine per row.
	tx, err := x.backend.begin(context.WithoutCancel(ctx))
	if err != nil {
		return sqldb.Wrap(err, "index %s", x.name)
	}
	defer tx.rollback()
	h, err := tx.head()
	if err != nil {
		return sqldb.Wrap(err, "index %s: height", x.name)
	}
	if err := fits(h.version); err != nil {
		return provenance.Wrap(provenance.Conflict, err, "index %s", x.name)
	}
	w := &writer{session: tx, st: x.st, fresh: map[string]bool{}}
	for _, b := range blocks {
		if err := ctx.Err(); err != nil {
			return err
		}
		if b.Number != h.height {
			return provenance.Wrap(provenance.Conflict, ErrMoved, "block %d: the index holds %d blocks and takes block %d next", b.Number, h.height, h.height)
		}
		if h.height > 0 && !bytes.Equal(b.PreviousHash, h.hash) {
			return provenance.Errorf(provenance.Conflict,
				"block %d follows block hash %x, the index holds %x: the peer serves another channel or was rolled back", b.Number, b.PreviousHash, h.hash)
		}
		if err := w.block(b); err != nil {
			return err
		}
		h.height, h.hash = b.Number+1, b.Hash
	}
	if err := tx.setHead(h.height, notNil(h.hash)); err != nil {
		return err
	}
	if err := tx.commit(); err != nil {
		return sqldb.Wrap(err, "index %s: commit block %d", x.name, h.height-1)
	}
	return nil
}

// writer applies blocks inside one SQL transaction.
type writer struct {
	session
	st       *statements
	at, last Position // the transaction at hand, and that of the last record
	seq      int
	tx       block.Tx
	told     bool // tx has its row
	// fresh are the keys that the transaction at hand writes for the first time.
	fresh map[string]bool
}

func (w *writer) block(b block.Block) error {
	if len(b.Organisations) > 0 {
		if err := w.organisations(b.Organisations); err != nil {
			return err
		}
	}
	for _, t := range b.Txs {
		w.at, w.tx, w.told = Position{Block: b.Number, Tx: t.Index}, t, false
		writes, err := w.unpack(t.Writes)
		if err != nil {
			return err
		}
		if err := w.load(writes); err != nil {
			return err
		}
		// Records first: they look at the state before this transaction.
		for _, write := range writes {
			if err := w.derive(write); err != nil {
				return provenance.Wrap(provenance.CodeOf(err), err, "block %d transaction %s", b.Number, t.ID)
			}
		}
		for _, write := range writes {
			value := notNil(write.Value)
			if write.Delete {
				value = nil
			}
			if err := w.put(write.Key, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// transaction keeps who signed the transaction at hand, and when, once
// something is told of it: the ledger's clock moves every minute for ever, and
// tells nothing.
func (w *writer) transaction() error {
	if w.told {
		return nil
	}
	w.told = true
	return w.exec(&w.st.tx, w.at.Block, w.at.Tx, w.tx.ID, w.tx.At.UnixNano(), w.tx.Creator.MSP, w.tx.Creator.Name)
}

// unpack turns pages into their places and tags: the index keeps each under
// the key of its own and needs no directory.
func (w *writer) unpack(writes []block.Write) ([]block.Write, error) {
	clear(w.fresh)
	unpacked := make([]block.Write, 0, len(writes))
	for _, write := range writes {
		if write.Delete {
			unpacked = append(unpacked, write)
			continue
		}
		entries, err := state.Unpack(state.Entry{Key: write.Key, Value: write.Value})
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			unpacked = append(unpacked, block.Write{Key: e.Key, Value: e.Value})
			if e.Key != write.Key && !e.Changed {
				w.fresh[e.Key] = true
			}
		}
	}
	return unpacked, nil
}

// load announces what derive reads: what stood under the keys that change.
func (w *writer) load(writes []block.Write) error {
	keys := make([]string, 0, len(writes))
	for _, write := range writes {
		if !w.fresh[write.Key] {
			keys = append(keys, write.Key)
		}
	}
	return w.session.load(keys)
}

// derive adds the records that a write stands for.
func (w *writer) derive(write block.Write) error {
	objectType, attributes, ok := state.SplitKey(write.Key)
	if !ok || write.Delete {
		return nil
	}
	if objectType == state.TypeSegment {
		if len(attributes) != 4 {
			return provenance.Errorf(provenance.Internal, "key %q is no segment key", write.Key)
		}
		return w.segment(write.Key, provenance.Host(attributes[0]), write.Value)
	}
	return w.deriveRecord(objectType, write)
}

func (w *writer) organisations(organisations []block.Organisation) error {
	if err := w.exec(&w.st.dropOrganisations); err != nil {
		return err
	}
	for _, o := range organisations {
		b, err := json.Marshal(o)
		if err != nil {
			return provenance.Wrap(provenance.Internal, err, "organisation %s", o.MSPID)
		}
		if err := w.exec(&w.st.organisation, o.MSPID, b); err != nil {
			return err
		}
	}
	return nil
}

// notNil keeps an empty value from becoming NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
