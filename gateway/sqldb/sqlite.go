package sqldb

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// FileOptions are how a SQLite file is opened; all of them use a write-ahead log.
type FileOptions struct {
	// Synchronous FULL fsyncs the log at every commit; NORMAL may lose the last
	// commits at a power cut, never their order.
	Synchronous string
	BusyTimeout time.Duration
	CacheKiB    int
	// PageBytes is the size of a new file's pages (0: SQLite's own 4,096); a
	// file that has tables keeps its own.
	PageBytes int
	// CheckpointPages is how long the log may get before it is written into the
	// file (0: SQLite's own 1,000); a longer one halves writing at high rates.
	CheckpointPages int
	ReadOnly        bool
	// TempMemory keeps in memory what a savepoint may have to restore, and the
	// temporary tables: for transactions that are small.
	TempMemory bool
	// Connections are kept open once they are: there may be no file for another.
	Connections int
}

// OpenFile opens a SQLite file. It touches the file only when it is first used.
func OpenFile(path string, o FileOptions) (*sql.DB, error) {
	db, err := sql.Open("sqlite", fileName(path, o))
	if err != nil {
		return nil, provenance.Wrap(provenance.Internal, err, "open %s", path)
	}
	db.SetMaxOpenConns(o.Connections)
	db.SetMaxIdleConns(o.Connections)
	return db, nil
}

func fileName(path string, o FileOptions) string {
	name := (&url.URL{Scheme: "file", OmitHost: true, Path: path}).String() +
		fmt.Sprintf("?_pragma=busy_timeout(%d)&_journal_mode=WAL&_pragma=synchronous(%s)&_pragma=cache_size(-%d)",
			o.BusyTimeout.Milliseconds(), o.Synchronous, o.CacheKiB)
	if o.PageBytes > 0 {
		name += fmt.Sprintf("&_pragma=page_size(%d)", o.PageBytes) // the driver sets the journal's mode after it, which fixes it
	}
	if o.CheckpointPages > 0 {
		name += fmt.Sprintf("&_pragma=wal_autocheckpoint(%d)", o.CheckpointPages)
	}
	if o.TempMemory {
		name += "&_pragma=temp_store(MEMORY)"
	}
	if o.ReadOnly {
		name += "&_pragma=query_only(1)"
	}
	return name
}

// CreateFile makes an empty file that only its owner may read. It is WB_CONFLICT
// when there is one: nothing is ever emptied by mistake. A crash before its
// tables are committed leaves a file without any.
func CreateFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return provenance.Errorf(provenance.Conflict, "create %s: there is one already", path)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return provenance.Wrap(provenance.Internal, err, "create %s", path)
	}
	return nil
}

// RemoveFile removes a closed database with its side files, if it is there.
func RemoveFile(path string) error {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return provenance.Wrap(provenance.Internal, err, "remove %s", path)
		}
	}
	return nil
}

// ReplaceFile puts a database in another's place; both are closed. A crash in
// it leaves the old one, the new one or none.
func ReplaceFile(by, path string) error {
	if err := RemoveFile(path); err != nil {
		return err
	}
	if err := os.Rename(by, path); err != nil {
		return provenance.Wrap(provenance.Internal, err, "replace %s", path)
	}
	return nil
}

// SyncDir makes the names in a folder survive a power cut.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err == nil {
		err = d.Sync()
		if cerr := d.Close(); err == nil {
			err = cerr
		}
	}
	if err != nil {
		return provenance.Wrap(provenance.Internal, err, "sync folder %s", dir)
	}
	return nil
}
