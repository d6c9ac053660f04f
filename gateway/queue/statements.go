package queue

import (
	"context"
	"database/sql"
	"strings"
)

// itemColumns is how many values an inserted item binds.
const itemColumns = 6

// stmts are the writer's prepared statements.
type stmts struct {
	see, seen, unsee, addRepo, addOne, addMany *sql.Stmt
	release, bury, retry, retryAll             *sql.Stmt
	next, advance                              *sql.Stmt
	sealedSeq, addSegment, reseal, dropSegment *sql.Stmt
	deleteSealed, returnSealed, done           *sql.Stmt
}

func (s *stmts) prepare(ctx context.Context, conn *sql.Conn) error {
	const addItem = `INSERT INTO items (state, lane, repo, connector, event, body, received, attempts, due, reason) VALUES `
	const itemRow = `(0, ?, ?, ?, ?, ?, ?, 0, 0, '')`
	for _, p := range []struct {
		stmt  **sql.Stmt
		query string
	}{
		{&s.see, `INSERT OR IGNORE INTO seen (id, body) VALUES (?, ?)`},
		{&s.seen, `SELECT body FROM seen WHERE id = ?`},
		{&s.unsee, `DELETE FROM seen WHERE id = ?`},
		{&s.addRepo, `INSERT INTO repositories (host, name, lane) VALUES (?, ?, ?)`},
		{&s.addOne, addItem + itemRow},
		{&s.addMany, addItem + strings.TrimSuffix(strings.Repeat(itemRow+", ", insertRows), ", ")},
		{&s.release, `UPDATE items SET attempts = attempts + 1, due = ?, reason = ? WHERE id = ? AND state = 0`},
		{&s.bury, `UPDATE items SET state = 2, reason = ? WHERE id = ? AND state = 0`},
		{&s.retry, `UPDATE items SET state = 0, attempts = 0, due = 0, reason = '' WHERE id = ? AND state = 2`},
		{&s.retryAll, `UPDATE items SET state = 0, attempts = 0, due = 0, reason = '' WHERE state = 2`},
		{&s.next, `SELECT next FROM lanes WHERE lane = ?`},
		{&s.advance, `INSERT INTO lanes (lane, next, block) VALUES (?1, ?2, ?3) ON CONFLICT (lane) DO UPDATE SET next = max(next, ?2), block = max(block, ?3)`},
		{&s.sealedSeq, `SELECT seq FROM segments WHERE lane = ?`},
		{&s.addSegment, `INSERT INTO segments (lane, seq, host, bytes, txid, tx) VALUES (?, ?, ?, ?, ?, ?)`},
		{&s.reseal, `UPDATE segments SET txid = ?, tx = ? WHERE lane = ? AND seq = ? AND bytes = ?`},
		{&s.dropSegment, `DELETE FROM segments WHERE lane = ? AND seq = ?`},
		{&s.deleteSealed, `DELETE FROM items WHERE state = 1 AND lane = ?`},
		{&s.returnSealed, `UPDATE items SET state = 0 WHERE state = 1 AND lane = ?`},
		{&s.done, `UPDATE meta SET done = done + ?`},
	} {
		var err error
		if *p.stmt, err = conn.PrepareContext(ctx, p.query); err != nil { //nolint:sqlclosecheck // closed with its connection
			return fail(err, "open queue: prepare")
		}
	}
	return nil
}

// reads are the prepared statements of the reading connections, which see
// committed rows only.
type reads struct {
	lease, oldest, segment, next, dead *sql.Stmt
}

const itemFields = `i.id, i.lane, i.attempts, i.repo, i.connector, i.event, i.body, i.received, r.host`

func prepareReads(ctx context.Context, db *sql.DB) (reads, error) {
	var r reads
	for _, p := range []struct {
		stmt  **sql.Stmt
		query string
	}{
		{&r.lease, `SELECT ` + itemFields + ` FROM items i JOIN repositories r ON r.id = i.repo WHERE i.state = 0 AND i.lane = ? ORDER BY i.id`},
		{&r.oldest, `SELECT received FROM items WHERE state = 0 ORDER BY id LIMIT 1`},
		{&r.segment, `SELECT seq, host, bytes, txid, tx FROM segments WHERE lane = ?`},
		{&r.next, `SELECT next FROM lanes WHERE lane = ?`},
		{&r.dead, `SELECT ` + itemFields + `, i.reason FROM items i JOIN repositories r ON r.id = i.repo WHERE i.state = 2 AND i.id > ? ORDER BY i.id LIMIT ?`},
	} {
		var err error
		if *p.stmt, err = db.PrepareContext(ctx, p.query); err != nil { //nolint:sqlclosecheck // closed with its database
			return reads{}, fail(err, "open queue: prepare")
		}
	}
	return r, nil
}
