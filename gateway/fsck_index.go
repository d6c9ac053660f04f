package gateway

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/waybill-dev/waybill/gateway/index"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/gateway/queue"
)

// fsckDir is where, in the data folder, an index is made to compare with.
const fsckDir = "fsck"

// indexCheck builds an index of the same height beside the one there is.
type indexCheck struct {
	place, beside string // of the gateway's index, which may be a URL; of the one made here
	peer          uint64 // the peer's height
	index, again  *index.Index
	refused       error // why there is no index to compare
	height        uint64
	hash          []byte // of its last block
	chain         []byte // of the same block at the peer
	refill        func(context.Context, *index.Index) error
}

func openIndexCheck(ctx context.Context, dir, place string, peer uint64) (x *indexCheck, err error) {
	x = &indexCheck{place: place, beside: filepath.Join(dir, fsckDir), peer: peer}
	if err := os.RemoveAll(x.beside); err != nil { // of a run that was killed
		return x, err
	}
	if err := os.Mkdir(x.beside, 0o700); err != nil {
		return x, err
	}
	file := filepath.Join(x.beside, indexFile)
	if err := index.Create(ctx, file); err != nil {
		return x, err
	}
	if x.again, err = index.Open(ctx, file); err != nil {
		return x, err
	}
	if x.index, x.refused = index.Open(ctx, x.place); x.refused == nil {
		x.height, x.hash, x.refused = x.index.Head(ctx)
	}
	if x.refused != nil {
		x.height = peer
	}
	return x, nil
}

func (x *indexCheck) block(ctx context.Context, b ledger.Block) error {
	if b.Number+1 == x.height {
		x.chain = b.Hash
	}
	if b.Number >= x.height {
		return nil
	}
	return x.again.Apply(ctx, indexed(b))
}

// compare names what differs. The one repair of an index is to put the one
// that was just built in its place.
func (x *indexCheck) compare(ctx context.Context, r *FsckReport) ([]difference, error) {
	const repair, thing = "make the index anew from the peer's blocks", "index"
	var err error
	if r.Index.Rebuilt, err = x.again.Fingerprint(ctx); err != nil {
		return nil, err
	}
	if x.refused != nil {
		return []difference{differs(FsckIndexMissing, thing, "%v", x.refused).by(repair, x.replace)}, nil
	}
	r.Index.Height, r.Index.Hash = x.height, hex.EncodeToString(x.hash)
	if x.height > x.peer {
		// Whether the peer lost blocks or the index is another channel's, following would be refused.
		return []difference{differs(FsckIndexAhead, thing, "it holds %d blocks and the peer %d: the peer was rolled back, or has not caught up", x.height, x.peer)}, nil
	}
	if x.height < x.peer {
		r.Notes = append(r.Notes, fmt.Sprintf("the index is %d blocks behind its peer, and follows when the gateway runs", x.peer-x.height))
	}
	var found []difference
	if x.height > 0 && !slices.Equal(x.hash, x.chain) {
		found = append(found, differs(FsckIndexHash, thing, "block %d has hash %x there, and %x at the peer", x.height-1, x.hash, x.chain))
	}
	var tables []index.Difference
	if r.Index.Fingerprint, err = x.index.Fingerprint(ctx); err == nil && r.Index.Fingerprint != r.Index.Rebuilt {
		tables, err = x.index.Differ(ctx, x.again)
	}
	if err != nil { // a damaged page is found by whoever reads it
		found = append(found, differs(FsckIndexContents, thing, "%v", err))
	}
	for _, t := range tables {
		found = append(found, differs(FsckIndexContents, "table "+t.Table, "%d rows, %d in a rebuild; %s", t.Rows, t.Other, t.First))
	}
	for i := range found {
		found[i] = found[i].by(repair, x.replace)
	}
	return found, nil
}

// replace is done once, however many differences it mends. A crash in it leaves
// the old index, no index, or the new one; the next run says which.
func (x *indexCheck) replace(ctx context.Context, _ *queue.Queue) error {
	if x.again == nil {
		return nil
	}
	err := x.again.Close()
	if x.index != nil {
		err = errors.Join(err, x.index.Close())
	}
	x.again, x.index = nil, nil
	if err != nil {
		return err
	}
	return index.Rebuild(ctx, x.place, func(fresh *index.Index) error { return x.refill(ctx, fresh) })
}

func (x *indexCheck) close() error {
	var errs []error
	for _, open := range []*index.Index{x.index, x.again} {
		if open != nil {
			errs = append(errs, open.Close())
		}
	}
	return errors.Join(append(errs, os.RemoveAll(x.beside))...)
}
