package queue

import (
	"context"
	"database/sql"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// recover fills the memory that mirrors the database. It runs before the writer
// starts, on its connection. exclude makes sure that nobody else is at work,
// before the number of lanes is changed.
func (q *Queue) load(ctx context.Context, exclude func(context.Context, *sql.Tx) error) error {
	tx, err := q.writerD.BeginTx(ctx, nil)
	if err != nil {
		return sqldb.Wrap(err, "load queue")
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it has nothing to do
	var lanes int
	var done int64
	if err := tx.QueryRowContext(ctx, `SELECT name, lanes, done, secret FROM meta`).Scan(&q.name, &lanes, &done, &q.secret); err != nil {
		return sqldb.Wrap(err, "load queue")
	}
	q.done.Store(done)
	if err := tx.QueryRowContext(ctx, `SELECT height FROM task_height`).Scan(&q.tasks.saved); err != nil {
		return sqldb.Wrap(err, "load tasks")
	}
	q.tasks.height = q.tasks.saved
	if lanes != q.options.Lanes {
		if err := exclude(ctx, tx); err != nil {
			return err
		}
	}
	c, err := readCounts(tx.QueryContext(ctx, selectCounts))
	if err != nil {
		return err
	}
	q.setCounts(c)
	if err := q.recoverRepositories(ctx, tx); err != nil {
		return err
	}
	if lanes != q.options.Lanes {
		if err := q.changeLanes(ctx, tx, lanes); err != nil {
			return err
		}
	}
	if q.retryAfter, err = readRetryAfter(tx.QueryContext(ctx, `SELECT repo, max(due) FROM items WHERE state = 0 AND due > 0 GROUP BY repo`)); err != nil {
		return err
	}
	return sqldb.Wrap(tx.Commit(), "load queue")
}

// readHolds reads until when repositories wait for a retry.
func readRetryAfter(rows *sql.Rows, err error) (map[int64]time.Time, error) {
	if err != nil {
		return nil, sqldb.Wrap(err, "read retry times")
	}
	defer rows.Close()
	after := map[int64]time.Time{}
	for rows.Next() {
		var id, due int64
		if err := rows.Scan(&id, &due); err != nil {
			return nil, sqldb.Wrap(err, "read retry times")
		}
		after[id] = time.UnixMilli(due)
	}
	return after, sqldb.Wrap(rows.Err(), "read retry times")
}

func (q *Queue) recoverRepositories(ctx context.Context, tx *sql.Tx) error {
	rows, err := tx.QueryContext(ctx, `SELECT id, host, name, lane FROM repositories`)
	if err != nil {
		return sqldb.Wrap(err, "load queue")
	}
	defer rows.Close()
	for rows.Next() {
		var k repoKey
		var r repo
		if err := rows.Scan(&r.id, &k.host, &k.name, &r.lane); err != nil {
			return sqldb.Wrap(err, "load queue")
		}
		q.repos[k] = r
	}
	return sqldb.Wrap(rows.Err(), "load queue")
}

// changeLanes spreads the repositories anew. An open segment pins the number
// of lanes: its repositories might move to a lane that runs ahead of it.
func (q *Queue) changeLanes(ctx context.Context, tx *sql.Tx, from int) error {
	var open int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM segments`).Scan(&open); err != nil {
		return sqldb.Wrap(err, "change lanes")
	}
	if open > 0 {
		return provenance.Errorf(provenance.Invalid,
			"open queue: %d segments are not yet known to be recorded, so the number of lanes must stay %d; change it after a run that ends with none", open, from)
	}
	for k, r := range q.repos {
		lane := laneOf(k.host, k.name, q.options.Lanes)
		if lane == r.lane {
			continue
		}
		if _, err := tx.ExecContext(ctx, q.backend.bind(`UPDATE repositories SET lane = ? WHERE id = ?`), lane, r.id); err != nil {
			return sqldb.Wrap(err, "change lanes")
		}
		q.repos[k] = repo{id: r.id, lane: lane}
	}
	if _, err := tx.ExecContext(ctx, `UPDATE items SET lane = (SELECT lane FROM repositories WHERE id = items.repo)`); err != nil {
		return sqldb.Wrap(err, "change lanes")
	}
	if err := q.backend.relocate(ctx, tx); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, q.backend.bind(`UPDATE meta SET lanes = ?`), q.options.Lanes)
	return sqldb.Wrap(err, "change lanes")
}
