package index

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// engine is what the two databases do differently. The questions, and what a
// block makes of the tables, are shared SQL, written with ?.
type engine interface {
	// begin opens a write transaction. Nobody else, in this process or another,
	// has one until it ends.
	begin(ctx context.Context) (session, error)
	// view opens a read transaction: what is read in it is of one moment.
	view(ctx context.Context) (reads, error)
	close() error
}

// session is one write transaction.
type session interface {
	head() (head, error)
	setHead(height uint64, hash []byte) error
	// load tells which keys the next get may ask for.
	load(keys []string) error
	// get reads a key as it stands in this transaction; nil when absent.
	get(key string) ([]byte, error)
	put(key string, value []byte) error
	drop(key string) error
	// exec may run later, at the latest before the next row or commit.
	exec(st *statement, args ...any) error
	// row reads the first row of a query; found is false when there is none.
	row(st *statement, args []any, into ...any) (found bool, err error)
	commit() error
	rollback()
}

// reads is one read transaction.
type reads interface {
	head() (head, error)
	query(text string, args ...any) (*sql.Rows, error)
	// get reads keys and their values, in any order; at most maxVariables.
	get(keys []string) (*sql.Rows, error)
	// recent is a recursive query's definition of recent (block, tx): the segments
	// with pulls of the images that a condition on pulls p takes, the last recorded
	// first. Its values: the condition's, a time, a block and a tx, a limit.
	recent(image string) string
	end()
}

// head is the row of meta.
type head struct {
	version int
	height  uint64
	hash    []byte
}

const selectHead = `SELECT version, height, hash FROM meta`

func (h *head) into() []any { return []any{&h.version, &h.height, &h.hash} }

// wrap gives a database error its code.
func wrap(err error, format string, args ...any) error {
	return provenance.Wrap(databaseCode(err), err, format, args...)
}

// databaseCode says what an error means: WB_UNAVAILABLE for a server that is
// not there, is busy, or rolled the transaction back because of others;
// WB_FULL for its full disk; else WB_INTERNAL.
func databaseCode(err error) provenance.Code {
	var server *pgconn.PgError
	if errors.As(err, &server) {
		switch class := server.Code[:min(2, len(server.Code))]; {
		case server.Code == "53100": // disk_full
			return provenance.Full
		// connection_exception, insufficient_resources; admin_shutdown and its kin; a standby;
		// lock_not_available, query_canceled, serialization_failure, deadlock_detected, idle_in_transaction_session_timeout
		case class == "08" || class == "53", strings.HasPrefix(server.Code, "57P"), server.Code == "25006",
			server.Code == "55P03", server.Code == "57014", server.Code == "40001", server.Code == "40P01", server.Code == "25P03":
			return provenance.Unavailable
		}
		return provenance.Internal
	}
	var refused *pgconn.ConnectError
	var network *net.OpError
	if errors.As(err, &refused) || errors.As(err, &network) || errors.Is(err, net.ErrClosed) || errors.Is(err, driver.ErrBadConn) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || pgconn.SafeToRetry(err) {
		return provenance.Unavailable
	}
	return provenance.Internal
}

// serverCode returns PostgreSQL's five letters, or "".
func serverCode(err error) string {
	var server *pgconn.PgError
	if errors.As(err, &server) {
		return server.Code
	}
	return ""
}

// dollars writes PostgreSQL's parameters and values for SQLite's.
func dollars(query string) string {
	var out strings.Builder
	for i, part := range strings.Split(strings.ReplaceAll(query, `x''`, `'\x'`), "?") {
		if i > 0 {
			fmt.Fprintf(&out, "$%d", i)
		}
		out.WriteString(part)
	}
	return out.String()
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
