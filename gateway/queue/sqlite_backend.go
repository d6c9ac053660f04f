package queue

import (
	"context"
	"database/sql"
	"slices"
	"strconv"
	"strings"

	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// liteEngine is SQLite: one process, so every lane is its own.
type sqliteBackend struct {
	readers         *sql.DB
	ids             *idTable
	open, close     *sql.Stmt // a transaction
	addOne, addMany *sql.Stmt
	unblocked       *sql.Stmt // of readers

	// last is the highest number given to an item of a lane. It belongs to the
	// writer's goroutine; numbers of a transaction that failed stay unused.
	last map[int]int64
}

// insertRows is how many rows one INSERT of a large batch carries, itemColumns
// how many values a row binds.
const (
	insertRows  = 32
	itemColumns = 7
)

// laneNumbers is how many numbers for items each lane has: item 7000000000042
// is the 42nd of lane 7. SQLite keeps rows in the order of their numbers, so the
// items of a segment lie side by side. Numbered as they arrive they lay among
// those of all lanes, and every segment rewrote eight times the pages.
const laneNumbers = 1_000_000_000_000

func (*sqliteBackend) bind(query string) string { return query }

func (e *sqliteBackend) prepare(ctx context.Context, conn *sql.Conn) error {
	const addItem = `INSERT INTO items (id, state, lane, repo, connector, event, body, received, attempts, due, reason) VALUES `
	const itemRow = `(?, 0, ?, ?, ?, ?, ?, ?, 0, 0, '')`
	err := prepareAll(ctx, e.readers, e, []prepared{{&e.unblocked, selectWaiting + ` ORDER BY i.id`}})
	if err == nil {
		err = e.ids.prepare(ctx, conn, e)
	}
	if err != nil {
		return err
	}
	return prepareAll(ctx, conn, e, []prepared{
		{&e.open, `BEGIN IMMEDIATE`},
		{&e.close, `COMMIT`},
		{&e.addOne, addItem + itemRow},
		{&e.addMany, addItem + strings.TrimSuffix(strings.Repeat(itemRow+", ", insertRows), ", ")},
	})
}

// number learns the highest numbers in use.
func (e *sqliteBackend) number(ctx context.Context, on *sql.DB, lanes int) error {
	e.last = map[int]int64{}
	for lane := range lanes {
		first := int64(lane) * laneNumbers
		var last sql.NullInt64
		if err := on.QueryRowContext(ctx, `SELECT max(id) FROM items WHERE id >= ? AND id < ?`, first, first+laneNumbers).Scan(&last); err != nil {
			return sqldb.Wrap(err, "open queue")
		}
		e.last[lane] = max(first, last.Int64)
	}
	return nil
}

// relocate numbers all items anew after some changed their lane. Within a
// repository numbers grew with arrival, whatever lanes it was in, and whether
// they are of this program or of one that numbered as items came: so the old
// order within a lane is the order to keep. By way of negative numbers, because
// no two items may have one even in the middle of it.
func (*sqliteBackend) relocate(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, strings.ReplaceAll(`
		CREATE TEMP TABLE numbers AS SELECT id, lane * $N + row_number() OVER (PARTITION BY lane ORDER BY id) AS new FROM items;
		CREATE UNIQUE INDEX temp.numbers_id ON numbers (id);
		UPDATE items SET id = -(SELECT new FROM numbers WHERE numbers.id = items.id);
		UPDATE items SET id = -id;
		DROP TABLE numbers;`, "$N", strconv.Itoa(laneNumbers)))
	return sqldb.Wrap(err, "change lanes")
}

func (e *sqliteBackend) begin(ctx context.Context, _ *sql.Conn) error {
	_, err := e.open.ExecContext(ctx)
	return err
}

func (e *sqliteBackend) commit(b *batch) error {
	if _, err := e.close.ExecContext(b.ctx); err != nil {
		return err
	}
	e.ids.committed(b)
	return nil
}

// flush writes many rows to a statement where there are many.
func (e *sqliteBackend) flush(b *batch) error {
	args := make([]any, 0, insertRows*itemColumns)
	for rest := b.items; len(rest) > 0; {
		n, stmt := 1, e.addOne
		if len(rest) >= insertRows {
			n, stmt = insertRows, e.addMany
		}
		args = args[:0]
		for _, it := range rest[:n] {
			e.last[it.repo.lane]++
			args = append(args, e.last[it.repo.lane], it.repo.lane, it.repo.id, it.delivery.Connector, it.event, it.delivery.BodyHash[:], it.delivery.ReceivedAt.UnixMilli())
		}
		if _, err := stmt.ExecContext(b.ctx, args...); err != nil {
			return sqldb.Wrap(err, "accept events")
		}
		rest = rest[n:]
	}
	return e.ids.flush(b)
}

func (*sqliteBackend) sealItems(b *batch, lane int, ids []int64) (sql.Result, error) {
	if first, last := ids[0], ids[len(ids)-1]; last-first == int64(len(ids)-1) && slices.IsSorted(ids) {
		// By number, and not by the index that the change moves them in: that takes a list of them first.
		return b.w.conn.ExecContext(b.ctx, `UPDATE items SET state = 1 WHERE +state = 0 AND +lane = ? AND id BETWEEN ? AND ?`, lane, first, last)
	}
	return b.w.conn.ExecContext(b.ctx, `UPDATE items SET state = 1 WHERE state = 0 AND id IN (`+list(ids)+`)`)
}

func (*sqliteBackend) fence(*batch, int, int64) error { return nil }

// leaseRows leaves blocked repositories out inside SQLite, so that a registry
// that is down for a day does not cost a walk over its backlog in Go.
func (e *sqliteBackend) leaseRows(ctx context.Context, lane int, want wanted) (*sql.Rows, error) {
	if len(want.blocked) == 0 && want.notHost == "" {
		return e.unblocked.QueryContext(ctx, lane)
	}
	text, args := selectWaiting+` AND i.repo NOT IN (`+list(keys(want.blocked))+`) AND r.host <> ? AND i.id > ?`, []any{lane, string(want.notHost), want.after}
	if want.host != "" {
		text, args = text+` AND r.host = ?`, append(args, string(want.host))
	}
	return e.readers.QueryContext(ctx, text+` ORDER BY i.id`, args...)
}

func keys(m map[int64]bool) []int64 {
	out := make([]int64, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	return out
}

func list(ids []int64) string {
	var out []byte
	for i, id := range ids {
		if i > 0 {
			out = append(out, ',')
		}
		out = strconv.AppendInt(out, id, 10)
	}
	return string(out)
}
