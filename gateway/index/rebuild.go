package index

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// Replacement is a new index beside the one there is, or was.
type Replacement struct {
	Index   *Index // empty at first
	replace func(context.Context) error
	discard func() error
	closed  bool // Index is
}

// NewReplacement makes an empty index beside the one at where. One at a time: a second
// one in the same PostgreSQL database is a Conflict. Close it in any case; what
// a crash leaves behind is removed by the next.
func NewReplacement(ctx context.Context, where string) (*Replacement, error) {
	if sqldb.IsURL(where) {
		return replacePostgres(ctx, where)
	}
	temporary := filepath.Join(filepath.Dir(where), "reindex.db")
	if err := sqldb.RemoveFile(temporary); err != nil {
		return nil, err
	}
	if err := createSQLite(ctx, temporary); err != nil {
		return nil, err
	}
	x := &Index{name: temporary, st: applying()}
	var err error
	// Nothing of it is kept before it has its place: it is synced then, as a whole.
	if x.backend, err = openSQLite(ctx, temporary, "OFF"); err != nil {
		return nil, err
	}
	return &Replacement{
		Index: x,
		replace: func(context.Context) error {
			if err := syncFile(temporary); err != nil {
				return err
			}
			if err := sqldb.ReplaceFile(temporary, where); err != nil {
				return err
			}
			return sqldb.SyncDir(filepath.Dir(where))
		},
		discard: func() error { return sqldb.RemoveFile(temporary) },
	}, nil
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err != nil {
		return provenance.Wrap(provenance.Internal, err, "sync index %s", path)
	}
	return nil
}

// Replace closes the new index and puts it in the other's place. An index in a
// file must be closed before; whoever has a PostgreSQL index open goes on with
// the new one. A crash in it leaves the old index, the new one or, of a file,
// none.
func (r *Replacement) Replace(ctx context.Context) error {
	if err := r.closeIndex(); err != nil {
		return err
	}
	return r.replace(ctx)
}

// Close closes the new index and removes it, unless it has its place.
func (r *Replacement) Close() error { return errors.Join(r.closeIndex(), r.discard()) }

func (r *Replacement) closeIndex() error {
	if r.closed {
		return nil
	}
	r.closed = true
	return r.Index.Close()
}

// Rebuild makes a new index beside the one at where, lets fill apply blocks to
// it, and puts it in the other's place: until then, and when fill fails, the old
// one stays.
func Rebuild(ctx context.Context, where string, fill func(*Index) error) (err error) {
	r, err := NewReplacement(ctx, where)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := fill(r.Index); err != nil {
		return err
	}
	return r.Replace(ctx)
}
