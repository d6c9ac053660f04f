package index

import (
	"context"
	"database/sql"
	"maps"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/gateway/sqldb"
)

const (
	// writeTimeout bounds a write transaction: a server that went silent must not hold the follower for ever.
	writeTimeout = 2 * time.Minute
	maxQueued    = 4000     // statements and keys of one message
	maxMessage   = 8 << 20  // bytes of the keys of one message
	maxKept      = 16 << 20 // bytes of keys kept between two blocks of a batch
)

// serverEngine is PostgreSQL: several processes, each statement a journey. So
// the keys that a block touches are read at once and written at once, and its
// rows are sent without waiting for each answer.
type postgresBackend struct {
	write *sqldb.Writer
	read  *sql.DB
}

func (e *postgresBackend) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := e.read.Close()
	_ = e.write.Close(ctx) // nothing is in hand
	return err
}

func (e *postgresBackend) begin(ctx context.Context) (session, error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	tx, err := e.write.Begin(ctx)
	if err != nil {
		cancel()
		return session{}, err
	}
	s := &postgresSession{tx: tx, known: map[string]stored{}, changed: map[string]bool{}}
	return session{s, s, s, func() { tx.Rollback(); cancel() }}, nil
}

// serverSession keeps what the transaction knows of the keys, and what is still
// to be sent. Nothing else writes to kv while it holds meta's row.
type postgresSession struct {
	tx      *sqldb.Tx
	known   map[string]stored // keys as they stand; no value: absent
	kept    int               // bytes of them
	changed map[string]bool   // to be written
	size    int               // bytes of those
}

func (s *postgresSession) head() (h head, err error) {
	found, err := s.tx.Row(selectHead+` FOR UPDATE`, nil, h.into()...)
	if err == nil && !found {
		err = sql.ErrNoRows
	}
	return h, err
}

func (s *postgresSession) setHead(height uint64, hash []byte) error {
	s.tx.Queue(dollars(updateHead), height, hash)
	return nil
}

func (s *postgresSession) load(keys []string) error {
	if s.kept > maxKept {
		if err := s.flush(); err != nil {
			return err
		}
		clear(s.known)
		s.kept = 0
	}
	missing := make([][]byte, 0, len(keys))
	for _, key := range keys {
		if _, known := s.known[key]; !known {
			missing = append(missing, []byte(key))
			s.keep(key, stored{})
		}
	}
	if len(missing) == 0 {
		return nil
	}
	var key []byte
	var v stored
	err := s.tx.Rows(`SELECT key, since, past, value FROM kv WHERE key = ANY ($1)`, []any{missing}, []any{&key, &v.since, &v.past, &v.value}, func() error {
		v.value = notNil(v.value)
		s.keep(string(key), v)
		v = stored{}
		return nil
	})
	return sqldb.Wrap(err, "index: read keys")
}

func (s *postgresSession) get(key string) (stored, error) {
	if _, known := s.known[key]; !known {
		if err := s.load([]string{key}); err != nil {
			return stored{}, err
		}
	}
	return s.known[key], nil
}

func (s *postgresSession) put(key string, v stored) error {
	s.keep(key, v)
	s.changed[key], s.size = true, s.size+len(v.value)
	return s.bound()
}

func (s *postgresSession) keep(key string, v stored) {
	s.known[key], s.kept = v, s.kept+len(key)+len(v.value)
}

func (s *postgresSession) exec(st *statement, args ...any) error {
	s.tx.Queue(st.dollars, byteArgs(args)...)
	return s.bound()
}

func (s *postgresSession) bound() error {
	if s.tx.Queued()+len(s.changed) < maxQueued && s.size < maxMessage {
		return nil
	}
	return s.flush()
}

// flush sends what was put off.
func (s *postgresSession) flush() error {
	s.queueKeys()
	clear(s.changed)
	s.size = 0
	return sqldb.Wrap(s.tx.Flush(), "index: write")
}

func (s *postgresSession) queueKeys() {
	var put, values, drop [][]byte
	var since, past []int64
	for _, key := range slices.Sorted(maps.Keys(s.changed)) {
		if v := s.known[key]; v.value != nil {
			put, since, past, values = append(put, []byte(key)), append(since, int64(v.since)), append(past, int64(v.past)), append(values, v.value)
		} else {
			drop = append(drop, []byte(key))
		}
	}
	if len(put) > 0 {
		s.tx.Queue(`INSERT INTO kv (key, since, past, value) SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bytea[])
			ON CONFLICT (key) DO UPDATE SET since = excluded.since, past = excluded.past, value = excluded.value`, put, since, past, values)
	}
	if len(drop) > 0 {
		s.tx.Queue(`DELETE FROM kv WHERE key = ANY ($1)`, drop)
	}
}

func (s *postgresSession) row(st *statement, args []any, into ...any) (bool, error) {
	if err := s.flush(); err != nil {
		return false, err
	}
	found, err := s.tx.Row(st.dollars, byteArgs(args), into...)
	return found, sqldb.Wrap(err, "index: read")
}

// commit may fail after the server has committed. Then the next Apply finds the
// height moved, as when another replica applied the block.
func (s *postgresSession) commit() error {
	if err := s.flush(); err != nil {
		return err
	}
	return s.tx.Commit()
}

func (e *postgresBackend) view(ctx context.Context) (reads, error) {
	tx, err := e.read.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return reads{}, err
	}
	r := &postgresReads{tx: tx, ctx: func() context.Context { return ctx }}
	return reads{r, r.head, func() { _ = tx.Rollback() }}, nil // nothing was written
}

type postgresReads struct {
	tx  *sql.Tx
	ctx func() context.Context
}

func (r *postgresReads) head() (h head, err error) {
	err = r.tx.QueryRowContext(r.ctx(), selectHead).Scan(h.into()...)
	return h, err
}

func (r *postgresReads) query(text string, args ...any) (*sql.Rows, error) {
	return r.tx.QueryContext(r.ctx(), dollars(text), byteArgs(args)...)
}

func (r *postgresReads) get(keys []string) (*sql.Rows, error) {
	asked := make([][]byte, len(keys))
	for i, key := range keys {
		asked[i] = []byte(key)
	}
	return r.tx.QueryContext(r.ctx(), `SELECT key, since, past, value FROM kv WHERE key = ANY ($1)`, asked)
}
