package queue

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Limits and defaults of Options.
const (
	maxLanes            = 64
	defaultLanes        = 4
	defaultMaxPending   = 1_000_000
	defaultMinFreeBytes = 64 << 20
)

// schemaVersion is kept in PRAGMA user_version.
const schemaVersion = 1

// The tables. seen outlives items, so that a delivery repeated after its event
// was recorded is still known; it grows by about 60 bytes an event.
const schema = `
CREATE TABLE meta (name TEXT NOT NULL, lanes INTEGER NOT NULL, done INTEGER NOT NULL);
CREATE TABLE lanes (lane INTEGER PRIMARY KEY, next INTEGER NOT NULL, block INTEGER NOT NULL);
CREATE TABLE repositories (id INTEGER PRIMARY KEY, host TEXT NOT NULL, name TEXT NOT NULL, lane INTEGER NOT NULL, UNIQUE (host, name));
CREATE TABLE seen (id BLOB PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE items (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  state INTEGER NOT NULL, -- 0 waiting, 1 sealed, 2 dead
  lane INTEGER NOT NULL,
  repo INTEGER NOT NULL,
  connector TEXT NOT NULL,
  event BLOB NOT NULL, -- provenance.EncodeSegment of this one event
  body BLOB NOT NULL,
  received INTEGER NOT NULL, -- ms
  attempts INTEGER NOT NULL,
  due INTEGER NOT NULL, -- ms; 0 at once
  reason TEXT NOT NULL);
CREATE INDEX items_work ON items (state, lane);
CREATE TABLE segments (
  lane INTEGER PRIMARY KEY, -- at most one open segment per lane
  seq INTEGER NOT NULL, host TEXT NOT NULL, bytes BLOB NOT NULL, txid TEXT NOT NULL, tx BLOB NOT NULL);
PRAGMA user_version = 1;`

const (
	stateWaiting = 0
	stateSealed  = 1
	stateDead    = 2
)

// Create makes an empty queue, readable by its owner only. It fails with
// WB_CONFLICT when the file exists: a queue is never emptied by mistake. A
// crash inside leaves a file that Open refuses; delete it and create again.
func Create(ctx context.Context, path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return provenance.Errorf(provenance.Conflict, "create queue: %s exists", path)
	}
	if err == nil {
		err = file.Close()
	}
	if err != nil {
		return provenance.Wrap(provenance.Internal, err, "create queue")
	}
	db, err := sql.Open("sqlite", dsn(path))
	if err != nil {
		return fail(err, "create queue")
	}
	defer func() { _ = db.Close() }() // everything was committed, or failed, before
	db.SetMaxOpenConns(1)
	name := make([]byte, 4)
	if _, err := rand.Read(name); err != nil {
		return provenance.Wrap(provenance.Internal, err, "create queue")
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fail(err, "create queue")
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it has nothing to do
	if _, err := tx.ExecContext(ctx, schema); err != nil {
		return fail(err, "create queue")
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO meta (name, lanes, done) VALUES (?, 0, 0)`, hex.EncodeToString(name)); err != nil {
		return fail(err, "create queue")
	}
	if err := tx.Commit(); err != nil {
		return fail(err, "create queue")
	}
	return syncDir(filepath.Dir(path)) // the file's name must survive a power cut as well
}

// Open opens a queue that Create made and takes it for this process alone.
// Errors: WB_NOT_FOUND when there is no such file, WB_CONFLICT when another
// process has it open, WB_INVALID for options or a file that do not fit.
func Open(ctx context.Context, path string, options Options) (*Queue, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, provenance.Wrap(provenance.NotFound, err, "open queue (waybill-gateway init creates it)")
	}
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	unlock, err := lock(path + ".lock")
	if err != nil {
		return nil, err
	}
	q := &Queue{
		options: options, log: options.Log, now: time.Now, unlock: unlock,
		disk:  diskWatch{dir: filepath.Dir(path), min: options.MinFreeBytes, free: freeBytes},
		repos: map[repoKey]repo{}, held: map[int64]time.Time{}, leases: map[int]map[int64]leasing{},
	}
	for lane := range q.arrived {
		q.arrived[lane] = make(chan struct{}, 1)
	}
	if err := q.start(ctx, path); err != nil {
		for _, db := range []*sql.DB{q.readers, q.writerD} {
			if db != nil {
				_ = db.Close() // the first error says more
			}
		}
		_ = unlock()
		return nil, err
	}
	return q, nil
}

func (o Options) withDefaults() (Options, error) {
	if o.Lanes == 0 {
		o.Lanes = defaultLanes
	}
	if o.MaxPending == 0 {
		o.MaxPending = defaultMaxPending
	}
	if o.MinFreeBytes == 0 {
		o.MinFreeBytes = defaultMinFreeBytes
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Lanes < 1 || o.Lanes > maxLanes || o.MaxPending < 1 || o.MinFreeBytes < 0 {
		return o, provenance.Errorf(provenance.Invalid, "queue options: want 1 to %d lanes, at least 1 pending item, free bytes not negative", maxLanes)
	}
	return o, nil
}

func (q *Queue) start(ctx context.Context, path string) error {
	var err error
	if q.writerD, err = sql.Open("sqlite", dsn(path)); err != nil {
		return fail(err, "open queue")
	}
	q.writerD.SetMaxOpenConns(1)
	var version int
	if err := q.writerD.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&version); err != nil {
		return fail(err, "open queue")
	}
	if version != schemaVersion {
		return provenance.Errorf(provenance.Invalid, "open queue: %s has schema version %d, this program reads %d", path, version, schemaVersion)
	}
	if err := q.load(ctx); err != nil {
		return err
	}
	if q.readers, err = sql.Open("sqlite", dsn(path)+"&_pragma=query_only(1)"); err != nil {
		return fail(err, "open queue")
	}
	q.readers.SetMaxOpenConns(4)
	if q.reads, err = prepareReads(ctx, q.readers); err != nil {
		return err
	}
	q.writer, err = newWriter(ctx, q.writerD)
	return err
}

// dsn opens the file with the settings that the queue's promises rest on.
// FULL fsyncs the log at every commit (NORMAL may lose the last commits at a
// power cut); the larger checkpoint interval halves writing at high rates.
func dsn(path string) string {
	return "file:" + (&url.URL{Path: path}).EscapedPath() +
		"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)" +
		"&_pragma=wal_autocheckpoint(10000)&_pragma=cache_size(-32768)"
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err == nil {
		err = d.Sync()
		if cerr := d.Close(); err == nil {
			err = cerr
		}
	}
	if err != nil {
		return provenance.Wrap(provenance.Internal, err, "create queue: sync folder")
	}
	return nil
}
