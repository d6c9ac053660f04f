package index

import (
	"context"
	"database/sql"
	"strings"

	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// backend is what the two databases do differently. The questions, and what a
// block makes of the tables, are shared SQL, written with ?.
type backend interface {
	// begin opens a write transaction. Nobody else, in this process or another,
	// has one until it ends.
	begin(ctx context.Context) (session, error)
	// view opens a read transaction: what is read in it is of one moment.
	view(ctx context.Context) (reads, error)
	close() error
}

// session is one write transaction.
type session struct {
	keys
	tables
	progress
	rollback func() // after commit it does nothing
}

// keys is the mirror of the ledger's keys.
type keys interface {
	// load tells which keys the next get may ask for.
	load(keys []string) error
	// get reads a key as it stands in this transaction; a removed one may be there still.
	get(key string) (stored, error)
	// put writes a key; the value nil removes its row.
	put(key string, s stored) error
}

// tables are the others.
type tables interface {
	// exec may run later, at the latest before the next row or commit.
	exec(st *statement, args ...any) error
	// row reads the first row of a query; found is false when there is none.
	row(st *statement, args []any, into ...any) (found bool, err error)
}

// progress is how far the index has come.
type progress interface {
	head() (head, error)
	setHead(height uint64, hash []byte) error
	commit() error
}

// reads is one read transaction, which end ends.
type reads struct {
	questions
	head func() (head, error)
	end  func()
}

type questions interface {
	query(text string, args ...any) (*sql.Rows, error)
	// get reads keys with since, past and value, in any order; at most maxVariables.
	get(keys []string) (*sql.Rows, error)
}

// head is the row of meta.
type head struct {
	version int
	height  uint64
	hash    []byte
}

const selectHead = `SELECT version, height, hash FROM meta`

func (h *head) into() []any { return []any{&h.version, &h.height, &h.hash} }

// dollars writes PostgreSQL's parameters and values for SQLite's.
func dollars(query string) string {
	return sqldb.Dollars(strings.ReplaceAll(query, `x''`, `'\x'`))
}

// byteArgs makes the arguments PostgreSQL's: its text refuses what a ledger may
// hold (a NUL, bytes that are no UTF-8) and sorts by the server's language, so
// the columns are bytes, as SQLite compares them.
func byteArgs(args []any) []any {
	out := make([]any, len(args))
	for i, a := range args {
		if s, ok := a.(string); ok {
			out[i] = []byte(s)
			continue
		}
		out[i] = a
	}
	return out
}
