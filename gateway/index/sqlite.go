package index

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// createSQLite makes the file. A crash between the file and the commit leaves a
// file without tables, which Open refuses: delete it and create again.
func createSQLite(ctx context.Context, path string) error {
	if err := sqldb.CreateFile(path); err != nil {
		return err
	}
	db, err := openFile(path, "NORMAL", 1, false)
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // what matters is committed below
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return provenance.Wrap(provenance.Internal, err, "create index %s", path)
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	if _, err := tx.ExecContext(ctx, schema); err != nil {
		return provenance.Wrap(provenance.Internal, err, "create index %s", path)
	}
	if _, err := tx.ExecContext(ctx, firstHead, schemaVersion); err != nil {
		return provenance.Wrap(provenance.Internal, err, "create index %s", path)
	}
	if err := tx.Commit(); err != nil {
		return provenance.Wrap(provenance.Internal, err, "create index %s", path)
	}
	return nil
}

// Each connection has a cache of its own, in KiB: what readers have in common are the
// upper pages of the trees.
const (
	writerCache = 16_000
	readerCache = 8_000
)

// openFile opens the database. synchronous=NORMAL: a power cut may lose the last
// blocks, never the order of commits; the follower fetches them again. The log gets
// 16 MiB long before it is written into the file: a page that many blocks wrote is
// written once.
func openFile(path, synchronous string, connections int, readOnly bool) (*sql.DB, error) {
	cache := writerCache
	if readOnly {
		cache = readerCache
	}
	return sqldb.OpenFile(path, sqldb.FileOptions{
		Synchronous: synchronous, BusyTimeout: 10 * time.Second, CacheKiB: cache, CheckpointPages: 4000, Connections: connections, ReadOnly: readOnly,
	})
}

// liteEngine is SQLite: a call of a function each, so what costs is preparing.
type sqliteBackend struct {
	one, many string  // add a record, insertRows of them
	write     *sql.DB // one connection: SQLite has one writer anyway
	read      *sql.DB
	prepared  map[string]*sql.Stmt // the writer's, by text
	heads     *sql.Stmt            // of the readers
	gets      map[int]*sql.Stmt    // of the readers, by how many keys
	asked     map[string]*sql.Stmt // of the readers, by text: preparing costs more than running
}

func openSQLite(ctx context.Context, path, synchronous string) (backend, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, provenance.Errorf(provenance.NotFound, "index %s: there is none; create it with: waybill-gateway init", path)
	}
	write, err := openFile(path, synchronous, 1, false)
	if err != nil {
		return nil, err
	}
	read, err := openFile(path, synchronous, readers, true)
	if err != nil {
		_ = write.Close() // the first error is the one to tell
		return nil, err
	}
	e := &sqliteBackend{write: write, read: read}
	var h head
	if err = write.QueryRowContext(ctx, selectHead).Scan(h.into()...); err != nil {
		err = provenance.Wrap(provenance.Conflict, err, "not an index; delete it and run: waybill-gateway reindex")
	}
	if err == nil {
		err = fits(h.version)
	}
	if err == nil {
		err = e.prepare(ctx)
	}
	if err != nil {
		_ = e.close() // the first error is the one to tell
		return nil, provenance.Wrap(provenance.CodeOf(err), err, "index %s", path)
	}
	return e, nil
}

func (e *sqliteBackend) prepare(ctx context.Context) (err error) {
	st := applying()
	e.one, e.many = st.record.text, manyRows(st.record.text)
	e.prepared = map[string]*sql.Stmt{}
	for _, s := range append(st.all(), &statement{text: e.many}, &statement{text: getOne}, &statement{text: putOne}, &statement{text: dropOne}, &statement{text: selectHead}, &statement{text: updateHead}) {
		if e.prepared[s.text], err = e.write.PrepareContext(ctx, s.text); err != nil { //nolint:sqlclosecheck // closed with the database
			return provenance.Wrap(provenance.Internal, err, "prepare %q", s.text)
		}
	}
	if e.heads, err = e.read.PrepareContext(ctx, selectHead); err != nil {
		return provenance.Wrap(provenance.Internal, err, "prepare")
	}
	e.asked = map[string]*sql.Stmt{}
	for _, text := range askedOften() {
		if e.asked[text], err = e.read.PrepareContext(ctx, text); err != nil { //nolint:sqlclosecheck // closed with the database
			return provenance.Wrap(provenance.Internal, err, "prepare %q", text)
		}
	}
	e.gets = map[int]*sql.Stmt{}
	for _, n := range getSizes() {
		if e.gets[n], err = e.read.PrepareContext(ctx, getMany(n)); err != nil { //nolint:sqlclosecheck // closed with the database
			return provenance.Wrap(provenance.Internal, err, "prepare the read of %d keys", n)
		}
	}
	return nil
}

func (e *sqliteBackend) close() error { return errors.Join(e.read.Close(), e.write.Close()) }

func (e *sqliteBackend) begin(ctx context.Context) (session, error) {
	tx, err := e.write.BeginTx(ctx, nil)
	if err != nil {
		return session{}, err
	}
	s := &sqliteSession{backend: e, tx: tx, stmts: map[string]*sql.Stmt{}, ctx: func() context.Context { return ctx }}
	return session{s, s, s, func() { _ = tx.Rollback() }}, nil
}

type sqliteSession struct {
	backend *sqliteBackend
	tx      *sql.Tx
	stmts   map[string]*sql.Stmt
	ctx     func() context.Context
	records []any // values of rows that wait for others, in one statement
}

// insertRows is how many records go in one statement: most of what a push costs
// here is the call of it.
const insertRows = 32

// manyRows writes insertRows rows with what writes one.
func manyRows(one string) string {
	at := strings.LastIndex(one, "(?")
	return one + strings.Repeat(", "+one[at:], insertRows-1)
}

func (s *sqliteSession) stmt(text string) *sql.Stmt {
	st, ok := s.stmts[text]
	if !ok {
		st = s.tx.StmtContext(s.ctx(), s.backend.prepared[text]) // closed with the transaction
		s.stmts[text] = st
	}
	return st
}

func (s *sqliteSession) run(text string, args ...any) error {
	if _, err := s.stmt(text).ExecContext(s.ctx(), args...); err != nil { //nolint:sqlclosecheck // the transaction closes it
		return provenance.Wrap(provenance.Internal, err, "index: write")
	}
	return nil
}

func (s *sqliteSession) exec(st *statement, args ...any) error {
	if !st.gathers {
		return s.run(st.text, args...)
	}
	if s.records = append(s.records, args...); len(s.records) < insertRows*len(args) {
		return nil
	}
	err := s.run(s.backend.many, s.records...)
	s.records = s.records[:0]
	return err
}

// flush writes the rows that wait for others.
func (s *sqliteSession) flush() error {
	for columns := strings.Count(s.backend.one, "?"); len(s.records) > 0; s.records = s.records[columns:] {
		if err := s.run(s.backend.one, s.records[:columns]...); err != nil {
			return err
		}
	}
	s.records = nil
	return nil
}

func (s *sqliteSession) row(st *statement, args []any, into ...any) (bool, error) {
	err := s.stmt(st.text).QueryRowContext(s.ctx(), args...).Scan(into...) //nolint:sqlclosecheck // the transaction closes it
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, provenance.Wrap(provenance.Internal, err, "index: read")
	}
	return true, nil
}

func (s *sqliteSession) head() (h head, err error) {
	err = s.stmt(selectHead).QueryRowContext(s.ctx()).Scan(h.into()...) //nolint:sqlclosecheck // the transaction closes it
	return h, err
}

func (s *sqliteSession) setHead(height uint64, hash []byte) error {
	if err := s.flush(); err != nil {
		return err
	}
	return s.run(updateHead, height, hash)
}

func (s *sqliteSession) load([]string) error { return nil }

func (s *sqliteSession) get(key string) (v stored, err error) {
	found, err := s.row(&statement{text: getOne}, []any{[]byte(key)}, &v.since, &v.past, &v.value)
	if found {
		v.value = notNil(v.value)
	}
	return v, err
}

func (s *sqliteSession) put(key string, v stored) error {
	if v.value == nil {
		return s.run(dropOne, []byte(key))
	}
	return s.run(putOne, []byte(key), v.since, v.past, v.value)
}

func (s *sqliteSession) commit() error { return s.tx.Commit() }

func (e *sqliteBackend) view(ctx context.Context) (reads, error) {
	tx, err := e.read.BeginTx(ctx, nil)
	if err != nil {
		return reads{}, err
	}
	r := &sqliteReads{backend: e, tx: tx, ctx: func() context.Context { return ctx }}
	return reads{r, r.head, func() { _ = tx.Rollback() }}, nil // nothing was written
}

type sqliteReads struct {
	backend *sqliteBackend
	tx      *sql.Tx
	ctx     func() context.Context
}

func (r *sqliteReads) head() (h head, err error) {
	err = r.tx.StmtContext(r.ctx(), r.backend.heads).QueryRowContext(r.ctx()).Scan(h.into()...) //nolint:sqlclosecheck // the transaction closes it
	return h, err
}

func (r *sqliteReads) query(text string, args ...any) (*sql.Rows, error) {
	if st, ok := r.backend.asked[text]; ok {
		return r.tx.StmtContext(r.ctx(), st).QueryContext(r.ctx(), args...) //nolint:sqlclosecheck // the transaction closes it
	}
	return r.tx.QueryContext(r.ctx(), text, args...)
}

func (r *sqliteReads) get(keys []string) (*sql.Rows, error) {
	args := make([]any, sizeFor(len(keys)))
	for i := range args {
		args[i] = []byte(keys[min(i, len(keys)-1)]) // the last one fills the rest
	}
	return r.tx.StmtContext(r.ctx(), r.backend.gets[len(args)]).QueryContext(r.ctx(), args...) //nolint:sqlclosecheck // the transaction closes it
}
