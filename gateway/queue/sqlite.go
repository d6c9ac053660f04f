package queue

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// schemaVersion is kept in PRAGMA user_version.
const schemaVersion = 6

// The tables. Ids outlive items, so that a delivery repeated after its event was
// recorded is still known.
const schema = `
CREATE TABLE meta (name TEXT NOT NULL, lanes INTEGER NOT NULL, done INTEGER NOT NULL, secret BLOB NOT NULL); -- secret: see HideID
CREATE TABLE lanes (lane INTEGER PRIMARY KEY, next INTEGER NOT NULL, block INTEGER NOT NULL);
CREATE TABLE repositories (id INTEGER PRIMARY KEY, host TEXT NOT NULL, name TEXT NOT NULL, lane INTEGER NOT NULL, UNIQUE (host, name));
CREATE TABLE items (
  id INTEGER PRIMARY KEY, -- lane by lane, see laneNumbers
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
` + seenSQLite + clientsSQLite + tasksSQLite + unusableSQLite + `
PRAGMA user_version = 6;`

// What segments hide, until it is kept elsewhere.
const clientsSQLite = `CREATE TABLE clients (lane INTEGER NOT NULL, seq INTEGER NOT NULL, host TEXT NOT NULL, bytes BLOB NOT NULL,
  recorded INTEGER NOT NULL, -- 0 while the segment's fate is not known
  PRIMARY KEY (lane, seq));`

// What blocks ask of us. A place is a repository: whose tasks compete.
const tasksSQLite = `
CREATE TABLE task_height (height INTEGER NOT NULL, turn INTEGER NOT NULL); -- one row, which orders all changes of tasks
INSERT INTO task_height (height, turn) VALUES (0, 0);
CREATE TABLE task_places (
  id INTEGER PRIMARY KEY, host TEXT NOT NULL, repository TEXT NOT NULL,
  turn INTEGER NOT NULL, -- grows: when it had its last
  waiting INTEGER NOT NULL, -- tasks that are not dead
  UNIQUE (host, repository));
CREATE INDEX task_places_turn ON task_places (turn, id) WHERE waiting > 0;
CREATE TABLE tasks (
  id INTEGER PRIMARY KEY AUTOINCREMENT, place INTEGER NOT NULL, kind TEXT NOT NULL, digest TEXT NOT NULL, subject TEXT NOT NULL, tag TEXT NOT NULL,
  noted INTEGER NOT NULL, attempts INTEGER NOT NULL, due INTEGER NOT NULL, -- ms; 0 at once
  wants TEXT NOT NULL, reason TEXT NOT NULL,
  dead INTEGER NOT NULL, -- 1: set aside
  owner TEXT NOT NULL, -- who tries it; '': nobody
  lease INTEGER NOT NULL, -- grows with every taking
  woken INTEGER NOT NULL, -- 1: what it may come to want came while it was tried
  UNIQUE (place, kind, digest, subject));
CREATE INDEX tasks_ready ON tasks (place, kind, due) WHERE dead = 0 AND owner = '';
CREATE INDEX tasks_due ON tasks (due) WHERE dead = 0 AND owner = '';
CREATE INDEX tasks_dead ON tasks (id) WHERE dead = 1;
CREATE INDEX tasks_wants ON tasks (wants, subject) WHERE wants <> '';
CREATE INDEX tasks_owned ON tasks (owner) WHERE owner <> '';
`

const (
	stateWaiting = 0
	stateSealed  = 1
	stateDead    = 2
)

func createSQLite(ctx context.Context, path string) error {
	if err := sqldb.CreateFile(path); err != nil {
		return err
	}
	db, err := openFile(path, 1, false)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // everything was committed, or failed, before
	name, err := newName()
	if err != nil {
		return err
	}
	secret, err := newSecret()
	if err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return sqldb.Wrap(err, "create queue")
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it has nothing to do
	if _, err := tx.ExecContext(ctx, schema); err != nil {
		return sqldb.Wrap(err, "create queue")
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO meta (name, lanes, done, secret) VALUES (?, 0, 0, ?)`, name, secret[:]); err != nil {
		return sqldb.Wrap(err, "create queue")
	}
	if err := tx.Commit(); err != nil {
		return sqldb.Wrap(err, "create queue")
	}
	return sqldb.SyncDir(filepath.Dir(path)) // the file's name must survive a power cut as well
}

// newName names a database, or a replica.
func newName() (string, error) {
	name := make([]byte, 4)
	if _, err := rand.Read(name); err != nil {
		return "", provenance.Wrap(provenance.Internal, err, "name queue")
	}
	return hex.EncodeToString(name), nil
}

func (q *Queue) openSQLite(ctx context.Context, path string) error {
	if _, err := os.Stat(path); err != nil {
		return provenance.Wrap(provenance.NotFound, err, "open queue (waybill-gateway init creates it)")
	}
	unlock, err := lock(path + ".lock")
	if err != nil {
		return err
	}
	q.unlock = unlock
	q.disk = &diskWatch{dir: filepath.Dir(path), min: q.options.MinFreeBytes, free: freeBytes}
	if q.writerD, err = openFile(path, 1, false); err != nil {
		return err
	}
	if q.readers, err = openFile(path, readerConns, true); err != nil {
		return err
	}
	ids := newIDTable(q.readers, q.options)
	lite := &sqliteBackend{readers: q.readers, ids: ids}
	q.backend = backend{lite, lite, ids, ids, lite}
	if err := q.upgradeSQLite(ctx); err != nil {
		return err
	}
	if err := q.load(ctx, func(context.Context, *sql.Tx) error { return nil }); err != nil {
		return err
	}
	if err := lite.number(ctx, q.writerD, q.options.Lanes); err != nil {
		return err
	}
	// Whoever had tasks is dead: the file is ours.
	if _, err := q.writerD.ExecContext(ctx, `UPDATE tasks SET owner = '' WHERE owner <> ''`); err != nil {
		return sqldb.Wrap(err, "open queue")
	}
	if err := ids.load(ctx, q.writerD); err != nil {
		return err
	}
	if err := q.start(ctx); err != nil {
		return err
	}
	ids.writer, ids.room, q.admit = q.writer, q.disk.check, ids.admit
	return nil
}

// upgradeSQLite brings an older file up to date. Version 1 did not know when
// an id was seen: such ids count as seen at the upgrade. Version 2 hid nothing,
// version 3 had no tasks, version 4 kept nothing that cannot be used, and up to
// version 5 ids were one table, which is brought into its new form while the
// queue works (idTable.convert).
func (q *Queue) upgradeSQLite(ctx context.Context) error {
	var version int
	if err := q.writerD.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&version); err != nil {
		return sqldb.Wrap(err, "open queue")
	}
	if version < 1 || version > schemaVersion {
		return mismatch(version, schemaVersion)
	}
	if version == schemaVersion {
		return nil
	}
	steps := ""
	if version < 2 {
		// SQLite keeps the default in the schema and rewrites no row.
		steps += fmt.Sprintf(`ALTER TABLE seen ADD COLUMN at INTEGER NOT NULL DEFAULT %d;`, time.Now().Unix())
	}
	if version < 3 {
		secret, err := newSecret()
		if err != nil {
			return err
		}
		steps += clientsSQLite + fmt.Sprintf(`ALTER TABLE meta ADD COLUMN secret BLOB NOT NULL DEFAULT x'%x';`, secret)
	}
	if version < 4 {
		steps += tasksSQLite
	}
	if version < 5 {
		steps += unusableSQLite
	}
	steps += `ALTER TABLE seen RENAME TO seen_old;` + seenSQLite
	// One transaction: a crash leaves the old version or the new one.
	_, err := q.writerD.ExecContext(ctx, `BEGIN IMMEDIATE; `+steps+fmt.Sprintf(` PRAGMA user_version = %d; COMMIT`, schemaVersion))
	return sqldb.Wrap(err, "upgrade queue")
}

// pageBytes is the size of a page: every commit writes the last page of each
// lane and of each table anew, so small ones halve what an event writes. A file
// of an older version keeps its pages of 4,096.
const pageBytes = 2048

// checkpointPages is how long the log gets, 40 MB.
const checkpointPages = 20_000

// Each connection has a cache of its own. Those that read go through a backlog once.
const (
	writerCache = 32 << 10 // KiB
	readerCache = 4 << 10
)

// openFile opens the file with the settings that the queue's promises rest on.
func openFile(path string, connections int, readOnly bool) (*sql.DB, error) {
	cache := writerCache
	if readOnly {
		cache = readerCache
	}
	return sqldb.OpenFile(path, sqldb.FileOptions{
		Synchronous: "FULL", BusyTimeout: 5 * time.Second, CacheKiB: cache, PageBytes: pageBytes, CheckpointPages: checkpointPages, Connections: connections, ReadOnly: readOnly, TempMemory: true,
	})
}
