package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Code says what a database's error means: WB_FULL for a full disk,
// WB_UNAVAILABLE for a lock that was not given in time, a server that is not
// there or is busy, a transaction rolled back because of others, or a caller
// that left; else WB_INTERNAL.
func Code(err error) provenance.Code {
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		switch lite.Code() & 0xff {
		case sqlite3.SQLITE_FULL:
			return provenance.Full
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
			return provenance.Unavailable
		}
		return provenance.Internal
	}
	if IsDisconnected(err) || IsContended(err) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return provenance.Unavailable
	}
	switch code := state(err); {
	case code == "53100": // disk_full
		return provenance.Full
	case strings.HasPrefix(code, "53"), code == "55P03", code == "57014": // insufficient_resources, lock_not_available, query_canceled
		return provenance.Unavailable
	}
	return provenance.Internal
}

// Wrap gives a database's error its code and says what failed. An error that
// has a code keeps it, and its words; nil stays nil.
func Wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	var coded *provenance.Error
	if errors.As(err, &coded) {
		return err
	}
	return provenance.Wrap(Code(err), err, format, args...)
}

// state returns PostgreSQL's five letters (SQLSTATE), or "".
func state(err error) string {
	var server *pgconn.PgError
	if errors.As(err, &server) {
		return server.Code
	}
	return ""
}

// IsContended tells that the server rolled a transaction back because of
// others; doing it again is right.
func IsContended(err error) bool {
	code := state(err)
	return code == "40001" || code == "40P01" // serialization_failure, deadlock_detected
}

// IsDisconnected tells that PostgreSQL cannot be reached, that the connection
// is gone, or that it leads to a standby.
func IsDisconnected(err error) bool {
	var refused *pgconn.ConnectError
	var network *net.OpError
	if errors.As(err, &refused) || errors.As(err, &network) || errors.Is(err, net.ErrClosed) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || pgconn.SafeToRetry(err) {
		return true
	}
	code := state(err)
	// connection_exception; admin_shutdown and its kin; idle_in_transaction_session_timeout; a standby's read-only transaction
	return strings.HasPrefix(code, "08") || strings.HasPrefix(code, "57P") || code == "25P03" || code == "25006"
}

// IsExisting tells that the schema to be made is there, perhaps made by
// somebody else at this very moment.
func IsExisting(err error) bool {
	code := state(err)
	return code == "42P06" || code == "23505" // duplicate_schema, unique_violation in the catalogue
}

// IsNoTable tells that a table that was asked for does not exist.
func IsNoTable(err error) bool { return state(err) == "42P01" } // undefined_table

// IsNoColumn tells that a table is there, but is not the one that was meant.
func IsNoColumn(err error) bool { return state(err) == "42703" } // undefined_column

// ReadAgain reads once more where the server ended the connection: it ends all
// of them when it restarts, and the next one may do.
func ReadAgain(read func() error) error {
	err := read()
	if err != nil && IsDisconnected(err) {
		err = read()
	}
	return err
}
