package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/network/org"
)

// Resync has a peer or an orderer begin anew from the channel's first block: what it had is put aside, and it reads the
// chain from the others. A crash in between is repaired by starting the organisation.
//
// An orderer that lost what it had signed is, until it has caught up, the one of the quorum that may be wrong: no second
// one must be so at the same time.
func Resync(ctx context.Context, f *org.Folder, kind org.Kind, now time.Time) (aside string, err error) {
	return resync(ctx, f, kind, now, func() error { return nil })
}

// ResyncBySnapshot has a peer begin anew with a snapshot of another peer, of which at least two organisations have told
// the same metadata: see org.SnapshotMetadata. The peer then has no block before the snapshot's, and no history of before.
func ResyncBySnapshot(ctx context.Context, f *org.Folder, dir string, told [][]byte, now time.Time) (aside string, err error) {
	if len(told) < 2 {
		return "", provenance.Errorf(provenance.Invalid, "nobody signs a snapshot: want its metadata from two organisations at least, and not from %d", len(told))
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", err
	}
	if _, err := org.CheckSnapshot(dir, told); err != nil {
		return "", err
	}
	return resync(ctx, f, org.KindPeer, now, func() error { return f.JoinBySnapshot(ctx, dir) })
}

func resync(ctx context.Context, f *org.Folder, kind org.Kind, now time.Time, join func() error) (aside string, err error) {
	if kind != org.KindPeer && kind != org.KindOrderer {
		return "", provenance.Errorf(provenance.Invalid, "%q: want peer or orderer", kind)
	}
	joined, err := f.Joined()
	if err != nil {
		return "", err
	}
	if !joined {
		return "", provenance.Errorf(provenance.Invalid, "%s has not joined a channel: there is nothing to read anew", f.Spec().Name)
	}
	node, err := f.Find(string(kind))
	if err != nil {
		return "", err
	}
	release, err := f.Hold(node) // a supervisor would start it on half of its data
	if err != nil {
		return "", provenance.Wrap(provenance.Conflict, err, "resync")
	}
	aside, err = putAside(ctx, f, kind, now)
	release()
	if err == nil {
		err = join()
	}
	if err != nil {
		return aside, err
	}
	return aside, f.Up(ctx)
}

// putAside stops a node and moves its data out of its way.
func putAside(ctx context.Context, f *org.Folder, kind org.Kind, now time.Time) (aside string, err error) {
	if err := f.Stop(ctx, string(kind)); err != nil {
		return "", err
	}
	data := filepath.Join(f.Dir(), string(kind), "data")
	aside = filepath.Join(f.Dir(), string(kind), "data.before-"+now.UTC().Format("20060102T150405"))
	if err := os.Rename(data, aside); errors.Is(err, fs.ErrNotExist) {
		aside = ""
	} else if err != nil {
		return "", fmt.Errorf("put the data of the %s aside: %w", kind, err)
	}
	return aside, nil
}
