package index

import (
	"context"
	"database/sql"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// statements are Apply's, prepared once: a block of a busy channel writes
// thousands of rows.
type statements struct {
	head, setHead, tx, get, put, drop, record, pull, pulled, segment, referrer, promotion, attempt, proposal, release, debt, dropOrganisations, organisation *sql.Stmt
}

func (s *statements) all() map[**sql.Stmt]string {
	return map[**sql.Stmt]string{
		&s.head:    `SELECT height, hash FROM meta`,
		&s.setHead: `UPDATE meta SET height = ?, hash = ?`,
		&s.tx:      `INSERT INTO txs (block, tx, id, at, msp, name) VALUES (?, ?, ?, ?, ?, ?)`,
		&s.get:     `SELECT value FROM kv WHERE key = ?`,
		&s.put:     `INSERT INTO kv (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
		&s.drop:    `DELETE FROM kv WHERE key = ?`,
		&s.record: `INSERT INTO records (block, tx, seq, kind, host, repository, tag, digest, previous, stage, media_type, actor, occurred_at, detail, record)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		&s.segment: `INSERT INTO segments (block, tx, host, key) VALUES (?, ?, ?, ?)`,
		&s.pulled: `INSERT INTO pulled (block, tx, last, previous) VALUES (?, ?, ?,
			(SELECT latest FROM pulls WHERE digest = ? AND host = ? AND repository = ?))`,
		// The row of pulled that was just added is the image's latest.
		&s.pull: `INSERT INTO pulls (digest, host, repository, count, last, latest) VALUES (?, ?, ?, ?, ?, last_insert_rowid())
			ON CONFLICT (digest, host, repository) DO UPDATE SET count = count + excluded.count, last = max(last, excluded.last), latest = excluded.latest`,
		// The position stays that of the first request, so that pages do not shift.
		&s.promotion: `INSERT INTO promotions (key, block, tx, seq, stage, host, repository, digest, status, attempt, record) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (key) DO UPDATE SET status = excluded.status, attempt = excluded.attempt, record = excluded.record`,
		&s.attempt:  `SELECT attempt FROM promotions WHERE key = ?`,
		&s.referrer: `INSERT INTO referrers (subject, host, repository, digest) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		&s.proposal: `INSERT INTO proposals (key, block, tx, seq, status, record) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (key) DO UPDATE SET status = excluded.status, record = excluded.record`,
		// The last release is what comes first where releases are listed.
		&s.release: `INSERT INTO releases (key, block, tx, seq, owing, record) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (key) DO UPDATE SET block = excluded.block, tx = excluded.tx, seq = excluded.seq, owing = excluded.owing, record = excluded.record`,
		&s.debt:              `UPDATE releases SET owing = ?, record = ? WHERE key = ?`,
		&s.dropOrganisations: `DELETE FROM organisations`,
		&s.organisation:      `INSERT INTO organisations (msp, record) VALUES (?, ?)`,
	}
}

func prepare(ctx context.Context, db *sql.DB) (statements, error) {
	var s statements
	for at, text := range s.all() {
		st, err := db.PrepareContext(ctx, text) //nolint:sqlclosecheck // closed with the database
		if err != nil {
			return s, provenance.Wrap(provenance.Internal, err, "index: prepare %q", text)
		}
		*at = st
	}
	return s, nil
}

// in returns the statements as they run inside tx.
func (s statements) in(ctx context.Context, tx *sql.Tx) statements {
	for at := range s.all() {
		*at = tx.StmtContext(ctx, *at) // closed with the transaction
	}
	return s
}

// prepareGets prepares the reads of many keys at once.
func prepareGets(ctx context.Context, db *sql.DB) (map[int]*sql.Stmt, error) {
	gets := map[int]*sql.Stmt{}
	for _, n := range getSizes() {
		text := `SELECT key, value FROM kv WHERE key IN (?` + strings.Repeat(`, ?`, n-1) + `)`
		st, err := db.PrepareContext(ctx, text) //nolint:sqlclosecheck // closed with the database
		if err != nil {
			return nil, provenance.Wrap(provenance.Internal, err, "index: prepare the read of %d keys", n)
		}
		gets[n] = st
	}
	return gets, nil
}
