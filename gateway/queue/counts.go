package queue

import (
	"context"
	"database/sql"
	"maps"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// room refuses a new item where the queue is full, or the part of it that its
// connector may hold: a registry that goes wild fills its own share and then
// hears 503, while the others' events still come in.
func (q *Queue) room(b *batch, connector string) error {
	if q.waiting.Load()+q.sealed.Load()+int64(len(b.items)) >= int64(q.options.MaxPending) {
		return provenance.Errorf(provenance.Full, "queue holds %d items that are not yet recorded; that is its limit (connector %s)", q.options.MaxPending, connector)
	}
	limit := q.options.connectorLimit()
	if q.options.ConnectorShare < 100 && q.pending[connector]+b.added[connector] >= limit {
		return provenance.Errorf(provenance.Full, "connector %s holds %d items that are not yet recorded; that is its share of the queue", connector, limit)
	}
	return nil
}

func byConnector(items []newItem) map[string]int64 {
	out := map[string]int64{}
	for _, it := range items {
		out[it.delivery.Connector]++
	}
	return out
}

// countPending adds to what connectors hold, or with sign -1 takes from it. It
// is called in the writer's goroutine.
func (q *Queue) countPending(by map[string]int64, sign int64) {
	for connector, n := range by {
		if q.pending[connector] += sign * n; q.pending[connector] == 0 {
			delete(q.pending, connector)
		}
	}
}

// connectors counts items by connector with a statement of the transaction.
func (b *batch) connectors(stmt *sql.Stmt, args ...any) (map[string]int64, int64, error) {
	rows, err := stmt.QueryContext(b.ctx, args...)
	if err != nil {
		return nil, 0, sqldb.Wrap(err, "count items")
	}
	defer rows.Close()
	by, total := map[string]int64{}, int64(0)
	for rows.Next() {
		var connector string
		var n int64
		if err := rows.Scan(&connector, &n); err != nil {
			return nil, 0, sqldb.Wrap(err, "count items")
		}
		by[connector] += n
		total += n
	}
	return by, total, sqldb.Wrap(rows.Err(), "count items")
}

// itemCounts is the number of items by state and, unrecorded ones, by connector.
type itemCounts struct {
	waiting, sealed, dead int64
	pending               map[string]int64
}

func readCounts(rows *sql.Rows, err error) (itemCounts, error) {
	c := itemCounts{pending: map[string]int64{}}
	if err != nil {
		return c, sqldb.Wrap(err, "count items")
	}
	defer rows.Close()
	for rows.Next() {
		var state int
		var connector string
		var n int64
		if err := rows.Scan(&state, &connector, &n); err != nil {
			return c, sqldb.Wrap(err, "count items")
		}
		switch state {
		case stateWaiting:
			c.waiting += n
		case stateSealed:
			c.sealed += n
		case stateDead:
			c.dead += n
			continue
		}
		c.pending[connector] += n
	}
	return c, sqldb.Wrap(rows.Err(), "count items")
}

func (q *Queue) setCounts(c itemCounts) {
	q.waiting.Store(c.waiting)
	q.sealed.Store(c.sealed)
	q.dead.Store(c.dead)
	q.pending = c.pending
}

// recount learns what other replicas did. The snapshot is taken while this
// process commits nothing; what it commits during the count is added after.
func (q *Queue) recount(ctx context.Context) error {
	ctx, cancel := q.limit(ctx)
	defer cancel()
	var tx *sql.Tx
	var before itemCounts
	own := func() itemCounts {
		return itemCounts{q.waiting.Load(), q.sealed.Load(), q.dead.Load(), maps.Clone(q.pending)}
	}
	err := q.writer.between(ctx, func() (err error) {
		if tx, err = q.readers.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}); err != nil {
			return sqldb.Wrap(err, "count items")
		}
		before = own()
		_, err = tx.ExecContext(ctx, `SELECT 1 FROM meta`) // the first statement takes the snapshot
		return sqldb.Wrap(err, "count items")
	})
	if tx != nil {
		defer tx.Rollback() //nolint:errcheck // it only read
	}
	if err != nil {
		return err
	}
	c, err := readCounts(tx.StmtContext(ctx, q.reads.counts).QueryContext(ctx)) //nolint:sqlclosecheck // the transaction closes it
	if err != nil {
		return err
	}
	return q.writer.between(ctx, func() error {
		now := own()
		c.waiting += now.waiting - before.waiting
		c.sealed += now.sealed - before.sealed
		c.dead += now.dead - before.dead
		pending := c.pending
		q.setCounts(c)
		q.pending = pending
		q.countPending(now.pending, 1)
		q.countPending(before.pending, -1)
		return nil
	})
}
