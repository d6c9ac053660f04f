package fsck

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/index"
	"github.com/waybill-dev/waybill/gateway/queue"
)

// indexCheck builds an index of the same height beside the one there is.
type indexCheck struct {
	thing    string             // what it is called in findings
	peer     uint64             // the peer's height
	index    *index.Index       // nil where there is none to compare
	beside   *index.Replacement // nil until it is made
	replaced bool
	refused  error // why there is no index to compare
	height   uint64
	hash     []byte // of its last block
	chain    []byte // of the same block at the peer
}

func openIndexCheck(ctx context.Context, place string, peer uint64) (x *indexCheck, err error) {
	x = &indexCheck{thing: "index " + filepath.Base(place), peer: peer}
	if strings.Contains(place, "://") { // it holds a password
		x.thing = "index"
	}
	if x.beside, err = index.NewReplacement(ctx, place); err != nil {
		return x, err
	}
	if x.index, x.refused = index.Open(ctx, place); x.refused == nil {
		x.height, x.hash, x.refused = x.index.Head(ctx)
	}
	if x.refused != nil {
		x.height = peer
	}
	return x, nil
}

func (x *indexCheck) block(ctx context.Context, b block.Block) error {
	if b.Number+1 == x.height {
		x.chain = b.Hash
	}
	if b.Number >= x.height {
		return nil
	}
	return x.beside.Index.Apply(ctx, b)
}

// compare names what differs. The one repair of an index is to put the one
// that was just built in its place.
func (x *indexCheck) compare(ctx context.Context, r *Report) ([]difference, error) {
	const repair = "put the index made from the peer's blocks in its place"
	var err error
	if r.Index.Rebuilt, err = x.beside.Index.Fingerprint(ctx); err != nil {
		return nil, err
	}
	if x.refused != nil {
		return []difference{differs(IndexMissing, x.thing, "%v", x.refused).by(repair, x.replace)}, nil
	}
	r.Index.Height, r.Index.Hash = x.height, hex.EncodeToString(x.hash)
	if x.height > x.peer {
		// Whether the peer lost blocks or the index is another channel's, following would be refused.
		return []difference{differs(IndexAhead, x.thing, "it holds %d blocks and the peer %d: the peer was rolled back, or has not caught up", x.height, x.peer)}, nil
	}
	if x.height < x.peer {
		r.Notes = append(r.Notes, fmt.Sprintf("the index is %d blocks behind its peer, and follows when the gateway runs", x.peer-x.height))
	}
	var found []difference
	if x.height > 0 && !slices.Equal(x.hash, x.chain) {
		found = append(found, differs(IndexHash, x.thing, "block %d has hash %x there, and %x at the peer", x.height-1, x.hash, x.chain))
	}
	var tables []index.Difference
	if r.Index.Fingerprint, err = x.index.Fingerprint(ctx); err == nil && r.Index.Fingerprint != r.Index.Rebuilt {
		tables, err = x.index.Diff(ctx, x.beside.Index)
	}
	if err != nil { // a damaged page is found by whoever reads it
		found = append(found, differs(IndexContents, x.thing, "%v", err))
	}
	for _, t := range tables {
		found = append(found, differs(IndexContents, "table "+t.Table, "%d rows, %d in a rebuild; %s", t.Rows, t.Other, t.First))
	}
	for i := range found {
		found[i] = found[i].by(repair, x.replace)
	}
	return found, nil
}

// replace is done once, however many differences it mends.
// A crash in it leaves no index, or one of the two; reindex makes one in any case.
func (x *indexCheck) replace(ctx context.Context, _ *queue.Queue) error {
	if x.replaced {
		return nil
	}
	x.replaced = true
	if x.index != nil {
		open := x.index
		x.index = nil
		if err := open.Close(); err != nil {
			return err
		}
	}
	return x.beside.Replace(ctx)
}

func (x *indexCheck) close() error {
	var errs []error
	if x.index != nil {
		errs = append(errs, x.index.Close())
	}
	if x.beside != nil {
		errs = append(errs, x.beside.Close())
	}
	return errors.Join(errs...)
}
