package queue

import (
	"context"
	"database/sql"
	"strconv"

	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// stmts are the writer's prepared statements.
type stmts struct {
	addRepo                                                           *sql.Stmt
	release, bury, discard, retry, retryAll, deadOf, allDead          *sql.Stmt
	next, advance                                                     *sql.Stmt
	sealedSeq, addSegment, reseal, dropSegment                        *sql.Stmt
	sealedOf, deleteSealed, returnSealed, done                        *sql.Stmt
	addClients, clientsRecorded, deleteClients, deleteRecordedClients *sql.Stmt
	addUnusable, dropUnusable, countDropped                           *sql.Stmt
	removeUnusable, removeAllUnusable, forgetDropped                  *sql.Stmt
	addPlace, addTask, countTasks, doneTask                           *sql.Stmt
}

// prepared is a statement, in shared SQL, and where it is kept.
type prepared struct {
	stmt  **sql.Stmt
	query string
}

// preparer is a connection, or a pool of them.
type preparer interface {
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

func prepareAll(ctx context.Context, on preparer, e dialect, all []prepared) (err error) {
	for _, p := range all {
		if *p.stmt, err = on.PrepareContext(ctx, e.bind(p.query)); err != nil { //nolint:sqlclosecheck // closed with its connection
			return sqldb.Wrap(err, "open queue: prepare")
		}
	}
	return nil
}

func (s *stmts) prepare(ctx context.Context, conn *sql.Conn, e dialect) error {
	return prepareAll(ctx, conn, e, []prepared{
		// Somebody else may have added the repository a moment ago: then his row is returned.
		{&s.addRepo, `INSERT INTO repositories (host, name, lane) VALUES (?, ?, ?) ON CONFLICT (host, name) DO UPDATE SET name = excluded.name RETURNING id, lane`},
		{&s.release, `UPDATE items SET attempts = attempts + 1, due = ?, reason = ? WHERE id = ? AND state = 0`},
		{&s.bury, `UPDATE items SET state = 2, reason = ? WHERE id = ? AND state = 0`},
		{&s.discard, `DELETE FROM items WHERE id = ? AND state = 0`},
		{&s.deadOf, `SELECT connector, count(*) FROM items WHERE id = ? AND state = 2 GROUP BY connector`},
		{&s.retry, `UPDATE items SET state = 0, attempts = 0, due = 0, reason = '' WHERE id = ? AND state = 2`},
		{&s.allDead, `SELECT connector, count(*) FROM items WHERE state = 2 GROUP BY connector`},
		{&s.retryAll, `UPDATE items SET state = 0, attempts = 0, due = 0, reason = '' WHERE state = 2`},
		{&s.next, `SELECT next FROM lanes WHERE lane = ?`},
		{&s.advance, `INSERT INTO lanes (lane, next, block) VALUES (?1, ?2, ?3) ON CONFLICT (lane) DO UPDATE SET
			next = CASE WHEN lanes.next < excluded.next THEN excluded.next ELSE lanes.next END,
			block = CASE WHEN lanes.block < excluded.block THEN excluded.block ELSE lanes.block END`},
		{&s.sealedSeq, `SELECT seq FROM segments WHERE lane = ?`},
		{&s.addSegment, `INSERT INTO segments (lane, seq, host, bytes, txid, tx) VALUES (?, ?, ?, ?, ?, ?)`},
		{&s.reseal, `UPDATE segments SET txid = ?, tx = ? WHERE lane = ? AND seq = ? AND bytes = ?`},
		{&s.dropSegment, `DELETE FROM segments WHERE lane = ? AND seq = ? AND txid = ?`},
		{&s.sealedOf, `SELECT connector, count(*) FROM items WHERE state = 1 AND lane = ? GROUP BY connector`},
		{&s.deleteSealed, `DELETE FROM items WHERE state = 1 AND lane = ?`},
		{&s.returnSealed, `UPDATE items SET state = 0 WHERE state = 1 AND lane = ?`},
		{&s.done, `UPDATE meta SET done = done + ?`},
		{&s.addClients, `INSERT INTO clients (lane, seq, host, bytes, recorded) VALUES (?, ?, ?, ?, 0)`},
		{&s.clientsRecorded, `UPDATE clients SET recorded = 1 WHERE lane = ? AND seq = ?`},
		{&s.deleteClients, `DELETE FROM clients WHERE lane = ? AND seq = ?`},
		{&s.deleteRecordedClients, `DELETE FROM clients WHERE lane = ? AND seq = ? AND recorded = 1`},
		{&s.addUnusable, `INSERT INTO unusable (host, connector, reason, hash, size, body, times, received, last) VALUES (?, ?, ?, ?, ?, ?, 1, ?, ?)
			ON CONFLICT (connector, hash) DO UPDATE SET times = unusable.times + 1, last = excluded.last, reason = excluded.reason`},
		{&s.dropUnusable, `DELETE FROM unusable WHERE connector = ?1 AND id <= (SELECT id FROM unusable WHERE connector = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)`},
		{&s.countDropped, `INSERT INTO unusable_dropped (connector, dropped) VALUES (?, ?) ON CONFLICT (connector) DO UPDATE SET dropped = unusable_dropped.dropped + excluded.dropped`},
		{&s.removeUnusable, `DELETE FROM unusable WHERE id = ?`},
		{&s.removeAllUnusable, `DELETE FROM unusable`},
		{&s.forgetDropped, `DELETE FROM unusable_dropped`},
		{&s.addPlace, `INSERT INTO task_places (host, repository, turn, waiting) VALUES (?, ?, 0, 0) ON CONFLICT (host, repository) DO UPDATE SET host = excluded.host RETURNING id`},
		{&s.addTask, `INSERT INTO tasks (place, kind, digest, subject, tag, noted, attempts, due, wants, reason, dead, owner, lease, woken)
			VALUES (?, ?, ?, ?, ?, ?, 0, 0, '', '', 0, '', 0, 0) ON CONFLICT DO NOTHING`},
		{&s.countTasks, `UPDATE task_places SET waiting = waiting + ? WHERE id = ?`},
		{&s.doneTask, `DELETE FROM tasks WHERE id = ? AND owner = ? AND lease = ?`},
	})
}

// reads are the prepared statements of the reading connections, which see
// committed rows only.
type reads struct {
	oldest, segment, next, dead, counts, done, unexpirable, recordedClients, unusable, unusableCounts *sql.Stmt
}

const (
	itemFields    = `i.id, i.lane, i.attempts, i.repo, i.connector, i.event, i.body, i.received, r.host`
	selectItems   = `SELECT ` + itemFields + ` FROM items i JOIN repositories r ON r.id = i.repo`
	selectWaiting = selectItems + ` WHERE i.state = 0 AND i.lane = ?`
	selectCounts  = `SELECT state, connector, count(*) FROM items GROUP BY state, connector`
)

func prepareReads(ctx context.Context, db *sql.DB, e dialect) (r reads, err error) {
	return r, prepareAll(ctx, db, e, []prepared{
		// Lane by lane: the first of a lane is its oldest, and an index finds it.
		{&r.oldest, `WITH RECURSIVE numbers (lane) AS (SELECT 0 UNION ALL SELECT lane + 1 FROM numbers WHERE lane < ` + strconv.Itoa(maxLanes-1) + `)
			SELECT min((SELECT i.received FROM items i WHERE i.state = 0 AND i.lane = numbers.lane ORDER BY i.id LIMIT 1)) FROM numbers`},
		{&r.segment, `SELECT seq, host, bytes, txid, tx FROM segments WHERE lane = ?`},
		{&r.next, `SELECT next FROM lanes WHERE lane = ?`},
		{&r.dead, `SELECT ` + itemFields + `, i.reason FROM items i JOIN repositories r ON r.id = i.repo WHERE i.state = 2 AND i.id > ? ORDER BY i.id LIMIT ?`},
		{&r.counts, selectCounts},
		{&r.done, `SELECT done FROM meta`},
		{&r.recordedClients, `SELECT lane, seq, host, bytes FROM clients WHERE recorded = 1 AND (lane > ?1 OR lane = ?1 AND seq > ?2) ORDER BY lane, seq LIMIT ?3`},
		{&r.unusable, `SELECT id, host, connector, reason, hash, size, body, times, received, last FROM unusable WHERE id > ? ORDER BY id LIMIT ?`},
		{&r.unusableCounts, `SELECT connector, count(*), 0 FROM unusable GROUP BY connector UNION ALL SELECT connector, 0, dropped FROM unusable_dropped`},
		{&r.unexpirable, `SELECT event FROM items WHERE received < ?`},
	})
}
