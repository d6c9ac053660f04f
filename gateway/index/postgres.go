package index

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

const (
	// A replica that is paused in the middle of a block holds the row that all
	// wait for: the server ends its transaction first.
	idleWriter  = 4 * time.Second
	idleReader  = time.Minute
	dropTimeout = 30 * time.Second
	// nextSuffix is what the name of a schema that is being rebuilt ends in.
	nextSuffix = "_new"
	nextLength = 12 // letters spared for it, and for what comes after it one day
)

// postgresSchema is the same tables. Text is bytes there; see byteArgs.
func postgresSchema() string {
	return strings.NewReplacer(" WITHOUT ROWID", "", "BLOB", "BYTEA", "TEXT", "BYTEA", "INTEGER", "BIGINT", "x''", `'\x'`).Replace(schema)
}

func parseURL(url string) (*sqldb.Server, error) { return sqldb.ParseURL("index", url, nextLength) }

func createPostgres(ctx context.Context, url string) error {
	server, err := parseURL(url)
	if err != nil {
		return err
	}
	session, err := server.Connect(ctx)
	if err != nil {
		return sqldb.Wrap(err, "create index")
	}
	defer session.Close(ctx)
	return createSchema(ctx, session, server.Schema)
}

func createSchema(ctx context.Context, session *sqldb.Session, schema string) error {
	first := strings.Replace(dollars(firstHead), "$1", strconv.Itoa(schemaVersion), 1)
	err := session.Create(ctx, schema, postgresSchema()+first)
	if sqldb.IsExisting(err) {
		return provenance.Errorf(provenance.Conflict, "create index: schema %s exists", schema)
	}
	return sqldb.Wrap(err, "create index in schema %s", schema)
}

func openPostgres(ctx context.Context, url string) (backend, string, error) {
	server, err := parseURL(url)
	if err != nil {
		return nil, "", err
	}
	e, err := openSchema(ctx, server)
	if err != nil {
		return nil, "", provenance.Wrap(provenance.CodeOf(err), err, "index in schema %s", server.Schema)
	}
	return e, "in schema " + server.Schema, nil
}

func openSchema(ctx context.Context, server *sqldb.Server) (backend, error) {
	writing := server.With(sqldb.Settings{sqldb.IdleLimit: sqldb.Milliseconds(idleWriter)})
	reading := server.With(sqldb.Settings{sqldb.IdleLimit: sqldb.Milliseconds(idleReader), sqldb.ReadOnly: "on"})
	e := &postgresBackend{write: writing.Writer(), read: reading.Open(readers)}
	if err := e.check(ctx); err != nil {
		_ = e.close() // the first error is the one to tell
		return nil, err
	}
	return e, nil
}

// check refuses a database that does not fit.
func (e *postgresBackend) check(ctx context.Context) error {
	var h head
	err := e.read.QueryRowContext(ctx, selectHead).Scan(h.into()...)
	switch {
	case sqldb.IsNoTable(err):
		return provenance.Wrap(provenance.NotFound, err, "there is none; create it with: waybill-gateway init")
	case sqldb.IsNoColumn(err) || errors.Is(err, sql.ErrNoRows):
		return provenance.Wrap(provenance.Conflict, err, "these are not the tables of an index; name another schema in the URL (search_path)")
	case err != nil:
		return sqldb.Wrap(err, "open")
	}
	return fits(h.version)
}

// replacePostgres makes a second schema. The session holds a lock that keeps
// other rebuilders out.
func replacePostgres(ctx context.Context, url string) (*Replacement, error) {
	server, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	session, err := server.Connect(ctx)
	if err != nil {
		return nil, sqldb.Wrap(err, "rebuild index")
	}
	next := server.In(server.Schema + nextSuffix)
	e, err := openReplacement(ctx, session, next, server.Schema)
	if err != nil {
		session.Close(ctx)
		return nil, err
	}
	return &Replacement{
		Index: &Index{name: "in schema " + next.Schema, backend: e, st: applying()},
		replace: func(ctx context.Context) error {
			return sqldb.Wrap(session.Rename(ctx, next.Schema, server.Schema, "meta"), "put the new index in its place")
		},
		discard: func() error {
			ctx, cancel := context.WithTimeout(context.Background(), dropTimeout)
			defer cancel()
			defer session.Close(ctx)
			return sqldb.Wrap(session.Drop(ctx, next.Schema), "remove schema %s", next.Schema)
		},
	}, nil
}

func openReplacement(ctx context.Context, session *sqldb.Session, next *sqldb.Server, schema string) (backend, error) {
	ok, err := session.TryLock(ctx, "waybill reindex "+schema)
	if err != nil {
		return nil, sqldb.Wrap(err, "rebuild index")
	}
	if !ok {
		return nil, provenance.Errorf(provenance.Conflict, "rebuild index: somebody else is rebuilding the one in schema %s", schema)
	}
	if err := session.Drop(ctx, next.Schema); err != nil {
		return nil, sqldb.Wrap(err, "remove schema %s", next.Schema)
	}
	if err := createSchema(ctx, session, next.Schema); err != nil {
		return nil, err
	}
	// Nothing of it is kept before it has its place, and the commit that gives it
	// one writes all before it to the disk.
	e, err := openSchema(ctx, next.With(sqldb.Settings{sqldb.Commit: "off"}))
	if err != nil {
		return nil, provenance.Wrap(provenance.CodeOf(err), err, "rebuild index")
	}
	return e, nil
}
