package index

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
)

// Fingerprint returns a hash over everything the index holds: two indexes of
// the same height of the same channel have the same fingerprint, however their
// blocks were batched. It reads the whole index.
func (x *Index) Fingerprint(ctx context.Context) (string, error) {
	h := sha256.New()
	err := x.View(ctx, func(s *Snapshot) error {
		for _, query := range contents() {
			h.Write([]byte(query))
			if err := s.each(query, nil, func(row *sql.Rows) error { return hashRow(h, row) }); err != nil {
				return err
			}
		}
		return nil
	})
	return hex.EncodeToString(h.Sum(nil)), err
}

// contents are the questions whose answers are everything an index holds, each
// of one table in one order.
func contents() []string {
	return []string{
		`SELECT height, hash FROM meta`,
		`SELECT * FROM kv ORDER BY key`,
		`SELECT * FROM versions ORDER BY number`,
		`SELECT * FROM txs ORDER BY block, tx`,
		`SELECT * FROM repositories ORDER BY id`,
		`SELECT * FROM records ORDER BY number`,
		`SELECT * FROM runs ORDER BY id`,
		`SELECT * FROM chunks ORDER BY run, first`,
		`SELECT * FROM promotions ORDER BY key`,
		`SELECT * FROM proposals ORDER BY key`,
		`SELECT * FROM releases ORDER BY key`,
		`SELECT * FROM waiting ORDER BY key, id`,
		`SELECT * FROM segments ORDER BY number`,
		`SELECT * FROM organisations ORDER BY msp`,
	}
}

// hashRow writes a row's columns, each with its kind and length. Text is bytes:
// it is one or the other by the database.
func hashRow(h hash.Hash, row *sql.Rows) error {
	columns, err := row.Columns()
	if err != nil {
		return err
	}
	values, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	if err := row.Scan(into...); err != nil {
		return err
	}
	for _, v := range values {
		kind, b := "bytes", []byte(nil)
		switch v := v.(type) {
		case []byte:
			b = v
		case string:
			b = []byte(v)
		default: // a number, or NULL
			kind, b = fmt.Sprintf("%T", v), fmt.Append(nil, v)
		}
		h.Write([]byte(kind))
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
		h.Write(b)
	}
	return nil
}
