package index

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"net/url"
	"os"

	_ "modernc.org/sqlite" // the "sqlite" driver

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// schemaVersion changes with every change of schema or of what Apply derives:
// an index of another version is rebuilt, never migrated.
const schemaVersion = 3

// kv mirrors the chaincode's state. The other tables are derived from it and
// from the blocks: what a question needs in another order than that of the keys.
// A release stands at its latest position, a promotion and a proposal at their first. Digests are the
// algorithm's byte and the raw hash. A row of pulled says that a segment holds
// pulls of an image of a repository; they are chained from the latest back, so
// that they are only ever appended: a key that opens with the digest would dirty
// a page for each image that a segment names. Times are nanoseconds since 1970, UTC.
const schema = `
CREATE TABLE meta (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL, height INTEGER NOT NULL, hash BLOB NOT NULL);
CREATE TABLE kv (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE txs (block INTEGER, tx INTEGER, id TEXT NOT NULL, at INTEGER NOT NULL, msp TEXT NOT NULL, name TEXT NOT NULL,
	PRIMARY KEY (block, tx)) WITHOUT ROWID;
CREATE TABLE records (block INTEGER, tx INTEGER, seq INTEGER, kind TEXT NOT NULL,
	host TEXT NOT NULL, repository TEXT NOT NULL, tag TEXT NOT NULL, digest BLOB NOT NULL, previous BLOB NOT NULL, stage TEXT NOT NULL,
	media_type TEXT NOT NULL, actor TEXT NOT NULL, occurred_at INTEGER NOT NULL, detail TEXT NOT NULL, record BLOB,
	PRIMARY KEY (block, tx, seq)) WITHOUT ROWID;
CREATE INDEX records_by_digest ON records (digest, block, tx, seq) WHERE digest <> x'';
CREATE INDEX records_by_place ON records (host, repository, block, tx, seq, tag) WHERE repository <> '';
CREATE TABLE promotions (key BLOB PRIMARY KEY, block INTEGER NOT NULL, tx INTEGER NOT NULL, seq INTEGER NOT NULL,
	stage TEXT NOT NULL, host TEXT NOT NULL, repository TEXT NOT NULL, digest BLOB NOT NULL, status TEXT NOT NULL, attempt INTEGER NOT NULL, record BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX promotions_by_position ON promotions (block, tx, seq);
CREATE INDEX promotions_by_status ON promotions (status, block, tx, seq);
CREATE INDEX promotions_by_digest ON promotions (digest, block, tx, seq);
CREATE TABLE proposals (key BLOB PRIMARY KEY, block INTEGER NOT NULL, tx INTEGER NOT NULL, seq INTEGER NOT NULL,
	status TEXT NOT NULL, record BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX proposals_by_status ON proposals (status, block, tx, seq);
CREATE INDEX proposals_by_position ON proposals (block, tx, seq);
CREATE TABLE releases (key BLOB PRIMARY KEY, block INTEGER NOT NULL, tx INTEGER NOT NULL, seq INTEGER NOT NULL,
	owing INTEGER NOT NULL, record BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX releases_by_position ON releases (block, tx, seq);
CREATE INDEX releases_owing ON releases (block, tx, seq) WHERE owing = 1;
CREATE TABLE referrers (subject BLOB, host TEXT, repository TEXT, digest BLOB,
	PRIMARY KEY (subject, host, repository, digest)) WITHOUT ROWID;
CREATE TABLE pulls (digest BLOB, host TEXT, repository TEXT, count INTEGER NOT NULL, last INTEGER NOT NULL, latest INTEGER NOT NULL,
	PRIMARY KEY (digest, host, repository)) WITHOUT ROWID;
CREATE TABLE segments (block INTEGER, tx INTEGER, host TEXT NOT NULL, key BLOB NOT NULL, PRIMARY KEY (block, tx)) WITHOUT ROWID;
CREATE TABLE pulled (id INTEGER PRIMARY KEY, block INTEGER NOT NULL, tx INTEGER NOT NULL, last INTEGER NOT NULL, previous INTEGER);
CREATE TABLE organisations (msp TEXT PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID;
`

// readers is how many reads run beside the one writer.
const readers = 4

// Index is an open index. It is safe for concurrent use: one Apply at a time,
// and any number of Views beside it.
type Index struct {
	path  string
	write *sql.DB // one connection: SQLite has one writer anyway
	read  *sql.DB
	st    statements
	head  *sql.Stmt         // of the readers
	gets  map[int]*sql.Stmt // of the readers, by how many keys
}

// Create makes an empty index at path. It is a Conflict error when there is a
// file already.
func Create(ctx context.Context, path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return provenance.Errorf(provenance.Conflict, "index %s: there is one already", path)
	}
	if err != nil {
		return provenance.Wrap(provenance.Internal, err, "create index %s", path)
	}
	if err := f.Close(); err != nil {
		return provenance.Wrap(provenance.Internal, err, "create index %s", path)
	}
	db, err := open(path, 1, "")
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // what matters is committed below
	// A crash between the file and this commit leaves a file without tables,
	// which Open refuses: delete it and create again.
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return provenance.Wrap(provenance.Internal, err, "create index %s", path)
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	if _, err := tx.ExecContext(ctx, schema); err != nil {
		return provenance.Wrap(provenance.Internal, err, "create index %s", path)
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO meta VALUES (1, ?, 0, x'')`, schemaVersion); err != nil {
		return provenance.Wrap(provenance.Internal, err, "create index %s", path)
	}
	if err := tx.Commit(); err != nil {
		return provenance.Wrap(provenance.Internal, err, "create index %s", path)
	}
	return nil
}

// Open opens the index at path: NotFound when there is none, Conflict when it
// was made by another version of this program (delete it and reindex).
func Open(ctx context.Context, path string) (*Index, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, provenance.Errorf(provenance.NotFound, "index %s: there is none; create it with: waybill-gateway init", path)
	}
	write, err := open(path, 1, "")
	if err != nil {
		return nil, err
	}
	read, err := open(path, readers, "&_pragma=query_only(1)")
	if err != nil {
		_ = write.Close() // the first error is the one to tell
		return nil, err
	}
	x := &Index{path: path, write: write, read: read}
	if err := x.prepare(ctx); err != nil {
		_ = x.Close() // the first error is the one to tell
		return nil, err
	}
	return x, nil
}

// Close closes the index.
func (x *Index) Close() error { return errors.Join(x.read.Close(), x.write.Close()) }

func (x *Index) prepare(ctx context.Context) error {
	var version int
	if err := x.write.QueryRowContext(ctx, `SELECT version FROM meta`).Scan(&version); err != nil {
		return provenance.Wrap(provenance.Conflict, err, "index %s: not an index; delete it and run: waybill-gateway reindex", x.path)
	}
	if version != schemaVersion {
		return provenance.Errorf(provenance.Conflict, "index %s: version %d, this program reads %d; delete it and run: waybill-gateway reindex", x.path, version, schemaVersion)
	}
	var err error
	if x.st, err = prepare(ctx, x.write); err != nil {
		return err
	}
	if x.head, err = x.read.PrepareContext(ctx, `SELECT height, hash FROM meta`); err != nil {
		return provenance.Wrap(provenance.Internal, err, "index %s: prepare", x.path)
	}
	x.gets, err = prepareGets(ctx, x.read)
	return err
}

// open opens the database. synchronous=NORMAL: a power cut may lose the last
// blocks, never the order of commits; the follower fetches them again.
func open(path string, connections int, more string) (*sql.DB, error) {
	dsn := (&url.URL{Scheme: "file", OmitHost: true, Path: path}).String() +
		"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=cache_size(-16000)" + more
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, provenance.Wrap(provenance.Internal, err, "open index %s", path)
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}
