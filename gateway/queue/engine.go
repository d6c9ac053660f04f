package queue

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
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// engine is what the two databases do differently. Everything else is shared
// SQL, written with ? and ?1.
type engine interface {
	// bind turns shared SQL into the database's own.
	bind(query string) string
	// prepare makes the engine's own statements on the writer's connection.
	prepare(ctx context.Context, conn *sql.Conn) error
	begin(ctx context.Context, conn *sql.Conn) error
	commit(ctx context.Context, conn *sql.Conn) error

	// preview may do for a whole batch what see would do for each event.
	preview(b *batch, ops []*op) error
	// see notes an event id; fresh is false for one that is known with the same body.
	see(b *batch, id, body []byte, at int64) (fresh bool, err error)
	unsee(b *batch, ids [][]byte) error
	// flush writes the batch's new items.
	flush(b *batch) error
	sealItems(b *batch, lane int, ids []int64) (sql.Result, error)

	// relocate follows a change of the items' lanes.
	relocate(ctx context.Context, tx *sql.Tx) error
	// fence fails with ErrLaneLost unless this process holds the lane in the
	// given epoch, and keeps it so until the transaction ends.
	fence(b *batch, lane int, epoch int64) error
	// leaseRows reads waiting items of a lane in order, without those of blocked
	// repositories: at least n of the first one's host where there are as many.
	leaseRows(ctx context.Context, lane int, want wanted) (*sql.Rows, error)
}

// ErrLaneLost is the cause of a WB_CONFLICT where another replica has taken the
// lane over. Nothing was changed. Whatever was in hand of that lane is the
// other replica's business now; go on as after a start, with Sealed.
var ErrLaneLost = errors.New("another replica holds the lane")

func laneLost(lane int) error {
	return provenance.Wrap(provenance.Conflict, ErrLaneLost, "lane %d", lane)
}

// dollars writes PostgreSQL's parameters for ? and ?1.
func dollars(query string) string {
	var out strings.Builder
	n := 0
	for i, part := range strings.Split(query, "?") {
		if i > 0 {
			out.WriteByte('$')
			if part == "" || part[0] < '0' || part[0] > '9' {
				n++
				fmt.Fprint(&out, n)
			}
		}
		out.WriteString(part)
	}
	return out.String()
}

// fail gives a database error its code: WB_FULL for a full disk,
// WB_UNAVAILABLE for a lock that was not given in time, a server that is not
// there or a caller that left, else WB_INTERNAL.
func fail(err error, what string) error {
	if err == nil {
		return nil
	}
	var coded *provenance.Error
	if errors.As(err, &coded) {
		return err
	}
	return provenance.Wrap(databaseCode(err), err, "%s", what)
}

func databaseCode(err error) provenance.Code {
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
	if isDisconnected(err) || isContended(err) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return provenance.Unavailable
	}
	switch code := serverCode(err); {
	case code == "53100": // disk_full
		return provenance.Full
	case strings.HasPrefix(code, "53"), code == "55P03", code == "57014": // insufficient_resources, lock_not_available, query_canceled
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

// isContended tells that the server rolled a transaction back because of
// others; doing it again is right.
func isContended(err error) bool {
	code := serverCode(err)
	return code == "40001" || code == "40P01" // serialization_failure, deadlock_detected
}

// isDisconnected tells that PostgreSQL cannot be reached, that the connection
// is gone, or that it leads to a standby.
func isDisconnected(err error) bool {
	var refused *pgconn.ConnectError
	var network *net.OpError
	if errors.As(err, &refused) || errors.As(err, &network) || errors.Is(err, net.ErrClosed) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || pgconn.SafeToRetry(err) {
		return true
	}
	code := serverCode(err)
	return strings.HasPrefix(code, "08") || strings.HasPrefix(code, "57P") || code == "25P03" || code == "25006"
}

// isDatabase tells whether err came from the database rather than from a check.
func isDatabase(err error) bool {
	if errors.Is(err, ErrLaneLost) {
		return false
	}
	var coded *provenance.Error
	return !errors.As(err, &coded) || coded.Code == provenance.Internal || coded.Err != nil
}
