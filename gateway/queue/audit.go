package queue

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// State is where an item stands.
type State int

// The states of an item. One that is recorded is no item any more: its id stays
// among those that KnownIDs tells.
const (
	StateWaiting State = stateWaiting
	StateSealed  State = stateSealed
	StateDead    State = stateDead
)

// String returns the state in a word.
func (s State) String() string {
	switch s {
	case StateWaiting:
		return "waiting"
	case StateSealed:
		return "sealed"
	case StateDead:
		return "dead"
	}
	return fmt.Sprintf("state %d", int(s))
}

// AuditItem is an item as Audit meets it.
type AuditItem struct {
	ID    int64
	Lane  int
	State State
	Host  provenance.Host
	Event provenance.EventID
}

// AuditLane is what the tables say of one lane.
type AuditLane struct {
	Lane  int
	Name  string
	Next  uint64   // number of the lane's next segment
	Block uint64   // in which the last one was recorded; 0: none, or only skipped
	Open  *Segment // nil: none
}

// Fault is a row that this program would not have written.
type Fault struct{ Thing, Text string }

// Audit is the queue as its tables say when they are read anew.
type Audit struct {
	Waiting, Sealed, Dead, Done int64
	Lanes                       []AuditLane      // by number; one that never had a segment may be missing
	Reasons                     map[string]int64 // of dead letters
	Faults                      []Fault
}

// auditPage is how many rows are read at a time.
const auditPage = 1000

// Name names the database: its lanes are called Name()-0, Name()-1 and so on.
func (q *Queue) Name() string { return q.name }

// Audit reads everything in the queue, of all lanes and whoever holds them, and
// calls each with every item in order of arrival, but those whose event or state
// cannot be understood: they are Faults only. It changes nothing. What other replicas do
// meanwhile may make what it reads first unlike what it reads last: open the
// queue with Options.Exclusive.
func (q *Queue) Audit(ctx context.Context, each func(AuditItem) error) (Audit, error) {
	a := Audit{Reasons: map[string]int64{}}
	var err error
	if a.Lanes, err = q.auditLanes(ctx); err != nil {
		return a, err
	}
	if err := q.readers.QueryRowContext(ctx, `SELECT done FROM meta`).Scan(&a.Done); err != nil {
		return a, sqldb.Wrap(err, "audit queue")
	}
	err = rowsOf(q.readers.QueryContext(ctx, `SELECT reason, count(*) FROM items WHERE state = 2 GROUP BY reason`))(func(rows *sql.Rows) error {
		var reason string
		var n int64
		err := rows.Scan(&reason, &n)
		a.Reasons[reason] = n
		return err
	})
	if err != nil {
		return a, err
	}
	counts := map[State]*int64{StateWaiting: &a.Waiting, StateSealed: &a.Sealed, StateDead: &a.Dead}
	for last := int64(0); ; {
		items, faults, next, err := q.auditItems(ctx, last)
		if err != nil {
			return a, err
		}
		a.Faults = append(a.Faults, faults...)
		for _, it := range items {
			*counts[it.State]++
			if err := each(it); err != nil {
				return a, err
			}
		}
		if last = next; next == 0 {
			return a, nil
		}
	}
}

// rowsOf reads the rows of a query to their end.
func rowsOf(rows *sql.Rows, err error) func(each func(*sql.Rows) error) error {
	return func(each func(*sql.Rows) error) error {
		if err != nil {
			return sqldb.Wrap(err, "audit queue")
		}
		defer rows.Close()
		for rows.Next() {
			if err := each(rows); err != nil {
				return sqldb.Wrap(err, "audit queue")
			}
		}
		return sqldb.Wrap(rows.Err(), "audit queue")
	}
}

// auditLanes reads the lanes that ever had a segment.
func (q *Queue) auditLanes(ctx context.Context) ([]AuditLane, error) {
	lanes := map[int]AuditLane{}
	err := rowsOf(q.readers.QueryContext(ctx, `SELECT lane, next, block FROM lanes`))(func(rows *sql.Rows) error {
		var l AuditLane
		var next, block int64
		err := rows.Scan(&l.Lane, &next, &block)
		l.Name, l.Next, l.Block = q.LaneName(l.Lane), uint64(next), uint64(block)
		lanes[l.Lane] = l
		return err
	})
	if err != nil {
		return nil, err
	}
	err = rowsOf(q.readers.QueryContext(ctx, `SELECT lane, seq, host, bytes, txid, tx FROM segments`))(func(rows *sql.Rows) error {
		var s Segment
		var seq int64
		err := rows.Scan(&s.Lane, &seq, &s.Host, &s.Bytes, &s.TxID, &s.Tx)
		s.LaneName, s.Seq = q.LaneName(s.Lane), uint64(seq)
		l, known := lanes[s.Lane]
		if !known {
			l = AuditLane{Lane: s.Lane, Name: s.LaneName, Next: 1}
		}
		l.Open = &s
		lanes[s.Lane] = l
		return err
	})
	return slices.SortedFunc(maps.Values(lanes), func(a, b AuditLane) int { return a.Lane - b.Lane }), err
}

// auditItems reads the items after one, and what is wrong with them by
// themselves. next is 0 after the last.
func (q *Queue) auditItems(ctx context.Context, after int64) (items []AuditItem, faults []Fault, next int64, err error) {
	ctx, cancel := q.limit(ctx)
	defer cancel()
	read := 0
	err = rowsOf(q.readers.QueryContext(ctx, q.backend.bind(
		`SELECT i.id, i.state, i.lane, i.event, r.lane, r.host FROM items i LEFT JOIN repositories r ON r.id = i.repo WHERE i.id > ? ORDER BY i.id LIMIT ?`), after, auditPage))(func(rows *sql.Rows) error {
		var it AuditItem
		var event []byte
		var lane sql.NullInt64
		var host sql.NullString
		if err := rows.Scan(&it.ID, &it.State, &it.Lane, &event, &lane, &host); err != nil {
			return err
		}
		read++
		next, it.Host = it.ID, provenance.Host(host.String)
		text, is := itemFault(&it, event, lane)
		if text != "" {
			faults = append(faults, Fault{fmt.Sprintf("item %d", it.ID), text})
		}
		if is {
			items = append(items, it)
		}
		return nil
	})
	if read < auditPage {
		next = 0
	}
	return items, faults, next, err
}

// itemFault reads the item's event and tells what is wrong with the row, and
// whether it is an item all the same.
func itemFault(it *AuditItem, event []byte, lane sql.NullInt64) (text string, is bool) {
	events, err := provenance.DecodeSegment(event)
	if err != nil || len(events) != 1 {
		return "its event cannot be read", false
	}
	it.Event = events[0].ID
	switch {
	case it.State < StateWaiting || it.State > StateDead:
		return fmt.Sprintf("there is no state %d", int(it.State)), false
	case !lane.Valid:
		return "its repository is missing, so that no lane takes it up", true
	case int(lane.Int64) != it.Lane:
		return fmt.Sprintf("it is in lane %d, its repository in lane %d: it may pass others, or be passed", it.Lane, lane.Int64), true
	}
	return "", true
}

// KnownIDs calls each with the id of every event that was accepted and is not
// forgotten, recorded or not, in ascending order.
func (q *Queue) KnownIDs(ctx context.Context, each func(provenance.EventID) error) error {
	return q.backend.each(ctx, q, each)
}
