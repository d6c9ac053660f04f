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
	maxQueued    = 4000   // statements and keys of one message
	maxKept      = 50_000 // keys kept between two blocks of a batch
)

// serverEngine is PostgreSQL: several processes, each statement a journey. So
// the keys that a block touches are read at once and written at once, and its
// rows are sent without waiting for each answer.
type serverEngine struct {
	write *sqldb.Writer
	read  *sql.DB
}

func (e *serverEngine) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := e.read.Close()
	_ = e.write.Close(ctx) // nothing is in hand
	return err
}

func (e *serverEngine) begin(ctx context.Context) (session, error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	tx, err := e.write.Begin(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	return &serverSession{tx: tx, keys: map[string][]byte{}, changed: map[string]bool{}, ended: cancel}, nil
}

// serverSession keeps what the transaction knows of the keys, and what is still
// to be sent. Nothing else writes to kv while it holds meta's row.
type serverSession struct {
	tx      *sqldb.Tx
	keys    map[string][]byte // as they stand; nil: absent
	changed map[string]bool   // to be written
	ended   func()
}

func (s *serverSession) head() (h head, err error) {
	found, err := s.tx.Row(selectHead+` FOR UPDATE`, nil, h.into()...)
	if err == nil && !found {
		err = sql.ErrNoRows
	}
	return h, err
}

func (s *serverSession) setHead(height uint64, hash []byte) error {
	s.tx.Queue(dollars(updateHead), height, hash)
	return nil
}

func (s *serverSession) load(keys []string) error {
	if len(s.keys) > maxKept {
		if err := s.flush(); err != nil {
			return err
		}
		clear(s.keys)
	}
	missing := make([][]byte, 0, len(keys))
	for _, key := range keys {
		if _, known := s.keys[key]; !known {
			missing = append(missing, []byte(key))
			s.keys[key] = nil
		}
	}
	if len(missing) == 0 {
		return nil
	}
	var key, value []byte
	err := s.tx.Rows(`SELECT key, value FROM kv WHERE key = ANY ($1)`, []any{missing}, []any{&key, &value}, func() error {
		s.keys[string(key)] = notNil(value)
		value = nil
		return nil
	})
	return sqldb.Wrap(err, "index: read keys")
}

func (s *serverSession) get(key string) ([]byte, error) {
	if _, known := s.keys[key]; !known {
		if err := s.load([]string{key}); err != nil {
			return nil, err
		}
	}
	return s.keys[key], nil
}

func (s *serverSession) put(key string, value []byte) error {
	s.keys[key], s.changed[key] = notNil(value), true
	return s.bound()
}

func (s *serverSession) drop(key string) error {
	s.keys[key], s.changed[key] = nil, true
	return s.bound()
}

func (s *serverSession) exec(st *statement, args ...any) error {
	s.tx.Queue(st.dollars, byteArgs(args)...)
	return s.bound()
}

func (s *serverSession) bound() error {
	if s.tx.Queued()+len(s.changed) < maxQueued {
		return nil
	}
	return s.flush()
}

// flush sends what was put off.
func (s *serverSession) flush() error {
	s.queueKeys()
	clear(s.changed)
	return sqldb.Wrap(s.tx.Flush(), "index: write")
}

func (s *serverSession) queueKeys() {
	var put, values, drop [][]byte
	for _, key := range slices.Sorted(maps.Keys(s.changed)) {
		if value := s.keys[key]; value != nil {
			put, values = append(put, []byte(key)), append(values, value)
		} else {
			drop = append(drop, []byte(key))
		}
	}
	if len(put) > 0 {
		s.tx.Queue(`INSERT INTO kv (key, value) SELECT * FROM unnest($1::bytea[], $2::bytea[]) ON CONFLICT (key) DO UPDATE SET value = excluded.value`, put, values)
	}
	if len(drop) > 0 {
		s.tx.Queue(`DELETE FROM kv WHERE key = ANY ($1)`, drop)
	}
}

func (s *serverSession) row(st *statement, args []any, into ...any) (bool, error) {
	if err := s.flush(); err != nil {
		return false, err
	}
	found, err := s.tx.Row(st.dollars, byteArgs(args), into...)
	return found, sqldb.Wrap(err, "index: read")
}

// commit may fail after the server has committed. Then the next Apply finds the
// height moved, as when another replica applied the block.
func (s *serverSession) commit() error {
	if err := s.flush(); err != nil {
		return err
	}
	return s.tx.Commit()
}

func (s *serverSession) rollback() {
	s.tx.Rollback()
	s.ended()
}

func (e *serverEngine) view(ctx context.Context) (reads, error) {
	tx, err := e.read.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	return &serverReads{tx: tx, ctx: func() context.Context { return ctx }}, nil
}

type serverReads struct {
	tx  *sql.Tx
	ctx func() context.Context
}

func (r *serverReads) head() (h head, err error) {
	err = r.tx.QueryRowContext(r.ctx(), selectHead).Scan(h.into()...)
	return h, err
}

func (r *serverReads) query(text string, args ...any) (*sql.Rows, error) {
	return r.tx.QueryContext(r.ctx(), dollars(text), byteArgs(args)...)
}

func (r *serverReads) get(keys []string) (*sql.Rows, error) {
	asked := make([][]byte, len(keys))
	for i, key := range keys {
		asked[i] = []byte(key)
	}
	return r.tx.QueryContext(r.ctx(), `SELECT key, value FROM kv WHERE key = ANY ($1)`, asked)
}

func (r *serverReads) end() { _ = r.tx.Rollback() } // nothing was written

// recent takes a segment at each step: the latest that any of the chains stands
// at, whose rows give way to those before them. The server makes as many steps
// as are asked for.
func (r *serverReads) recent(image string) string {
	return `chain (block, tx, last, heads) AS (
			SELECT NULL::bigint, NULL::bigint, NULL::bigint, ARRAY(SELECT p.latest FROM pulls p WHERE ` + image + `)
			UNION ALL SELECT n.block, n.tx, n.last, ARRAY(SELECT id FROM unnest(c.heads || n.previous) AS id WHERE id IS NOT NULL AND id <> ALL (n.ids))
			FROM chain c CROSS JOIN LATERAL (
				SELECT r.block, r.tx, max(r.last) AS last, array_agg(r.id) AS ids, array_agg(r.previous) AS previous
				FROM pulled r WHERE r.id = ANY (c.heads) GROUP BY r.block, r.tx ORDER BY r.block DESC, r.tx DESC LIMIT 1) n),
		recent AS (SELECT block, tx FROM chain WHERE last >= ? AND (block, tx) <= (?, ?) LIMIT ?)`
}
