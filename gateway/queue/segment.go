package queue

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
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
}

// NextSeq returns the number of the lane's next segment. Numbers start at 1
// and are used up by Recorded (and Skip), not by Seal.
func (q *Queue) NextSeq(ctx context.Context, lane int) (uint64, error) {
	var next int64
	err := q.reads.next.QueryRowContext(ctx, lane).Scan(&next)
	if errors.Is(err, sql.ErrNoRows) {
		return 1, nil
	}
	if err != nil {
		return 0, fail(err, "read lane")
	}
	return uint64(next), nil
}

// Seal binds items to a segment; it is on disk before the segment may be
// submitted. It fails with WB_CONFLICT when the lane has an open segment, when
// Seq is not the lane's next number, or when an item has moved on.
//
// A crash before: the items are handed out again; nothing was submitted. A
// crash after: Sealed returns the segment, and its transaction's fate must be
// asked before anything else happens in this lane.
func (q *Queue) Seal(ctx context.Context, s Segment, items []Item) error {
	ids := make([]string, len(items))
	for i, it := range items {
		if it.Lane != s.Lane || it.Host != s.Host {
			return provenance.Errorf(provenance.Invalid, "seal segment %s/%d: item %d is of another lane or registry", s.LaneName, s.Seq, it.ID)
		}
		ids[i] = strconv.FormatInt(it.ID, 10)
	}
	if len(items) == 0 || s.TxID == "" || len(s.Bytes) == 0 {
		return provenance.Errorf(provenance.Invalid, "seal segment %s/%d: want items, bytes and a transaction", s.LaneName, s.Seq)
	}
	return q.writer.do(ctx, &op{
		rows: len(items),
		run: func(b *batch) error {
			if err := b.checkSeal(s); err != nil {
				return err
			}
			ctx := context.Background()
			if _, err := b.w.stmts.addSegment.ExecContext(ctx, s.Lane, int64(s.Seq), string(s.Host), s.Bytes, s.TxID, s.Tx); err != nil {
				return fail(err, "seal segment")
			}
			return affect(len(items))(b.w.conn.ExecContext(ctx, `UPDATE items SET state = 1 WHERE state = 0 AND id IN (`+strings.Join(ids, ",")+`)`))
		},
		after: func() {
			q.waiting.Add(-int64(len(items)))
			q.sealed.Add(int64(len(items)))
			q.mu.Lock()
			defer q.mu.Unlock()
			q.unlease(items)
		},
	})
}

func (b *batch) checkSeal(s Segment) error {
	ctx := context.Background()
	var open int64
	err := b.w.stmts.sealedSeq.QueryRowContext(ctx, s.Lane).Scan(&open)
	if err == nil {
		return provenance.Errorf(provenance.Conflict, "seal segment %s/%d: segment %d is still open", s.LaneName, s.Seq, open)
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return fail(err, "seal segment")
	}
	next := int64(1)
	if err := b.w.stmts.next.QueryRowContext(ctx, s.Lane).Scan(&next); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fail(err, "seal segment")
	}
	if int64(s.Seq) != next {
		return provenance.Errorf(provenance.Conflict, "seal segment %s/%d: the lane's next number is %d", s.LaneName, s.Seq, next)
	}
	return nil
}

// Sealed returns the lane's open segment, or nil.
func (q *Queue) Sealed(ctx context.Context, lane int) (*Segment, error) {
	s := Segment{Lane: lane, LaneName: q.LaneName(lane)}
	var seq int64
	err := q.reads.segment.QueryRowContext(ctx, lane).Scan(&seq, &s.Host, &s.Bytes, &s.TxID, &s.Tx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fail(err, "read segment")
	}
	s.Seq = uint64(seq)
	return &s, nil
}

// Reseal gives the open segment another transaction for the same bytes. Call
// it only when the old transaction is known to be invalid. It fails with
// WB_CONFLICT when the segment is not open or the bytes differ.
// A crash before: the old transaction is asked about again, and is invalid
// again. A crash after: the new one is asked about.
func (q *Queue) Reseal(ctx context.Context, s Segment) error {
	return q.writer.do(ctx, &op{rows: 1, run: func(b *batch) error {
		return affect(1)(b.w.stmts.reseal.ExecContext(context.Background(), s.TxID, s.Tx, s.Lane, int64(s.Seq), s.Bytes))
	}})
}

// Recorded closes the segment after its transaction was committed as valid in
// the block: its items are done and their rows go; their ids stay known.
// A crash before: the commit status is asked again and says valid again.
func (q *Queue) Recorded(ctx context.Context, s Segment, block uint64) error {
	var n int64
	return q.writer.do(ctx, &op{
		rows: 1,
		run: func(b *batch) (err error) {
			ctx := context.Background()
			if n, err = b.close(s, b.w.stmts.deleteSealed); err != nil {
				return err
			}
			if _, err := b.w.stmts.advance.ExecContext(ctx, s.Lane, int64(s.Seq)+1, int64(block)); err != nil {
				return fail(err, "advance lane")
			}
			_, err = b.w.stmts.done.ExecContext(ctx, n)
			return fail(err, "count recorded items")
		},
		after: func() {
			q.sealed.Add(-n)
			q.done.Add(n)
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
			n, err = b.close(s, b.w.stmts.returnSealed)
			return err
		},
		after: func() {
			q.sealed.Add(-n)
			q.waiting.Add(n)
		},
	})
}

// Skip uses up a number that the ledger holds already for another segment
// (this file is then an old copy of a queue that went on).
func (q *Queue) Skip(ctx context.Context, lane int, seq uint64) error {
	return q.writer.do(ctx, &op{rows: 1, run: func(b *batch) error {
		_, err := b.w.stmts.advance.ExecContext(context.Background(), lane, int64(seq)+1, 0)
		return fail(err, "skip segment number")
	}})
}

// close removes the open segment and moves its items by stmt.
func (b *batch) close(s Segment, stmt *sql.Stmt) (int64, error) {
	ctx := context.Background()
	if err := affect(1)(b.w.stmts.dropSegment.ExecContext(ctx, s.Lane, int64(s.Seq))); err != nil {
		return 0, err
	}
	result, err := stmt.ExecContext(ctx, s.Lane)
	if err != nil {
		return 0, fail(err, "close segment")
	}
	n, err := result.RowsAffected()
	return n, fail(err, "close segment")
}
