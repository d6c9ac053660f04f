package index

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Head returns the height and the hash of the last block that the index holds;
// no hash at height 0.
func (x *Index) Head(ctx context.Context) (height uint64, hash []byte, err error) {
	err = x.View(ctx, func(s *Snapshot) error {
		height, hash = s.Height, s.hash
		return nil
	})
	return height, hash, err
}

// Difference is a table that is not the same in two indexes: how many rows each
// has, and where they first differ, in words.
type Difference struct {
	Table       string
	Rows, Other int
	First       string
}

// Diff compares two indexes row by row: it returns nothing where they hold
// the same, which is when their fingerprints are equal. It reads both whole.
// Rows is x's number, Other the other's.
func (x *Index) Diff(ctx context.Context, other *Index) ([]Difference, error) {
	var out []Difference
	err := x.View(ctx, func(a *Snapshot) error {
		return other.View(ctx, func(b *Snapshot) error {
			for _, query := range contents() {
				d, err := diffTable(a, b, query)
				if err != nil {
					return err
				}
				if d.First != "" {
					_, rest, _ := strings.Cut(query, " FROM ")
					d.Table, _, _ = strings.Cut(rest, " ")
					out = append(out, d)
				}
			}
			return nil
		})
	})
	return out, err
}

// differ walks one table of both in step; after the first difference it only counts.
func diffTable(a, b *Snapshot, query string) (d Difference, err error) {
	mine, err := a.rows(query)
	if err != nil {
		return d, err
	}
	defer func() { err = errors.Join(err, mine.Close()) }()
	theirs, err := b.rows(query)
	if err != nil {
		return d, err
	}
	defer func() { err = errors.Join(err, theirs.Close()) }()
	for {
		one, err := nextRow(mine)
		if err != nil {
			return d, err
		}
		two, err := nextRow(theirs)
		if err != nil {
			return d, err
		}
		switch {
		case d.First != "" || reflect.DeepEqual(one, two):
		case one == nil:
			d.First = "missing is " + rowText(two)
		case two == nil:
			d.First = "too much is " + rowText(one)
		default:
			if d.First, err = rowsText(mine, d.Rows+1, one, two); err != nil {
				return d, err
			}
		}
		if one == nil && two == nil {
			return d, nil
		}
		if one != nil {
			d.Rows++
		}
		if two != nil {
			d.Other++
		}
	}
}

func (s *Snapshot) rows(query string) (*sql.Rows, error) {
	rows, err := s.query(query)
	if err != nil {
		return nil, provenance.Wrap(provenance.Internal, err, "index: %s", query)
	}
	return rows, nil
}

// nextRow returns nil after the last row. Texts are read as bytes, as one of
// two databases may have them.
func nextRow(rows *sql.Rows) ([]any, error) {
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return nil, provenance.Wrap(provenance.Internal, err, "index: read row")
		}
		return nil, nil
	}
	columns, err := rows.Columns()
	if err != nil {
		return nil, provenance.Wrap(provenance.Internal, err, "index: read row")
	}
	values, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	if err := rows.Scan(into...); err != nil {
		return nil, provenance.Wrap(provenance.Internal, err, "index: read row")
	}
	for i, v := range values {
		if text, ok := v.(string); ok {
			values[i] = []byte(text)
		}
	}
	return values, nil
}

// rowsText says how two rows differ: where it is the same row, in which column.
func rowsText(of *sql.Rows, n int, one, two []any) (string, error) {
	columns, err := of.Columns()
	if err != nil {
		return "", provenance.Wrap(provenance.Internal, err, "index: read row")
	}
	for i := range one {
		if reflect.DeepEqual(one[i], two[i]) {
			continue
		}
		if i == 0 {
			break
		}
		return fmt.Sprintf("row %d %s: %s is %s, and ought to be %s", n, rowText(one), columns[i], valueText(one[i]), valueText(two[i])), nil
	}
	return fmt.Sprintf("row %d is %s, and ought to be %s", n, rowText(one), rowText(two)), nil
}

// rowText shows enough of a row to find it.
func rowText(row []any) string {
	const columns = 3
	var parts []string
	for _, v := range row[:min(len(row), columns)] {
		parts = append(parts, valueText(v))
	}
	return "(" + strings.Join(parts, ", ") + ")"
}

func valueText(v any) string {
	const width = 80
	text := fmt.Sprint(v)
	if b, ok := v.([]byte); ok {
		// Keys are texts between NULs, digests are raw.
		if text = strings.TrimSpace(string(bytes.ReplaceAll(b, []byte{0}, []byte{' '}))); strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
			text = hex.EncodeToString(b)
		}
		if text == "" {
			text = "empty"
		}
	}
	if r := []rune(text); len(r) > width {
		return string(r[:width]) + "…"
	}
	return text
}
