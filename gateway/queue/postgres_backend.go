package queue

import (
	"bytes"
	"context"
	"database/sql"
	"slices"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// serverEngine is PostgreSQL: several processes, each statement a journey. So
// what SQLite does row by row is done here for a whole batch, with arrays.
type postgresBackend struct {
	readers *sql.DB
	replica string
	lanes   int
}

// note is what a batch knows of an event id.
type note struct {
	body []byte
	// ours: the batch itself inserted the row; taken: a caller has had it as fresh.
	ours, taken bool
	changed     bool // the row holds the body of a caller that was refused
	at          int64
}

func (*postgresBackend) bind(query string) string { return sqldb.Dollars(query) }

func (*postgresBackend) prepare(context.Context, *sql.Conn) error { return nil } // pgx keeps its own

// begin wants READ COMMITTED whatever the server's default: a statement after a
// lock was given must see what the lock was waited for.
func (*postgresBackend) begin(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, `BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE`)
	return err
}

func (*postgresBackend) commit(b *batch) error {
	return sqldb.CommitOn(b.ctx, b.w.conn)
}

// prefetch inserts the ids of all deliveries in hand, in one order that all
// replicas keep: two that insert the same ids wait for each other, and never in
// a circle. Who waited then sees the other's row, and counts a duplicate.
func (e *postgresBackend) prefetch(b *batch, ops []*op) error {
	b.noted = map[string]*note{}
	for _, o := range ops {
		for i := range o.deliveries {
			d := &o.deliveries[i]
			if key := string(d.Event.ID[:]); b.noted[key] == nil {
				b.noted[key] = &note{body: d.BodyHash[:dedupBody], at: dedupTime(b.now, d)}
			}
		}
	}
	missing := make([]string, 0, len(b.noted))
	for key := range b.noted {
		missing = append(missing, key)
	}
	slices.Sort(missing)
	// An id that is known when it is inserted and gone when it is read was forgotten in between: once more.
	for range maxAttempts {
		if len(missing) == 0 {
			return nil
		}
		var err error
		if missing, err = e.noteAll(b, missing); err != nil {
			return err
		}
	}
	if len(missing) > 0 {
		return provenance.Errorf(provenance.Unavailable, "accept events: their ids come and go")
	}
	return nil
}

// noteAll inserts ids and reads those that were there; it returns those it found neither way.
func (e *postgresBackend) noteAll(b *batch, sorted []string) ([]string, error) {
	ids, bodies, at := make([][]byte, len(sorted)), make([][]byte, len(sorted)), make([]int64, len(sorted))
	for i, key := range sorted {
		ids[i], bodies[i], at[i] = []byte(key), b.noted[key].body, b.noted[key].at
	}
	fresh, err := e.readIDs(b, `INSERT INTO seen (id, body, at) SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bigint[])
		ON CONFLICT DO NOTHING RETURNING id, body`, ids, bodies, at)
	if err != nil {
		return nil, err
	}
	var rest [][]byte
	for key := range fresh {
		b.noted[key].ours = true
	}
	for _, id := range ids {
		if !b.noted[string(id)].ours {
			rest = append(rest, id)
		}
	}
	if len(rest) == 0 {
		return nil, nil
	}
	known, err := e.readIDs(b, `SELECT id, body FROM seen WHERE id = ANY ($1::bytea[])`, rest)
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, id := range rest {
		body, ok := known[string(id)]
		if !ok {
			missing = append(missing, string(id))
			continue
		}
		b.noted[string(id)].body = body
	}
	return missing, nil
}

func (*postgresBackend) readIDs(b *batch, query string, args ...any) (map[string][]byte, error) {
	rows, err := b.w.conn.QueryContext(b.ctx, query, args...)
	if err != nil {
		return nil, sqldb.Wrap(err, "accept events")
	}
	defer rows.Close()
	out := map[string][]byte{}
	for rows.Next() {
		var id, body []byte
		if err := rows.Scan(&id, &body); err != nil {
			return nil, sqldb.Wrap(err, "accept events")
		}
		out[string(id)] = body
	}
	return out, sqldb.Wrap(rows.Err(), "accept events")
}

func (*postgresBackend) noteID(b *batch, id, body []byte, _ int64) (fresh bool, err error) {
	n := b.noted[string(id)]
	if n.ours && !n.taken {
		n.taken = true
		if !bytes.Equal(n.body, body) {
			n.body, n.changed = body, true
		}
		return true, nil
	}
	if !sameBody(n.body, body) {
		return false, otherBody(id)
	}
	return false, nil
}

// forgetIDs takes back what a refused caller had as fresh; flush drops the row
// unless another caller of the batch takes it. Ids that the batch knows nothing
// of are old ones to be forgotten.
func (*postgresBackend) forgetIDs(b *batch, ids [][]byte) error {
	var old [][]byte
	for _, id := range ids {
		if n := b.noted[string(id)]; n != nil && n.ours {
			n.taken = false
		} else if n == nil {
			old = append(old, id)
		}
	}
	return dropIDs(b, old)
}

func dropIDs(b *batch, ids [][]byte) error {
	if len(ids) == 0 {
		return nil
	}
	slices.SortFunc(ids, bytes.Compare)
	_, err := b.w.conn.ExecContext(b.ctx, `DELETE FROM seen WHERE id = ANY ($1::bytea[])`, ids)
	return sqldb.Wrap(err, "forget event ids")
}

func (e *postgresBackend) flush(b *batch) error {
	var unused [][]byte
	for key, n := range b.noted {
		switch {
		case n.ours && !n.taken:
			unused = append(unused, []byte(key))
		case n.changed:
			if _, err := b.w.conn.ExecContext(b.ctx, `UPDATE seen SET body = $2 WHERE id = $1`, []byte(key), n.body); err != nil {
				return sqldb.Wrap(err, "accept events")
			}
		}
	}
	if err := dropIDs(b, unused); err != nil {
		return err
	}
	if err := e.insert(b); err != nil || len(b.items) == 0 && len(b.repos) == 0 {
		return err
	}
	// excludeOthers locks these tables before it changes the number. So either it
	// has committed, and is seen here, or it waits for us and moves our rows.
	var lanes int
	if err := b.w.conn.QueryRowContext(b.ctx, `SELECT lanes FROM meta`).Scan(&lanes); err != nil {
		return sqldb.Wrap(err, "accept events")
	}
	if lanes != e.lanes {
		return b.w.breakWith(lanesChanged(lanes))
	}
	return nil
}

func (*postgresBackend) insert(b *batch) error {
	if len(b.items) == 0 {
		return nil
	}
	n := len(b.items)
	lanes, repos, connectors := make([]int32, n), make([]int64, n), make([]string, n)
	events, bodies, received := make([][]byte, n), make([][]byte, n), make([]int64, n)
	for i, it := range b.items {
		lanes[i], repos[i], connectors[i] = int32(it.repo.lane), it.repo.id, it.delivery.Connector
		events[i], bodies[i], received[i] = it.event, it.delivery.BodyHash[:], it.delivery.ReceivedAt.UnixMilli()
	}
	_, err := b.w.conn.ExecContext(b.ctx, `INSERT INTO items (state, lane, repo, connector, event, body, received)
		SELECT 0, u.* FROM unnest($1::integer[], $2::bigint[], $3::text[], $4::bytea[], $5::bytea[], $6::bigint[]) AS u`,
		lanes, repos, connectors, events, bodies, received)
	return sqldb.Wrap(err, "accept events")
}

func (*postgresBackend) sealItems(b *batch, lane int, ids []int64) (sql.Result, error) {
	return b.w.conn.ExecContext(b.ctx, `UPDATE items SET state = 1 WHERE state = 0 AND lane = $1 AND id = ANY ($2::bigint[])`, lane, ids)
}

func (*postgresBackend) relocate(context.Context, *sql.Tx) error { return nil }

func (e *postgresBackend) fence(b *batch, lane int, epoch int64) error {
	result, err := b.w.conn.ExecContext(b.ctx, `SELECT 1 FROM lanes WHERE lane = $1 AND owner = $2 AND epoch = $3 FOR UPDATE`, lane, e.replica, epoch)
	if err != nil {
		return sqldb.Wrap(err, "check lane")
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return firstError(sqldb.Wrap(err, "check lane"), laneLost(lane))
	}
	return nil
}

// leaseRows asks for the first item's host and then for so many items of that
// host: without a LIMIT the server would send a whole backlog. What waits for
// its own time may be among them, and is left out by who reads.
func (e *postgresBackend) leaseRows(ctx context.Context, lane int, want wanted) (*sql.Rows, error) {
	return e.readers.QueryContext(ctx, `WITH first AS MATERIALIZED (
			SELECT r.host FROM items i JOIN repositories r ON r.id = i.repo
			WHERE i.state = 0 AND i.lane = $1 AND i.repo <> ALL ($2::bigint[]) AND i.id <> ALL ($4::bigint[]) AND i.id > $6 AND r.host <> $5 AND ($7 = '' OR r.host = $7)
			ORDER BY i.id LIMIT 1)
		`+selectItems+` WHERE i.state = 0 AND i.lane = $1 AND i.repo <> ALL ($2::bigint[]) AND i.id > $6 AND r.host = (SELECT host FROM first) ORDER BY i.id LIMIT $3`,
		lane, keys(want.blocked), want.n+len(want.deferred), keys(want.deferred), string(want.notHost), want.after, string(want.host))
}
