package queue

import (
	"context"
	"database/sql"
	"errors"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// Segment is a batch on its way to the ledger. The queue does not look into
// TxID and Tx: they are whatever the ledger needs to ask about, and to send
// again, exactly this transaction.
type Segment struct {
	Lane     int
	LaneName string
	Seq      uint64
	Host     provenance.Host
	Bytes    []byte
	TxID     string
	Tx       []byte
	// Clients is what the segment hides, nil for nothing. It is sealed with it,
	// and handed out by PendingClients once the segment is recorded; Sealed leaves it out.
	Clients []byte
}

// NextSeq returns the number of the lane's next segment. Numbers start at 1
// and are used up by Recorded (and Skip), not by Seal.
func (q *Queue) NextSeq(ctx context.Context, lane int) (uint64, error) {
	ctx, cancel := q.limit(ctx)
	defer cancel()
	var next int64
	err := sqldb.ReadAgain(func() error { return q.reads.next.QueryRowContext(ctx, lane).Scan(&next) })
	if errors.Is(err, sql.ErrNoRows) {
		return 1, nil
	}
	if err != nil {
		return 0, sqldb.Wrap(err, "read lane")
	}
	return uint64(next), nil
}

// Seal binds items to a segment; it is on disk before the segment may be
// submitted. It fails with WB_CONFLICT when the lane has an open segment, when
// Seq is not the lane's next number, or when an item has moved on.
//
// A crash before: the items are handed out again; nothing was submitted. A
// crash after: Sealed returns the segment, and its transaction's fate must be
// asked before anything else happens in this lane. ErrLaneLost: as a crash
// before. WB_UNAVAILABLE: as a crash, before or after; ask Sealed.
func (q *Queue) Seal(ctx context.Context, s Segment, items []Item) error {
	ids := make([]int64, len(items))
	for i, it := range items {
		if it.Lane != s.Lane || it.Host != s.Host {
			return provenance.Errorf(provenance.Invalid, "seal segment %s/%d: item %d is of another lane or registry", s.LaneName, s.Seq, it.ID)
		}
		ids[i] = it.ID
	}
	if len(items) == 0 || s.TxID == "" || len(s.Bytes) == 0 {
		return provenance.Errorf(provenance.Invalid, "seal segment %s/%d: want items, bytes and a transaction", s.LaneName, s.Seq)
	}
	err := q.writer.do(ctx, &op{
		rows: len(items),
		run: func(b *batch) error {
			if err := firstError(b.fenceItems(items), b.checkSeal(s)); err != nil {
				return err
			}
			if _, err := b.w.stmts.addSegment.ExecContext(b.ctx, s.Lane, int64(s.Seq), string(s.Host), s.Bytes, s.TxID, s.Tx); err != nil {
				return sqldb.Wrap(err, "seal segment")
			}
			if err := b.sealClients(s); err != nil {
				return err
			}
			return affect(len(items))(q.backend.sealItems(b, s.Lane, ids))
		},
		after: func() {
			q.waiting.Add(-int64(len(items)))
			q.sealed.Add(int64(len(items)))
			q.mu.Lock()
			defer q.mu.Unlock()
			q.unlease(items)
		},
	})
	q.returnUnchanged(items, err)
	return err
}

// checkOpen fails when the lane has an open segment.
func (b *batch) checkOpen(lane int) error {
	var open int64
	err := b.w.stmts.sealedSeq.QueryRowContext(b.ctx, lane).Scan(&open)
	if err == nil {
		return provenance.Errorf(provenance.Conflict, "lane %d: segment %d is still open", lane, open)
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return sqldb.Wrap(err, "read lane")
	}
	return nil
}

func (b *batch) checkSeal(s Segment) error {
	if err := b.checkOpen(s.Lane); err != nil {
		return err
	}
	next := int64(1)
	if err := b.w.stmts.next.QueryRowContext(b.ctx, s.Lane).Scan(&next); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return sqldb.Wrap(err, "seal segment")
	}
	if int64(s.Seq) != next {
		return provenance.Errorf(provenance.Conflict, "seal segment %s/%d: the lane's next number is %d", s.LaneName, s.Seq, next)
	}
	return nil
}

// Sealed returns the lane's open segment, or nil; nil as well for a lane that
// another replica holds.
func (q *Queue) Sealed(ctx context.Context, lane int) (*Segment, error) {
	if !q.holds(lane) {
		return nil, nil
	}
	ctx, cancel := q.limit(ctx)
	defer cancel()
	s := Segment{Lane: lane, LaneName: q.LaneName(lane)}
	var seq int64
	err := sqldb.ReadAgain(func() error {
		return q.reads.segment.QueryRowContext(ctx, lane).Scan(&seq, &s.Host, &s.Bytes, &s.TxID, &s.Tx)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, sqldb.Wrap(err, "read segment")
	}
	s.Seq = uint64(seq)
	return &s, nil
}

// Reseal gives the open segment another transaction for the same bytes. Call
// it only when the old transaction is known to be invalid. It fails with
// WB_CONFLICT when the segment is not open or the bytes differ.
// A crash before: the old transaction is asked about again, and is invalid
// again. A crash after: the new one is asked about. ErrLaneLost: as a crash
// before; the new transaction must not be sent.
func (q *Queue) Reseal(ctx context.Context, s Segment) error {
	return q.writer.do(ctx, &op{rows: 1, run: func(b *batch) error {
		if err := q.fence(b, s.Lane); err != nil {
			return err
		}
		return affect(1)(b.w.stmts.reseal.ExecContext(b.ctx, s.TxID, s.Tx, s.Lane, int64(s.Seq), s.Bytes))
	}})
}

// Recorded closes the segment after its transaction was committed as valid in
// the block: its items are done and their rows go; their ids stay known.
// A crash before: the commit status is asked again and says valid again.
// ErrLaneLost: the other replica asks, and is told the same.
func (q *Queue) Recorded(ctx context.Context, s Segment, block uint64) error {
	var n int64
	var by map[string]int64
	return q.writer.do(ctx, &op{
		rows: 1,
		run: func(b *batch) (err error) {
			if by, n, err = q.close(b, s, b.w.stmts.deleteSealed); err != nil {
				return err
			}
			if _, err := b.w.stmts.advance.ExecContext(b.ctx, s.Lane, int64(s.Seq)+1, int64(block)); err != nil {
				return sqldb.Wrap(err, "advance lane")
			}
			if _, err := b.w.stmts.clientsRecorded.ExecContext(b.ctx, s.Lane, int64(s.Seq)); err != nil {
				return sqldb.Wrap(err, "hand clients over")
			}
			_, err = b.w.stmts.done.ExecContext(b.ctx, n)
			return sqldb.Wrap(err, "count recorded items")
		},
		after: func() {
			q.sealed.Add(-n)
			q.done.Add(n)
			q.countPending(by, -1)
			q.segmentClosed(s.Lane)
		},
	})
}

// Unseal dissolves the open segment: its items wait again, in their old order.
// Call it only when its transaction is known to be invalid and the contract
// refuses the bytes, so that they must be split.
// A crash before: the transaction is asked about again.
func (q *Queue) Unseal(ctx context.Context, s Segment) error {
	var n int64
	return q.writer.do(ctx, &op{
		rows: 1,
		run: func(b *batch) (err error) {
			if _, n, err = q.close(b, s, b.w.stmts.returnSealed); err != nil {
				return err
			}
			_, err = b.w.stmts.deleteClients.ExecContext(b.ctx, s.Lane, int64(s.Seq)) // the items still say it
			return sqldb.Wrap(err, "unseal segment")
		},
		after: func() {
			q.sealed.Add(-n)
			q.waiting.Add(n)
			q.segmentClosed(s.Lane)
		},
	})
}

// Skip uses up a number that the ledger holds already for another segment
// (this database is then an old copy of a queue that went on). It fails with
// WB_CONFLICT while the lane has an open segment.
func (q *Queue) Skip(ctx context.Context, lane int, seq uint64) error {
	return q.writer.do(ctx, &op{rows: 1, run: func(b *batch) error { return q.skip(b, lane, seq) }})
}

func (q *Queue) skip(b *batch, lane int, seq uint64) error {
	if err := firstError(q.fence(b, lane), b.checkOpen(lane)); err != nil {
		return err
	}
	_, err := b.w.stmts.advance.ExecContext(b.ctx, lane, int64(seq)+1, 0)
	return sqldb.Wrap(err, "skip segment number")
}

// close removes the open segment and moves its items by stmt. It returns how
// many items of which connector those were.
func (q *Queue) close(b *batch, s Segment, stmt *sql.Stmt) (map[string]int64, int64, error) {
	if err := q.fence(b, s.Lane); err != nil {
		return nil, 0, err
	}
	if err := affect(1)(b.w.stmts.dropSegment.ExecContext(b.ctx, s.Lane, int64(s.Seq), s.TxID)); err != nil {
		return nil, 0, err
	}
	by, n, err := b.connectors(b.w.stmts.sealedOf, s.Lane)
	if err != nil {
		return nil, 0, err
	}
	_, err = stmt.ExecContext(b.ctx, s.Lane)
	return by, n, sqldb.Wrap(err, "close segment")
}
