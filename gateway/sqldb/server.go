package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"regexp"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

const (
	// lockTimeout is how long anybody waits for another's lock.
	lockTimeout    = 10 * time.Second
	connectTimeout = 5 * time.Second
	maxSchema      = 63 // letters of a schema's name that PostgreSQL keeps
)

// Server is one schema of a PostgreSQL database.
type Server struct {
	// Schema is where its tables live.
	Schema string
	config *pgx.ConnConfig
}

// Settings are a connection's settings on the server, beside those of the URL.
type Settings map[string]string

// Common settings.
const (
	ReadOnly  = "default_transaction_read_only"       // on
	IdleLimit = "idle_in_transaction_session_timeout" // ms; see Milliseconds
	Commit    = "synchronous_commit"                  // off: the last commits may be lost
)

// Milliseconds is a time as the server's settings want it.
func Milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// ParseURL reads the URL of a database without ever repeating it. What names
// the use in errors and on the server; its schema is the URL's search_path, by
// default waybill_ and what. So many letters of the longest name are spared for
// a suffix (see In).
func ParseURL(what, url string, spared int) (*Server, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, provenance.Errorf(provenance.Invalid, "%s: this is no URL of a PostgreSQL database (postgres://USER:PASSWORD@HOST:PORT/DATABASE)", what)
	}
	schema := config.RuntimeParams["search_path"]
	if schema == "" {
		schema = "waybill_" + what
	}
	if !regexp.MustCompile(fmt.Sprintf(`^[a-z_][a-z0-9_]{0,%d}$`, maxSchema-spared-1)).MatchString(schema) {
		return nil, provenance.Errorf(provenance.Invalid, "%s: search_path %q: want the name of one schema, of at most %d lower-case letters, digits and '_'", what, schema, maxSchema-spared)
	}
	config.RuntimeParams["application_name"] = "waybill " + what
	config.RuntimeParams["lock_timeout"] = Milliseconds(lockTimeout)
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	return (&Server{config: config}).In(schema), nil
}

// In is the same database with another schema.
func (s *Server) In(schema string) *Server {
	return &Server{Schema: schema, config: s.with(Settings{"search_path": schema})}
}

// With is the same schema under further settings.
func (s *Server) With(settings Settings) *Server {
	return &Server{Schema: s.Schema, config: s.with(settings)}
}

func (s *Server) with(settings Settings) *pgx.ConnConfig {
	config := s.config.Copy()
	maps.Copy(config.RuntimeParams, settings)
	return config
}

// Open opens a pool of connections, which connects when it is first used.
func (s *Server) Open(connections int) *sql.DB {
	db := stdlib.OpenDB(*s.config)
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db
}

// CommitOn ends a transaction that was begun on a connection of a pool, and
// reads the answer: to a COMMIT in a failed transaction the server says
// ROLLBACK, and that is no error to the protocol.
func CommitOn(ctx context.Context, conn *sql.Conn) error {
	return conn.Raw(func(driver any) error {
		tag, err := driver.(*stdlib.Conn).Conn().Exec(ctx, `COMMIT`)
		if err == nil && tag.String() != "COMMIT" {
			err = fmt.Errorf("the server answered %s to COMMIT", tag)
		}
		return err
	})
}

// Quoted is a schema's name as it may stand in a statement.
func Quoted(schema string) string { return pgx.Identifier{schema}.Sanitize() }

// Session is one connection of its own, for what changes a schema as a whole.
type Session struct{ conn *pgx.Conn }

// Connect opens a session. Close it.
func (s *Server) Connect(ctx context.Context) (*Session, error) {
	conn, err := pgx.ConnectConfig(ctx, s.config)
	if err != nil {
		return nil, err
	}
	return &Session{conn}, nil
}

// Run runs several statements as one message, and so in one transaction.
func (s *Session) Run(ctx context.Context, script string) error {
	_, err := s.conn.Exec(ctx, script, pgx.QueryExecModeSimpleProtocol)
	return err
}

// Create makes a schema and what a script of statements makes in it, all at
// once. IsExisting tells that there is one.
func (s *Session) Create(ctx context.Context, schema, script string) error {
	return s.Run(ctx, `CREATE SCHEMA `+Quoted(schema)+`; SET LOCAL search_path = `+Quoted(schema)+`;`+script)
}

// Drop removes a schema, if it is there.
func (s *Session) Drop(ctx context.Context, schema string) error {
	return s.Run(ctx, `DROP SCHEMA IF EXISTS `+Quoted(schema)+` CASCADE`)
}

// Rename puts a schema in another's place, which goes. Whoever uses the old one
// starts at the table first, so that the lock on it keeps all others out
// meanwhile; after it their statements find the new tables by name.
func (s *Session) Rename(ctx context.Context, from, to, first string) error {
	var there bool
	if err := s.conn.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, Quoted(to)+"."+first).Scan(&there); err != nil {
		return err
	}
	script := `DROP SCHEMA IF EXISTS ` + Quoted(to) + ` CASCADE; ALTER SCHEMA ` + Quoted(from) + ` RENAME TO ` + Quoted(to)
	if there {
		script = `LOCK TABLE ` + Quoted(to) + `.` + first + ` IN ACCESS EXCLUSIVE MODE; ` + script
	}
	return s.Run(ctx, script)
}

// TryLock takes a lock that the server knows by name only, and keeps it until
// Close; ok is false when somebody else has it.
func (s *Session) TryLock(ctx context.Context, name string) (ok bool, err error) {
	number := fnv.New64()
	_, _ = number.Write([]byte(name))                                                              // a hash takes everything
	err = s.conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, int64(number.Sum64())).Scan(&ok) //nolint:gosec // any number will do
	return ok, err
}

// Close frees locks and closes the connection. The server notices a closed one
// only when it comes to it; a lock must be free at once.
func (s *Session) Close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectTimeout)
	defer cancel()
	_, err := s.conn.Exec(ctx, `SELECT pg_advisory_unlock_all()`)
	_ = errors.Join(err, s.conn.Close(ctx)) // everything was committed, or failed, before; closing frees locks as well, only later
}
