package index

import (
	"context"
	"database/sql"
	"errors"
	"hash/fnv"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

const (
	defaultSchema = "waybill_index"
	// A replica that is paused in the middle of a block holds the row that all
	// wait for: the server ends its transaction first.
	idleWriter  = "4000" // ms
	idleReader  = "60000"
	dropTimeout = 30 * time.Second
	lockTimeout = "10000"
)

// postgresSchema is the same tables. Text is bytes there; see byteArgs.
func postgresSchema() string {
	return strings.NewReplacer(" WITHOUT ROWID", "", "BLOB", "BYTEA", "TEXT", "BYTEA", "INTEGER", "BIGINT", "x''", `'\x'`).Replace(schema)
}

// parseURL reads the URL without ever repeating it: it holds a password.
func parseURL(url string) (config *pgx.ConnConfig, schema string, err error) {
	if config, err = pgx.ParseConfig(url); err != nil {
		return nil, "", provenance.Errorf(provenance.Invalid, "index: this is no URL of a PostgreSQL database (postgres://USER:PASSWORD@HOST:PORT/DATABASE)")
	}
	schema = config.RuntimeParams["search_path"]
	if schema == "" {
		schema = defaultSchema
	}
	if !regexp.MustCompile(`^[a-z_][a-z0-9_]{0,50}$`).MatchString(schema) {
		return nil, "", provenance.Errorf(provenance.Invalid, "index: search_path %q: want the name of one schema, of at most 51 lower-case letters, digits and '_'", schema)
	}
	config.RuntimeParams["application_name"] = "waybill index"
	config.RuntimeParams["lock_timeout"] = lockTimeout
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 5 * time.Second
	}
	return inSchema(config, schema), schema, nil
}

func inSchema(config *pgx.ConnConfig, schema string) *pgx.ConnConfig {
	config = config.Copy()
	config.RuntimeParams["search_path"] = schema
	return config
}

func quoted(schema string) string { return pgx.Identifier{schema}.Sanitize() }

func createPostgres(ctx context.Context, url string) error {
	config, schema, err := parseURL(url)
	if err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return wrap(err, "create index")
	}
	defer closeConn(ctx, conn)
	return createSchema(ctx, conn, schema)
}

// createSchema makes the tables: one message of several statements is one transaction.
func createSchema(ctx context.Context, conn *pgx.Conn, schema string) error {
	first := strings.Replace(dollars(firstHead), "$1", strconv.Itoa(schemaVersion), 1)
	text := `CREATE SCHEMA ` + quoted(schema) + `; SET LOCAL search_path = ` + quoted(schema) + `;` + postgresSchema() + first
	_, err := conn.Exec(ctx, text, pgx.QueryExecModeSimpleProtocol)
	if code := serverCode(err); code == "42P06" || code == "23505" { // duplicate_schema; the same by somebody else at this moment
		return provenance.Errorf(provenance.Conflict, "create index: schema %s exists", schema)
	}
	if err != nil {
		return wrap(err, "create index in schema %s", schema)
	}
	return nil
}

func closeConn(ctx context.Context, conn *pgx.Conn) {
	_ = conn.Close(context.WithoutCancel(ctx)) // everything was committed, or failed, before
}

func openPostgres(ctx context.Context, url string) (engine, string, error) {
	config, schema, err := parseURL(url)
	if err != nil {
		return nil, "", err
	}
	e, err := openSchema(ctx, config)
	if err != nil {
		return nil, "", provenance.Wrap(provenance.CodeOf(err), err, "index in schema %s", schema)
	}
	return e, "in schema " + schema, nil
}

func openSchema(ctx context.Context, config *pgx.ConnConfig) (engine, error) {
	writing, reading := config.Copy(), config.Copy()
	writing.RuntimeParams["idle_in_transaction_session_timeout"] = idleWriter
	reading.RuntimeParams["idle_in_transaction_session_timeout"] = idleReader
	reading.RuntimeParams["default_transaction_read_only"] = "on"
	e := &serverEngine{config: writing, read: stdlib.OpenDB(*reading), turn: make(chan struct{}, 1)}
	e.read.SetMaxOpenConns(readers)
	e.read.SetMaxIdleConns(readers)
	if err := e.check(ctx); err != nil {
		_ = e.close() // the first error is the one to tell
		return nil, err
	}
	return e, nil
}

// check refuses a database that does not fit.
func (e *serverEngine) check(ctx context.Context) error {
	var h head
	err := e.read.QueryRowContext(ctx, selectHead).Scan(h.into()...)
	switch code := serverCode(err); {
	case code == "42P01": // undefined_table
		return provenance.Wrap(provenance.NotFound, err, "there is none; create it with: waybill-gateway init")
	case code == "42703" || errors.Is(err, sql.ErrNoRows): // undefined_column
		return provenance.Wrap(provenance.Conflict, err, "these are not the tables of an index; name another schema in the URL (search_path)")
	case err != nil:
		return wrap(err, "open")
	}
	return fits(h.version)
}

// besidePostgres makes a second schema. The connection holds a lock that keeps
// other rebuilders out.
func besidePostgres(ctx context.Context, url string) (*Rebuilding, error) {
	config, schema, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, wrap(err, "rebuild index")
	}
	beside := schema + "_new"
	e, err := openBeside(ctx, conn, inSchema(config, beside), schema, beside)
	if err != nil {
		closeAlone(ctx, conn)
		return nil, err
	}
	return &Rebuilding{
		Index:   &Index{name: "in schema " + beside, engine: e, st: applying()},
		replace: func(ctx context.Context) error { return replaceSchema(ctx, conn, beside, schema) },
		discard: func() error {
			ctx, cancel := context.WithTimeout(context.Background(), dropTimeout)
			defer cancel()
			defer closeAlone(ctx, conn)
			return dropSchema(ctx, conn, beside)
		},
	}, nil
}

// closeAlone closes a rebuilder's connection. The server notices a closed one
// when it comes to it; the lock must be free at once.
func closeAlone(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dropTimeout)
	defer cancel()
	_, _ = conn.Exec(ctx, `SELECT pg_advisory_unlock_all()`) // closing frees it as well, only later
	closeConn(ctx, conn)
}

func openBeside(ctx context.Context, conn *pgx.Conn, config *pgx.ConnConfig, schema, beside string) (engine, error) {
	number := fnv.New64()
	_, _ = number.Write([]byte("waybill reindex " + schema)) // a hash takes everything
	var alone bool
	if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, int64(number.Sum64())).Scan(&alone); err != nil { //nolint:gosec // any number will do
		return nil, wrap(err, "rebuild index")
	}
	if !alone {
		return nil, provenance.Errorf(provenance.Conflict, "rebuild index: somebody else is rebuilding the one in schema %s", schema)
	}
	if err := dropSchema(ctx, conn, beside); err != nil {
		return nil, err
	}
	if err := createSchema(ctx, conn, beside); err != nil {
		return nil, err
	}
	// Nothing of it is kept before it has its place, and the commit that gives it
	// one writes all before it to the disk.
	config.RuntimeParams["synchronous_commit"] = "off"
	e, err := openSchema(ctx, config)
	if err != nil {
		return nil, provenance.Wrap(provenance.CodeOf(err), err, "rebuild index")
	}
	return e, nil
}

func dropSchema(ctx context.Context, conn *pgx.Conn, schema string) error {
	if _, err := conn.Exec(ctx, `DROP SCHEMA IF EXISTS `+quoted(schema)+` CASCADE`); err != nil {
		return wrap(err, "remove schema %s", schema)
	}
	return nil
}

// replaceSchema drops the old schema and renames the new one. Whoever reads or
// writes the index starts at meta, so the lock on meta keeps all others out
// meanwhile; after it their statements find the new tables by name.
func replaceSchema(ctx context.Context, conn *pgx.Conn, beside, schema string) error {
	var there bool
	if err := conn.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, quoted(schema)+".meta").Scan(&there); err != nil {
		return wrap(err, "put the new index in its place")
	}
	text := `DROP SCHEMA IF EXISTS ` + quoted(schema) + ` CASCADE; ALTER SCHEMA ` + quoted(beside) + ` RENAME TO ` + quoted(schema)
	if there {
		text = `LOCK TABLE ` + quoted(schema) + `.meta IN ACCESS EXCLUSIVE MODE; ` + text
	}
	if _, err := conn.Exec(ctx, text, pgx.QueryExecModeSimpleProtocol); err != nil {
		return wrap(err, "put the new index in its place")
	}
	return nil
}
