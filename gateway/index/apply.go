package index

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// Apply adds the next block. Its rows, the new height and the block's hash are
// one SQL transaction: a crash leaves the block applied whole or not at all,
// and the follower resumes at Height.
//
// It is a Conflict error when the block is not the next one (one that is
// already in the index is refused too), or does not continue the chain the
// index holds: the peer serves another channel, or was rolled back. Internal
// means that a record cannot be read, as when the chaincode is newer than
// this program; nothing of the block is kept then.
func (x *Index) Apply(ctx context.Context, b Block) error { return x.ApplyBatch(ctx, []Block{b}) }

// ApplyBatch applies consecutive blocks in one SQL transaction, for catching
// up. The result is that of applying them one by one, all or none.
func (x *Index) ApplyBatch(ctx context.Context, blocks []Block) error {
	// Not cancelled half-way: a batch is short, and a driver that watches for
	// cancellation costs a goroutine per row.
	whole := context.WithoutCancel(ctx)
	tx, err := x.write.BeginTx(whole, nil)
	if err != nil {
		return provenance.Wrap(provenance.Internal, err, "index %s", x.path)
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	w := &writer{st: x.st.in(whole, tx), ctx: func() context.Context { return whole }}
	var height uint64
	var hash []byte
	if err := w.st.head.QueryRowContext(whole).Scan(&height, &hash); err != nil {
		return provenance.Wrap(provenance.Internal, err, "index %s: height", x.path)
	}
	for _, b := range blocks {
		if err := ctx.Err(); err != nil {
			return err
		}
		if b.Number != height {
			return provenance.Errorf(provenance.Conflict, "block %d: the index holds %d blocks and takes block %d next", b.Number, height, height)
		}
		if height > 0 && !bytes.Equal(b.PreviousHash, hash) {
			return provenance.Errorf(provenance.Conflict,
				"block %d follows block hash %x, the index holds %x: the peer serves another channel or was rolled back", b.Number, b.PreviousHash, hash)
		}
		if err := w.block(b); err != nil {
			return err
		}
		height, hash = b.Number+1, b.Hash
	}
	if err := w.exec(w.st.setHead, height, notNil(hash)); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return provenance.Wrap(provenance.Internal, err, "index %s: commit block %d", x.path, height-1)
	}
	return nil
}

// writer applies blocks inside one SQL transaction.
type writer struct {
	st       statements
	ctx      func() context.Context
	at, last Position // the transaction at hand, and that of the last record
	seq      int
}

func (w *writer) block(b Block) error {
	if len(b.Organisations) > 0 {
		if err := w.organisations(b.Organisations); err != nil {
			return err
		}
	}
	for _, t := range b.Txs {
		w.at = Position{Block: b.Number, Tx: t.Index}
		if err := w.exec(w.st.tx, b.Number, t.Index, t.ID, t.At.UnixNano(), t.Creator.MSP, t.Creator.Name); err != nil {
			return err
		}
		// Records first: they look at the state before this transaction.
		for _, write := range t.Writes {
			if err := w.derive(write); err != nil {
				return provenance.Wrap(provenance.CodeOf(err), err, "block %d transaction %s", b.Number, t.ID)
			}
		}
		for _, write := range t.Writes {
			var err error
			if write.Delete {
				err = w.exec(w.st.drop, []byte(write.Key))
			} else {
				err = w.exec(w.st.put, []byte(write.Key), notNil(write.Value))
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// derive adds the records that a write stands for.
func (w *writer) derive(write Write) error {
	objectType, attributes, ok := state.SplitKey(write.Key)
	if !ok || write.Delete {
		return nil
	}
	if objectType == state.TypeSegment {
		if len(attributes) != 3 {
			return provenance.Errorf(provenance.Internal, "key %q is no segment key", write.Key)
		}
		return w.segment(write.Key, provenance.Host(attributes[0]), write.Value)
	}
	return w.act(objectType, write)
}

func (w *writer) organisations(organisations []Organisation) error {
	if err := w.exec(w.st.dropOrganisations); err != nil {
		return err
	}
	for _, o := range organisations {
		b, err := json.Marshal(o)
		if err != nil {
			return provenance.Wrap(provenance.Internal, err, "organisation %s", o.MSPID)
		}
		if err := w.exec(w.st.organisation, o.MSPID, b); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) exec(st *sql.Stmt, args ...any) error {
	if _, err := st.ExecContext(w.ctx(), args...); err != nil {
		return provenance.Wrap(provenance.Internal, err, "index: write")
	}
	return nil
}

// get reads one key as it stands in this transaction; nil when absent.
func (w *writer) get(key string) ([]byte, error) {
	var value []byte
	err := w.st.get.QueryRowContext(w.ctx(), []byte(key)).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, provenance.Wrap(provenance.Internal, err, "index: read")
	}
	return value, nil
}

// notNil keeps an empty value from becoming NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
