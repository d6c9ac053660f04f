package queue

import (
	"bytes"
	"context"
	"database/sql"
	"maps"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// maxUnusable is how many events that cannot be used are kept of one connector:
// with delivery.MaxUnusable at most 16 MiB. Its oldest leaves for its newest,
// so that whoever sends many crowds out their own.
const maxUnusable = 1000

// What known senders sent and nothing could be made of, and how many of a
// connector's had to leave.
const (
	unusableSQLite = `
CREATE TABLE unusable (
  id INTEGER PRIMARY KEY AUTOINCREMENT, host TEXT NOT NULL, connector TEXT NOT NULL, reason TEXT NOT NULL,
  hash BLOB NOT NULL, size INTEGER NOT NULL, -- of all of it
  body BLOB NOT NULL, -- its beginning
  times INTEGER NOT NULL, received INTEGER NOT NULL, last INTEGER NOT NULL, -- ms
  UNIQUE (connector, hash));
CREATE INDEX unusable_oldest ON unusable (connector, id);
CREATE TABLE unusable_dropped (connector TEXT PRIMARY KEY, dropped INTEGER NOT NULL);
`
	unusablePostgres = `
CREATE TABLE unusable (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, host TEXT NOT NULL, connector TEXT NOT NULL, reason TEXT NOT NULL,
  hash BYTEA NOT NULL, size BIGINT NOT NULL, body BYTEA NOT NULL, times BIGINT NOT NULL, received BIGINT NOT NULL, last BIGINT NOT NULL,
  UNIQUE (connector, hash));
CREATE INDEX unusable_oldest ON unusable (connector, id);
CREATE TABLE unusable_dropped (connector TEXT PRIMARY KEY, dropped BIGINT NOT NULL);
`
)

// AcceptUnusable keeps events that cannot be used, all or none, and returns
// after they are on disk. What came before from the same connector counts once
// more. Of each at most delivery.MaxUnusable bytes are kept, of a connector at
// most 1,000.
//
// Errors as Accept's: WB_FULL where the disk is, WB_UNAVAILABLE, WB_INTERNAL.
// A crash before the commit: the sender had no answer and sends again.
func (q *Queue) AcceptUnusable(ctx context.Context, events []delivery.Unusable) error {
	if len(events) == 0 {
		return nil
	}
	if q.disk != nil {
		if err := q.disk.check(q.now()); err != nil {
			return err
		}
	}
	// One order for all replicas: two that insert the same wait for each other, never in a circle.
	events = slices.Clone(events)
	slices.SortFunc(events, func(a, b delivery.Unusable) int { return bytes.Compare(a.Hash[:], b.Hash[:]) })
	return q.writer.do(ctx, &op{rows: len(events), run: func(b *batch) error {
		connectors := map[string]bool{}
		for _, u := range events {
			connectors[u.Connector] = true
			at := u.ReceivedAt.UnixMilli()
			body := u.Body[:min(len(u.Body), delivery.MaxUnusable)]
			if body == nil {
				body = []byte{}
			}
			if _, err := b.w.stmts.addUnusable.ExecContext(b.ctx, string(u.Host), u.Connector, clip(u.Reason), u.Hash[:], u.Size, body, at, at); err != nil {
				return sqldb.Wrap(err, "keep what cannot be used")
			}
		}
		for _, connector := range slices.Sorted(maps.Keys(connectors)) {
			if err := b.dropOldest(connector); err != nil {
				return err
			}
		}
		return nil
	}})
}

// dropOldest makes room of a connector's, and counts what had to leave.
func (b *batch) dropOldest(connector string) error {
	result, err := b.w.stmts.dropUnusable.ExecContext(b.ctx, connector, b.w.maxUnusable)
	if err != nil {
		return sqldb.Wrap(err, "drop what cannot be used")
	}
	n, err := result.RowsAffected()
	if err == nil && n > 0 {
		_, err = b.w.stmts.countDropped.ExecContext(b.ctx, connector, n)
	}
	return sqldb.Wrap(err, "drop what cannot be used")
}

// Unusable lists events that could not be used, with an id greater than after,
// in the order in which they first came: at most limit (1 to 1,000).
func (q *Queue) Unusable(ctx context.Context, after int64, limit int) ([]delivery.Unusable, error) {
	if limit < 1 || limit > 1000 {
		return nil, provenance.Errorf(provenance.Invalid, "list events that cannot be used: want a limit of 1 to 1000, not %d", limit)
	}
	ctx, cancel := q.limit(ctx)
	defer cancel()
	rows, err := q.reads.unusable.QueryContext(ctx, after, limit)
	if err != nil {
		return nil, sqldb.Wrap(err, "list events that cannot be used")
	}
	defer rows.Close()
	var out []delivery.Unusable
	for rows.Next() {
		var u delivery.Unusable
		var hash []byte
		var received, last int64
		if err := rows.Scan(&u.ID, &u.Host, &u.Connector, &u.Reason, &hash, &u.Size, &u.Body, &u.Times, &received, &last); err != nil {
			return nil, sqldb.Wrap(err, "list events that cannot be used")
		}
		copy(u.Hash[:], hash)
		u.ReceivedAt, u.LastAt = time.UnixMilli(received).UTC(), time.UnixMilli(last).UTC()
		out = append(out, u)
	}
	return out, sqldb.Wrap(rows.Err(), "list events that cannot be used")
}

// UnusableCounts counts what is kept, and what had to leave, by connector.
func (q *Queue) UnusableCounts(ctx context.Context) (map[string]delivery.UnusableCount, error) {
	ctx, cancel := q.limit(ctx)
	defer cancel()
	rows, err := q.reads.unusableCounts.QueryContext(ctx)
	if err != nil {
		return nil, sqldb.Wrap(err, "count events that cannot be used")
	}
	defer rows.Close()
	out := map[string]delivery.UnusableCount{}
	for rows.Next() {
		var connector string
		var kept, dropped int64
		if err := rows.Scan(&connector, &kept, &dropped); err != nil {
			return nil, sqldb.Wrap(err, "count events that cannot be used")
		}
		before := out[connector]
		out[connector] = delivery.UnusableCount{Kept: before.Kept + kept, Dropped: before.Dropped + dropped}
	}
	return out, sqldb.Wrap(rows.Err(), "count events that cannot be used")
}

// RemoveUnusable removes events that an operator has looked at, all of them
// where no id is given, with the count of those that had to leave; it returns
// how many there were. One that comes again is new again.
func (q *Queue) RemoveUnusable(ctx context.Context, ids ...int64) (int, error) {
	var total int64
	err := q.writer.do(ctx, &op{rows: max(1, len(ids)), run: func(b *batch) (err error) {
		total = 0
		if len(ids) == 0 {
			if total, err = affected(b.w.stmts.removeAllUnusable.ExecContext(b.ctx)); err != nil {
				return err
			}
			_, err = affected(b.w.stmts.forgetDropped.ExecContext(b.ctx))
			return err
		}
		for _, id := range ids {
			n, err := affected(b.w.stmts.removeUnusable.ExecContext(b.ctx, id))
			if err != nil {
				return err
			}
			total += n
		}
		return nil
	}})
	if err != nil {
		return 0, err
	}
	return int(total), nil
}

func affected(result sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, sqldb.Wrap(err, "remove what cannot be used")
	}
	n, err := result.RowsAffected()
	return n, sqldb.Wrap(err, "remove what cannot be used")
}
