package index

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
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
	config *pgx.ConnConfig
	read   *sql.DB
	turn   chan struct{} // held by who writes; guards conn
	conn   *pgx.Conn     // nil, or perhaps closed by the server
}

func (e *serverEngine) close() error {
	e.turn <- struct{}{}
	defer func() { <-e.turn }()
	err := e.read.Close()
	if e.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = e.conn.Close(ctx) // it says goodbye; nothing is in hand
	}
	return err
}

// begin wants READ COMMITTED whatever the server's default: a statement after
// the lock was given must see what the lock was waited for.
func (e *serverEngine) begin(ctx context.Context) (session, error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	select {
	case e.turn <- struct{}{}:
	case <-ctx.Done():
		cancel()
		return nil, ctx.Err()
	}
	tx, err := e.transaction(ctx)
	if err != nil {
		cancel()
		<-e.turn
		return nil, err
	}
	return &serverSession{
		tx: tx, ctx: func() context.Context { return ctx }, batch: &pgx.Batch{}, keys: map[string][]byte{}, changed: map[string]bool{},
		ended: func() { cancel(); <-e.turn },
	}, nil
}

// transaction connects when there is no connection, and once more when the one
// there was has died meanwhile.
func (e *serverEngine) transaction(ctx context.Context) (pgx.Tx, error) {
	for fresh := false; ; {
		if e.conn == nil || e.conn.IsClosed() {
			conn, err := pgx.ConnectConfig(ctx, e.config)
			if err != nil {
				return nil, err
			}
			e.conn, fresh = conn, true
		}
		tx, err := e.conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite})
		if err == nil || fresh {
			return tx, err
		}
		closeConn(ctx, e.conn)
	}
}

// serverSession keeps what the transaction knows of the keys, and what is still
// to be sent. Nothing else writes to kv while it holds meta's row.
type serverSession struct {
	tx      pgx.Tx
	ctx     func() context.Context
	batch   *pgx.Batch
	keys    map[string][]byte // as they stand; nil: absent
	changed map[string]bool   // to be written
	ended   func()
}

func (s *serverSession) head() (h head, err error) {
	err = s.tx.QueryRow(s.ctx(), selectHead+` FOR UPDATE`).Scan(h.into()...)
	return h, err
}

func (s *serverSession) setHead(height uint64, hash []byte) error {
	s.batch.Queue(dollars(updateHead), height, hash)
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
	rows, err := s.tx.Query(s.ctx(), `SELECT key, value FROM kv WHERE key = ANY ($1)`, missing)
	if err != nil {
		return wrap(err, "index: read keys")
	}
	var key, value []byte
	_, err = pgx.ForEachRow(rows, []any{&key, &value}, func() error {
		s.keys[string(key)] = notNil(value)
		value = nil
		return nil
	})
	if err != nil {
		return wrap(err, "index: read keys")
	}
	return nil
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
	s.batch.Queue(st.dollars, byteArgs(args)...)
	return s.bound()
}

func (s *serverSession) bound() error {
	if s.batch.Len()+len(s.changed) < maxQueued {
		return nil
	}
	return s.flush()
}

// flush sends what was put off.
func (s *serverSession) flush() error {
	s.queueKeys()
	if s.batch.Len() == 0 {
		return nil
	}
	err := s.tx.SendBatch(s.ctx(), s.batch).Close()
	s.batch = &pgx.Batch{}
	clear(s.changed)
	if err != nil {
		return wrap(err, "index: write")
	}
	return nil
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
		s.batch.Queue(`INSERT INTO kv (key, value) SELECT * FROM unnest($1::bytea[], $2::bytea[]) ON CONFLICT (key) DO UPDATE SET value = excluded.value`, put, values)
	}
	if len(drop) > 0 {
		s.batch.Queue(`DELETE FROM kv WHERE key = ANY ($1)`, drop)
	}
}

func (s *serverSession) row(st *statement, args []any, into ...any) (bool, error) {
	if err := s.flush(); err != nil {
		return false, err
	}
	err := s.tx.QueryRow(s.ctx(), st.dollars, byteArgs(args)...).Scan(into...)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, wrap(err, "index: read")
	}
	return true, nil
}

// commit may fail after the server has committed. Then the next Apply finds the
// height moved, as when another replica applied the block.
func (s *serverSession) commit() error {
	if err := s.flush(); err != nil {
		return err
	}
	return s.tx.Commit(s.ctx())
}

func (s *serverSession) rollback() {
	_ = s.tx.Rollback(s.ctx()) // after a commit it does nothing, and a broken connection rolls back by itself
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
