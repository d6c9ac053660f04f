package queue

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// backend is what the two databases do differently, in parts. Everything else
// is shared SQL, written with ? and ?1.
type backend struct {
	dialect
	transactions
	dedup
	knownIDs
	itemRows
}

type dialect interface {
	// bind turns shared SQL into the database's own.
	bind(query string) string
	// prepare makes the backend's own statements on the writer's connection.
	prepare(ctx context.Context, conn *sql.Conn) error
	// relocate follows a change of the items' lanes.
	relocate(ctx context.Context, tx *sql.Tx) error
}

type transactions interface {
	begin(ctx context.Context, conn *sql.Conn) error
	commit(b *batch) error
	// fence fails with ErrLaneLost unless this process holds the lane in the
	// given epoch, and keeps it so until the transaction ends.
	fence(b *batch, lane int, epoch int64) error
}

// dedup tells what is new.
type dedup interface {
	// prefetch may do for a whole batch what noteID would do for each event.
	prefetch(b *batch, ops []*op) error
	// noteID notes an event id; fresh is false for one that is known with the same body.
	noteID(b *batch, id, body []byte, at int64) (fresh bool, err error)
	// forgetIDs takes back what the batch noted, and discards what was noted before.
	forgetIDs(b *batch, ids [][]byte) error
}

// knownIDs is the table of event ids as a whole.
type knownIDs interface {
	// markKnown notes ids that are not known, whatever their bodies.
	markKnown(b *batch, ids []provenance.EventID) error
	// each calls f with all ids in ascending order.
	each(ctx context.Context, q *Queue, f func(provenance.EventID) error) error
	// expire forgets ids seen before a time, see Queue.forget.
	expire(ctx context.Context, q *Queue, before time.Time, next func() bool) (int, error)
}

type itemRows interface {
	// flush writes the batch's new items.
	flush(b *batch) error
	sealItems(b *batch, lane int, ids []int64) (sql.Result, error)
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

// isDatabase tells whether err came from the database rather than from a check.
func isDatabase(err error) bool {
	if errors.Is(err, ErrLaneLost) {
		return false
	}
	var coded *provenance.Error
	return !errors.As(err, &coded) || coded.Code == provenance.Internal || coded.Err != nil
}
