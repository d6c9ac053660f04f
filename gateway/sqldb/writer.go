package sqldb

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

// Writer is one connection to a server, for one transaction at a time. It may
// be used from many goroutines: Begin waits for its turn.
type Writer struct {
	server *Server
	turn   chan struct{} // held by who writes; guards conn
	conn   *pgx.Conn     // nil, or perhaps closed by the server
}

// Writer returns a writer, which connects when it is first used.
func (s *Server) Writer() *Writer { return &Writer{server: s, turn: make(chan struct{}, 1)} }

// Close waits for the transaction in hand and closes the connection.
func (w *Writer) Close(ctx context.Context) error {
	w.turn <- struct{}{}
	defer func() { <-w.turn }()
	if w.conn != nil {
		return w.conn.Close(ctx) // it says goodbye; nothing is in hand
	}
	return nil
}

// Begin opens a transaction whose every step ends with ctx. It wants READ
// COMMITTED whatever the server's default: a statement after a lock was given
// must see what the lock was waited for. End it with Rollback in any case.
func (w *Writer) Begin(ctx context.Context) (*Tx, error) {
	select {
	case w.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	tx, err := w.begin(ctx)
	if err != nil {
		<-w.turn
		return nil, err
	}
	return &Tx{tx: tx, ctx: ctx, batch: &pgx.Batch{}, ended: func() { <-w.turn }}, nil
}

// begin connects when there is no connection, and once more when the one there
// was has died meanwhile.
func (w *Writer) begin(ctx context.Context) (pgx.Tx, error) {
	for fresh := false; ; {
		if w.conn == nil || w.conn.IsClosed() {
			conn, err := pgx.ConnectConfig(ctx, w.server.config)
			if err != nil {
				return nil, err
			}
			w.conn, fresh = conn, true
		}
		tx, err := w.conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite})
		if err == nil || fresh {
			return tx, err
		}
		_ = w.conn.Close(context.WithoutCancel(ctx)) // it is broken
	}
}

// Tx is a write transaction that sends statements many at a time: each alone
// would be a journey.
type Tx struct {
	tx    pgx.Tx
	ctx   context.Context //nolint:containedctx // of the transaction, not of any caller
	batch *pgx.Batch
	ended func()
}

// Queue puts a statement off until Flush, the next Row or Rows, or Commit.
func (t *Tx) Queue(query string, args ...any) { t.batch.Queue(query, args...) }

// Queued is the number of statements that were put off.
func (t *Tx) Queued() int { return t.batch.Len() }

// Flush sends what was put off.
func (t *Tx) Flush() error {
	if t.batch.Len() == 0 {
		return nil
	}
	err := t.tx.SendBatch(t.ctx, t.batch).Close()
	t.batch = &pgx.Batch{}
	return err
}

// Row reads the first row of a query; found is false when there is none.
func (t *Tx) Row(query string, args []any, into ...any) (found bool, err error) {
	if err := t.Flush(); err != nil {
		return false, err
	}
	err = t.tx.QueryRow(t.ctx, query, args...).Scan(into...)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// Rows calls each for every row of a query, after it was read into the places.
// What was put off stays so: it must not matter to the query.
func (t *Tx) Rows(query string, args, into []any, each func() error) error {
	rows, err := t.tx.Query(t.ctx, query, args...)
	if err != nil {
		return err
	}
	_, err = pgx.ForEachRow(rows, into, each)
	return err
}

// Commit may fail after the server has committed.
func (t *Tx) Commit() error {
	if err := t.Flush(); err != nil {
		return err
	}
	return t.tx.Commit(t.ctx)
}

// Rollback ends the transaction and lets the next one begin. After Commit it
// changes nothing, and a broken connection rolls back by itself.
func (t *Tx) Rollback() {
	_ = t.tx.Rollback(t.ctx)
	t.ended()
}
