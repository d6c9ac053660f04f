package queue

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

const readerConns = 4

// serverVersion is kept in meta.
const serverVersion = 5

// The same tables as in SQLite, and who holds which lane. Indexes are partial:
// an item leaves the one and enters the other, and dead letters are in
// nobody's way.
const postgresSchema = `
CREATE TABLE meta (version INTEGER NOT NULL, name TEXT NOT NULL, lanes INTEGER NOT NULL, done BIGINT NOT NULL, secret BYTEA NOT NULL);
CREATE TABLE lanes (
  lane INTEGER PRIMARY KEY, next BIGINT NOT NULL DEFAULT 1, block BIGINT NOT NULL DEFAULT 0,
  owner TEXT NOT NULL DEFAULT '', -- a replica; '': free
  epoch BIGINT NOT NULL DEFAULT 0, -- grows with every change of hands
  expires TIMESTAMPTZ NOT NULL DEFAULT '-infinity');
CREATE TABLE replicas (id TEXT PRIMARY KEY, expires TIMESTAMPTZ NOT NULL);
CREATE TABLE repositories (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, host TEXT NOT NULL, name TEXT NOT NULL, lane INTEGER NOT NULL, UNIQUE (host, name));
CREATE TABLE seen (id BYTEA PRIMARY KEY, body BYTEA NOT NULL, at BIGINT NOT NULL);
CREATE TABLE items (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  state INTEGER NOT NULL, lane INTEGER NOT NULL, repo BIGINT NOT NULL, connector TEXT NOT NULL, event BYTEA NOT NULL, body BYTEA NOT NULL,
  received BIGINT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, due BIGINT NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '')
  WITH (autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX items_waiting ON items (lane, id) WHERE state = 0;
CREATE INDEX items_sealed ON items (lane) WHERE state = 1;
CREATE INDEX items_dead ON items (id) WHERE state = 2;
CREATE INDEX items_held ON items (lane, repo) WHERE state = 0 AND due > 0;
CREATE TABLE segments (lane INTEGER PRIMARY KEY, seq BIGINT NOT NULL, host TEXT NOT NULL, bytes BYTEA NOT NULL, txid TEXT NOT NULL, tx BYTEA NOT NULL);
` + clientsPostgres + tasksPostgres + unusablePostgres + `
INSERT INTO meta (version, name, lanes, done, secret) VALUES ($VERSION, '$NAME', 0, 0, '\x$SECRET');`

const clientsPostgres = `CREATE TABLE clients (lane INTEGER NOT NULL, seq BIGINT NOT NULL, host TEXT NOT NULL, bytes BYTEA NOT NULL, recorded INTEGER NOT NULL, PRIMARY KEY (lane, seq));`

const tasksPostgres = `
CREATE TABLE task_height (height BIGINT NOT NULL, turn BIGINT NOT NULL);
INSERT INTO task_height (height, turn) VALUES (0, 0);
CREATE TABLE task_places (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, host TEXT NOT NULL, repository TEXT NOT NULL,
  turn BIGINT NOT NULL, waiting BIGINT NOT NULL, UNIQUE (host, repository));
CREATE INDEX task_places_turn ON task_places (turn, id) WHERE waiting > 0;
CREATE TABLE tasks (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, place BIGINT NOT NULL, kind TEXT NOT NULL, digest TEXT NOT NULL, subject TEXT NOT NULL, tag TEXT NOT NULL,
  noted BIGINT NOT NULL, attempts INTEGER NOT NULL, due BIGINT NOT NULL, wants TEXT NOT NULL, reason TEXT NOT NULL,
  dead INTEGER NOT NULL, owner TEXT NOT NULL, lease BIGINT NOT NULL, woken INTEGER NOT NULL, UNIQUE (place, kind, digest, subject));
CREATE INDEX tasks_ready ON tasks (place, kind, due) WHERE dead = 0 AND owner = '';
CREATE INDEX tasks_due ON tasks (due) WHERE dead = 0 AND owner = '';
CREATE INDEX tasks_dead ON tasks (id) WHERE dead = 1;
CREATE INDEX tasks_wants ON tasks (wants, subject) WHERE wants <> '';
CREATE INDEX tasks_owned ON tasks (owner) WHERE owner <> '';
`

// parseURL reads the URL: a paused replica must not hold locks for long.
func parseURL(url string, laneTTL time.Duration) (*sqldb.Server, error) {
	server, err := sqldb.ParseURL("queue", url, 0)
	if err != nil {
		return nil, err
	}
	return server.With(sqldb.Settings{sqldb.IdleLimit: sqldb.Milliseconds(max(laneTTL, 2*time.Second))}), nil
}

func createPostgres(ctx context.Context, url string) error {
	server, err := parseURL(url, defaultLaneTTL)
	if err != nil {
		return err
	}
	name, err := newName()
	if err != nil {
		return err
	}
	secret, err := newSecret()
	if err != nil {
		return err
	}
	session, err := server.Connect(ctx)
	if err != nil {
		return sqldb.Wrap(err, "create queue")
	}
	defer session.Close(ctx)
	tables := strings.NewReplacer("$VERSION", strconv.Itoa(serverVersion), "$NAME", name, "$SECRET", hex.EncodeToString(secret[:])).Replace(postgresSchema)
	err = session.Create(ctx, server.Schema, tables)
	if sqldb.IsExisting(err) {
		return provenance.Errorf(provenance.Conflict, "create queue: schema %s exists", server.Schema)
	}
	return sqldb.Wrap(err, "create queue")
}

func (q *Queue) openPostgres(ctx context.Context, url string) error {
	place, err := parseURL(url, q.options.LaneTTL)
	if err != nil {
		return err
	}
	name, err := newName()
	if err != nil {
		return err
	}
	q.replica = fmt.Sprintf("%016x-%s", time.Now().UnixNano(), name) // sorts by age: who was first keeps the odd lane
	q.writerD, q.readers = place.Open(1), place.With(sqldb.Settings{sqldb.ReadOnly: "on"}).Open(readerConns)
	server := &postgresBackend{readers: q.readers, replica: q.replica, lanes: q.options.Lanes}
	q.backend = backend{server, server, server, server, server}
	if err := q.checkServer(ctx, place.Schema); err != nil {
		return err
	}
	if q.options.Exclusive {
		if err := q.waitForExpired(ctx); err != nil {
			return err
		}
	}
	if err := q.load(ctx, q.excludeOthers); err != nil {
		return err
	}
	if _, err := q.writerD.ExecContext(ctx, `INSERT INTO lanes (lane) SELECT generate_series(0, $1::integer - 1) ON CONFLICT DO NOTHING`, q.options.Lanes); err != nil {
		return sqldb.Wrap(err, "open queue")
	}
	if err := q.start(ctx); err != nil {
		return err
	}
	if err := q.heartbeat(ctx); err != nil {
		return err
	}
	if q.options.Exclusive {
		if err := q.takeAllLanes(ctx); err != nil {
			return err
		}
	}
	q.resumeSegments()
	return nil
}

// checkServer refuses a database that does not fit, and a server that does not
// keep what it commits.
func (q *Queue) checkServer(ctx context.Context, schema string) error {
	var version int
	err := q.writerD.QueryRowContext(ctx, `SELECT version FROM meta`).Scan(&version)
	if sqldb.IsNoTable(err) || errors.Is(err, sql.ErrNoRows) {
		return provenance.Wrap(provenance.NotFound, err, "open queue: no queue in schema %s (waybill-gateway init creates it)", schema)
	}
	if err != nil {
		return sqldb.Wrap(err, "open queue")
	}
	if version < 2 || version > serverVersion {
		return mismatch(version, serverVersion)
	}
	if version < serverVersion {
		if err := q.upgradeServer(ctx, version); err != nil {
			return err
		}
	}
	var fsync, commit string
	if err := q.writerD.QueryRowContext(ctx, `SELECT current_setting('fsync'), current_setting('synchronous_commit')`).Scan(&fsync, &commit); err != nil {
		return sqldb.Wrap(err, "open queue")
	}
	if fsync != "on" || commit == "off" {
		return provenance.Errorf(provenance.Invalid, "open queue: the server runs with fsync=%s, synchronous_commit=%s: it would lose accepted events in a crash", fsync, commit)
	}
	return nil
}

// upgradeServer adds what an older version did not have. Replicas of that
// version go on beside it; the row of meta lets one upgrade at a time.
func (q *Queue) upgradeServer(ctx context.Context, from int) error {
	tx, err := q.writerD.BeginTx(ctx, nil)
	if err != nil {
		return sqldb.Wrap(err, "upgrade queue")
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it has nothing to do
	done, err := tx.ExecContext(ctx, `UPDATE meta SET version = $1 WHERE version = $2`, serverVersion, from)
	if err != nil {
		return sqldb.Wrap(err, "upgrade queue")
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return sqldb.Wrap(err, "upgrade queue") // another replica was faster
	}
	var steps []string
	if from < 3 {
		secret, err := newSecret()
		if err != nil {
			return err
		}
		steps = append(steps, clientsPostgres, fmt.Sprintf(`ALTER TABLE meta ADD COLUMN secret BYTEA NOT NULL DEFAULT '\x%x'`, secret))
	}
	if from < 4 {
		steps = append(steps, strings.Split(strings.TrimSpace(tasksPostgres), ";\n")...)
	}
	for _, step := range append(steps, strings.Split(strings.TrimSpace(unusablePostgres), ";\n")...) {
		if _, err := tx.ExecContext(ctx, step); err != nil {
			return sqldb.Wrap(err, "upgrade queue")
		}
	}
	return sqldb.Wrap(tx.Commit(), "upgrade queue")
}

// excludeOthers lets the number of lanes change: it refuses while another
// replica lives, takes all lanes from the dead, and locks out who only seemed
// dead; that one finds out before its next commit (serverEngine.flush).
func (q *Queue) excludeOthers(ctx context.Context, tx *sql.Tx) error {
	if _, err := tx.ExecContext(ctx, `LOCK TABLE repositories, items IN SHARE ROW EXCLUSIVE MODE`); err != nil {
		return sqldb.Wrap(err, "change lanes")
	}
	var live int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM replicas WHERE expires > clock_timestamp()`).Scan(&live); err != nil {
		return sqldb.Wrap(err, "change lanes")
	}
	if live > 0 {
		return provenance.Errorf(provenance.Conflict, "open queue: %d replicas run with another number of lanes; stop them before changing it", live)
	}
	_, err := tx.ExecContext(ctx, `UPDATE lanes SET owner = '', expires = '-infinity', epoch = epoch + 1`)
	return sqldb.Wrap(err, "change lanes")
}

// adopt lets lanes with an open segment be leased from at once: whoever opens a
// queue asks Sealed first, as after any start.
func (q *Queue) resumeSegments() {
	for lane := range q.options.Lanes {
		q.segmentClosed(lane)
	}
}
