package queue

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// Event ids on SQLite are a log-structured merge tree: an id is a hash, and a
// table in the order of hashes costs a page of its own for every event as soon
// as it is larger than the cache.
//
//	seen         the log: a row for each transaction, with all that it noted
//	memtable     the same in memory, from id to mark; filled again at a start
//	seen_runs    what a full memtable became: a run, in the order of ids ...
//	seen_chunks  ... in chunks of one page each
//	seen_old     the table of versions 1 to 5, until it is a run
//
// Runs of one level are merged into one of the next (seen_compact.go). What is
// newer counts: memtable, then runs from the youngest to the oldest. Each run
// has a Bloom filter in memory, so that a new id reads hardly any chunk.
//
// Only commits of the writer change any of it. A run counts from the
// commit of its row on, which deletes what it was made of; chunks without
// such a row are what a crash left, and are deleted after the next start.
const seenSQLite = `
CREATE TABLE seen (n INTEGER PRIMARY KEY, ids BLOB NOT NULL); -- entries, see entry
CREATE TABLE seen_runs (
  run INTEGER PRIMARY KEY,
  age INTEGER NOT NULL UNIQUE, -- grows: what is in a run is older than what is in one of a higher age
  ids INTEGER NOT NULL, oldest INTEGER NOT NULL, newest INTEGER NOT NULL, -- when they were seen, in seconds
  firsts BLOB NOT NULL, -- the first id of each chunk
  filter BLOB NOT NULL);
CREATE TABLE seen_chunks (id INTEGER PRIMARY KEY, ids BLOB NOT NULL); -- id: run * chunkNumbers + number
`

// idTable is the table of event ids.
type idTable struct {
	readers *sql.DB
	writer  *writer
	logger  *slog.Logger
	life    time.Duration // how long an id is to be remembered; 0: for ever
	limit   int           // ids in the memtable

	chunkBytes int                   // the entries that fill a page
	room       func(time.Time) error // tells whether there is disk to write to

	// Touched in the writer's goroutine. behind are full, oldest first, and wait until
	// frozen is a run; backlog is how many they are, for others to know.
	memtable *memtable
	behind   []*memtable
	backlog  atomic.Int32

	// frozen becomes a run; nobody changes it.
	frozen atomic.Pointer[memtable]
	caught chan struct{} // a memtable became a run: who waits looks again
	// failing says that no runs are made, until they are: then nobody is kept waiting for them.
	failing atomic.Bool
	// runs, oldest first, and old change in the writer's goroutine, and only for
	// the holder of compacting.
	runs       []*run
	old        oldTable
	compacting sync.Mutex
	lastRun    int64
	work       chan struct{} // something may be due for compaction

	addLog, chunk, oldBody *sql.Stmt // on the writer's connection
	addChunk, addChunks    *sql.Stmt
}

func newIDTable(readers *sql.DB, o Options) *idTable {
	return &idTable{readers: readers, logger: o.Log, life: o.Remember, limit: o.memtable, memtable: newMemtable(), caught: make(chan struct{}, 1), work: make(chan struct{}, 1)}
}

func (t *idTable) prepare(ctx context.Context, conn *sql.Conn, e dialect) error {
	all := []prepared{
		{&t.addLog, `INSERT INTO seen (ids) VALUES (?)`},
		{&t.chunk, `SELECT ids FROM seen_chunks WHERE id = ?`},
		{&t.addChunk, addChunk(1)},
		{&t.addChunks, addChunk(chunkRows)},
	}
	if t.old == oldCounts {
		all = append(all, prepared{&t.oldBody, `SELECT body, at FROM seen_old WHERE id = ?`})
	}
	return prepareAll(ctx, conn, e, all)
}

// load fills the memory.
func (t *idTable) load(ctx context.Context, on *sql.DB) (err error) {
	var page int
	if err := on.QueryRowContext(ctx, `PRAGMA page_size`).Scan(&page); err != nil {
		return sqldb.Wrap(err, "read event ids")
	}
	t.chunkBytes = (page - pageRest) / entrySize * entrySize
	if t.runs, err = readRuns(ctx, on); err != nil {
		return err
	}
	for _, r := range t.runs {
		t.lastRun = max(t.lastRun, r.id)
	}
	var last sql.NullInt64
	if err := on.QueryRowContext(ctx, `SELECT max(id) FROM seen_chunks`).Scan(&last); err != nil {
		return sqldb.Wrap(err, "read event ids")
	}
	t.lastRun = max(t.lastRun, last.Int64/chunkNumbers)
	var tables int
	if err := on.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema WHERE name = 'seen_old'`).Scan(&tables); err != nil {
		return sqldb.Wrap(err, "read event ids")
	}
	if tables > 0 {
		t.old = oldCounts
		if len(t.runs) > 0 && t.runs[0].age == oldAge {
			t.old = oldDeleted
		}
	}
	log, err := readLog(ctx, on, t.limit)
	if err != nil {
		return err
	}
	for _, m := range log {
		t.memtable = m
		t.freezeFull()
	}
	return nil
}

func damagedIDs(format string, args ...any) error {
	return provenance.Errorf(provenance.Internal, "the event ids are damaged in the queue: "+format, args...)
}

// stored finds what is committed of an id. It belongs to the writer's goroutine.
func (t *idTable) stored(ctx context.Context, id provenance.EventID) (mark, error) {
	if m, ok := t.memtable.marks[id]; ok {
		return m, nil
	}
	for _, full := range slices.Backward(t.behind) {
		if m, ok := full.marks[id]; ok {
			return m, nil
		}
	}
	if f := t.frozen.Load(); f != nil {
		if m, ok := f.marks[id]; ok {
			return m, nil
		}
	}
	for _, r := range slices.Backward(t.runs) {
		if !r.filter.has(id) {
			continue
		}
		if m, found, err := t.inRun(ctx, r, id); err != nil || found {
			return m, err
		}
	}
	if t.old != oldCounts {
		return mark{}, nil
	}
	var body []byte
	var at int64
	err := t.oldBody.QueryRowContext(ctx, id[:]).Scan(&body, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return mark{}, nil
	}
	return newMark(body, at), sqldb.Wrap(err, "read event ids")
}

func (t *idTable) inRun(ctx context.Context, r *run, id provenance.EventID) (m mark, found bool, err error) {
	n, found := slices.BinarySearchFunc(r.firsts, id, compareIDs)
	if !found {
		n-- // the last chunk that begins before it
	}
	if n < 0 {
		return mark{}, false, nil
	}
	var ids []byte
	if err := t.chunk.QueryRowContext(ctx, r.chunk(n)).Scan(&ids); err != nil {
		return mark{}, false, sqldb.Wrap(err, "read event ids")
	}
	if len(ids)%entrySize != 0 {
		return mark{}, false, damagedIDs("chunk %d of run %d has %d bytes", n, r.id, len(ids))
	}
	low, high := 0, len(ids)/entrySize
	for low < high {
		middle := (low + high) / 2
		e := readEntry(ids[middle*entrySize:])
		switch c := compareIDs(e.id, id); {
		case c == 0:
			return e.mark, true, nil
		case c < 0:
			low = middle + 1
		default:
			high = middle
		}
	}
	return mark{}, false, nil
}

// known finds an id in the transaction, or else in what is committed.
func (t *idTable) known(b *batch, id provenance.EventID) (mark, bool, error) {
	if m, ok := b.ids[id]; ok {
		return m, m.at > 0, nil
	}
	m, err := t.stored(b.ctx, id)
	return m, m.at > 0, err
}

func (t *idTable) note(b *batch, id provenance.EventID, m mark) {
	if b.ids == nil {
		b.ids = map[provenance.EventID]mark{}
	}
	b.ids[id] = m
}

// noteID is the backend's.
func (t *idTable) noteID(b *batch, id, body []byte, at int64) (fresh bool, err error) {
	key := provenance.EventID(id)
	m, known, err := t.known(b, key)
	if err != nil {
		return false, err
	}
	if known {
		if !m.sameBody(body) {
			return false, otherBody(id)
		}
		return false, nil
	}
	t.note(b, key, newMark(body, at))
	return true, nil
}

// forgetIDs takes back what the transaction noted, and discards what is committed.
func (t *idTable) forgetIDs(b *batch, ids [][]byte) error {
	for _, id := range ids {
		key := provenance.EventID(id)
		m, err := t.stored(b.ctx, key)
		if err != nil {
			return err
		}
		if delete(b.ids, key); m.at > 0 {
			t.note(b, key, mark{})
		}
	}
	return nil
}

func (t *idTable) prefetch(*batch, []*op) error { return nil }

// flush writes what the transaction noted to the log.
func (t *idTable) flush(b *batch) error {
	if len(b.ids) == 0 {
		return nil
	}
	row := make([]byte, 0, len(b.ids)*entrySize)
	for id, m := range b.ids {
		row = entry{id, m}.append(row)
	}
	result, err := t.addLog.ExecContext(b.ctx, row)
	if err == nil {
		b.logRow, err = result.LastInsertId()
	}
	return sqldb.Wrap(err, "note event ids")
}

// committed brings what the transaction noted into the memtable.
func (t *idTable) committed(b *batch) {
	if len(b.ids) == 0 {
		return
	}
	for id, m := range b.ids {
		t.memtable.add(id, m)
	}
	t.memtable.upto = b.logRow
	t.freezeFull()
}

// markKnown notes ids that are not known, whatever their bodies.
func (t *idTable) markKnown(b *batch, ids []provenance.EventID) error {
	for _, id := range ids {
		_, known, err := t.known(b, id)
		if err != nil {
			return err
		}
		if !known {
			t.note(b, id, newMark(nil, b.now.Unix()))
		}
	}
	return nil
}

// each calls f with every id that is known, in ascending order.
func (t *idTable) each(ctx context.Context, _ *Queue, f func(provenance.EventID) error) error {
	// A transaction, so that all is read as of one moment.
	tx, err := t.readers.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return sqldb.Wrap(err, "read event ids")
	}
	defer tx.Rollback() //nolint:errcheck // it only read
	sources, err := sourcesIn(ctx, tx)
	if err != nil {
		return err
	}
	for next := merged(sources); ; {
		e, more, err := next()
		if err != nil || !more {
			return err
		}
		if e.at > 0 {
			if err := f(e.id); err != nil {
				return err
			}
		}
	}
}

// sourcesIn are all that says something of ids, the newest first.
func sourcesIn(ctx context.Context, tx *sql.Tx) ([]cursor, error) {
	log, err := readLog(ctx, tx, memtableIDs)
	if err != nil {
		return nil, err
	}
	at := &idTable{}
	if at.runs, err = readRuns(ctx, tx); err != nil {
		return nil, err
	}
	var old int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema WHERE name = 'seen_old'`).Scan(&old); err != nil {
		return nil, sqldb.Wrap(err, "read event ids")
	}
	var sources []cursor
	for _, m := range slices.Backward(log) {
		sources = append(sources, cursorOf(m.sorted()))
	}
	for _, r := range slices.Backward(at.runs) {
		sources = append(sources, r.cursor(ctx, tx))
	}
	if old > 0 && (len(at.runs) == 0 || at.runs[0].age != oldAge) {
		sources = append(sources, oldCursor(ctx, tx))
	}
	return sources, nil
}
