package index

import (
	"context"
	"sync"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// schemaVersion changes with every change of schema or of what Apply derives:
// an index of another version is rebuilt, never migrated.
const schemaVersion = 6

// kv mirrors the chaincode's state as it stands on the ledger: places and tags are
// read from the pages of their repository's directory, as a peer reads them. The
// other tables are derived from it and from the blocks: what a question needs in
// another order than that of the keys.
//
// since is twice the block that wrote the value, and one more where it removed the
// key; past is the row of versions that has what stood there before, 0 for nothing. A
// version has the same, and in jump the number of an older one, so that a long row of
// them is walked in few steps (see versions.go).
//
// txs has the transactions of which something is told, and the number of their
// first record; records are numbered in the order of the ledger. What is written
// per event goes to the end of a table: records by their number, and what finds
// them by image, repository and tag into runs (see entries.go and runs.go), in
// chunks that each fit a page. waiting holds what an organisation asked of others
// and has not got, by the kind of key: open promotions and proposals, waivers (id)
// and break-glass releases without a review; until 0 is for ever.
// A release stands at its latest position, a promotion and a proposal at their first. Digests are the
// algorithm's byte and the raw hash. segments are those that hold pulls. Times are nanoseconds since 1970, UTC.
const schema = `
CREATE TABLE meta (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL, height INTEGER NOT NULL, hash BLOB NOT NULL);
CREATE TABLE kv (key BLOB PRIMARY KEY NOT NULL, since INTEGER NOT NULL, past INTEGER NOT NULL, value BLOB NOT NULL);
CREATE TABLE versions (number INTEGER PRIMARY KEY, since INTEGER NOT NULL, past INTEGER NOT NULL, jump INTEGER NOT NULL, depth INTEGER NOT NULL, value BLOB NOT NULL);
CREATE TABLE txs (block INTEGER, tx INTEGER, id TEXT NOT NULL, at INTEGER NOT NULL, msp TEXT NOT NULL, name TEXT NOT NULL, first INTEGER NOT NULL,
	PRIMARY KEY (block, tx)) WITHOUT ROWID;
CREATE TABLE repositories (id INTEGER PRIMARY KEY, host TEXT NOT NULL, repository TEXT NOT NULL, tagged INTEGER NOT NULL);
CREATE UNIQUE INDEX repositories_by_name ON repositories (host, repository);
CREATE TABLE records (number INTEGER PRIMARY KEY, block INTEGER NOT NULL, tx INTEGER NOT NULL, repository INTEGER NOT NULL, kind TEXT NOT NULL,
	tag TEXT NOT NULL, digest BLOB NOT NULL, previous BLOB NOT NULL, stage TEXT NOT NULL,
	media_type TEXT NOT NULL, actor TEXT NOT NULL, occurred_at INTEGER NOT NULL, detail TEXT NOT NULL, record BLOB);
CREATE TABLE runs (id INTEGER PRIMARY KEY, entries INTEGER NOT NULL, target INTEGER NOT NULL, upto BLOB NOT NULL, credit INTEGER NOT NULL);
CREATE TABLE chunks (run INTEGER NOT NULL, first BLOB NOT NULL, data BLOB NOT NULL);
CREATE UNIQUE INDEX chunks_by_key ON chunks (run, first);
CREATE TABLE promotions (key BLOB PRIMARY KEY, block INTEGER NOT NULL, tx INTEGER NOT NULL, seq INTEGER NOT NULL,
	stage TEXT NOT NULL, host TEXT NOT NULL, repository TEXT NOT NULL, digest BLOB NOT NULL, status TEXT NOT NULL, at INTEGER NOT NULL, record BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX promotions_by_position ON promotions (block, tx, seq);
CREATE INDEX promotions_by_status ON promotions (status, block, tx, seq);
CREATE INDEX promotions_by_digest ON promotions (digest, block, tx, seq);
CREATE TABLE proposals (key BLOB PRIMARY KEY, block INTEGER NOT NULL, tx INTEGER NOT NULL, seq INTEGER NOT NULL,
	status TEXT NOT NULL, record BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX proposals_by_status ON proposals (status, block, tx, seq);
CREATE INDEX proposals_by_position ON proposals (block, tx, seq);
CREATE TABLE releases (key BLOB PRIMARY KEY, block INTEGER NOT NULL, tx INTEGER NOT NULL, seq INTEGER NOT NULL,
	record BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX releases_by_position ON releases (block, tx, seq);
CREATE TABLE waiting (key BLOB, id TEXT, kind TEXT NOT NULL, msp TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL, PRIMARY KEY (key, id)) WITHOUT ROWID;
CREATE INDEX waiting_by_asker ON waiting (kind, msp, since, key, id, until);
CREATE TABLE segments (number INTEGER PRIMARY KEY, block INTEGER NOT NULL, tx INTEGER NOT NULL, host INTEGER NOT NULL, key BLOB NOT NULL);
CREATE INDEX segments_by_position ON segments (block, tx);
CREATE INDEX segments_by_host ON segments (host, number);
CREATE TABLE organisations (msp TEXT PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID;
`

// readers is how many reads run beside the one writer.
const readers = 4

// Index is an open index. It is safe for concurrent use: one Apply at a time,
// and any number of Views beside it.
type Index struct {
	name    string // for errors: a path, or a schema of a database
	backend backend
	st      *statements

	mu   sync.Mutex // held by who applies; guards kept
	kept *memory    // nil where it is to be read
}

// Create makes an empty index at where: the path of a SQLite file, or the URL of
// a PostgreSQL database (postgres://...). It is a Conflict error when there is
// one already.
//
// In PostgreSQL the tables live in the schema waybill_index, or in the one that
// the URL's search_path names, and appear all at once. The URL is a secret: no
// error repeats it.
func Create(ctx context.Context, where string) error {
	if sqldb.IsURL(where) {
		return createPostgres(ctx, where)
	}
	return createSQLite(ctx, where)
}

// Open opens the index at where: NotFound when there is none, Conflict when it
// was made by another version of this program (delete it and reindex),
// Unavailable when the server does not answer. A PostgreSQL index is shared by
// all that open it: each block is applied by one of them.
func Open(ctx context.Context, where string) (*Index, error) {
	x := &Index{name: where, st: applying()}
	var err error
	if sqldb.IsURL(where) {
		x.backend, x.name, err = openPostgres(ctx, where)
	} else {
		x.backend, err = openSQLite(ctx, where, "NORMAL")
	}
	if err != nil {
		return nil, err
	}
	return x, nil
}

// Close closes the index.
func (x *Index) Close() error { return x.backend.close() }

// fits refuses the tables of another version. Every transaction asks: replicas
// may be of two versions while they are replaced one by one.
func fits(version int) error {
	if version == schemaVersion {
		return nil
	}
	return provenance.Errorf(provenance.Conflict, "version %d, this program reads %d; delete it and run: waybill-gateway reindex", version, schemaVersion)
}
