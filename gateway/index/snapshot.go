package index

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

var _ state.Scanner = (*Snapshot)(nil)

// Snapshot is the index as it was at one height, whatever is applied
// meanwhile. It lives as long as the function that View called with it.
type Snapshot struct {
	// Height is the number of blocks the answers are true at.
	Height uint64
	hash   []byte
	reads  reads
}

// View calls read with a snapshot, inside one read transaction. Errors of read
// are returned as they are.
func (x *Index) View(ctx context.Context, read func(*Snapshot) error) error {
	tx, err := x.backend.view(ctx)
	if err != nil {
		return sqldb.Wrap(err, "index %s", x.name)
	}
	defer tx.end()
	// The first read fixes what this transaction sees.
	h, err := tx.head()
	if err != nil {
		return sqldb.Wrap(err, "index %s: height", x.name)
	}
	if err := fits(h.version); err != nil {
		return provenance.Wrap(provenance.Conflict, err, "index %s", x.name)
	}
	return read(&Snapshot{Height: h.height, hash: h.hash, reads: tx})
}

// Height returns the number of blocks the index holds, which is the number of
// the block it takes next.
func (x *Index) Height(ctx context.Context) (uint64, error) {
	var height uint64
	err := x.View(ctx, func(s *Snapshot) error {
		height = s.Height
		return nil
	})
	return height, err
}

// Organisations returns the channel's members as of the last configuration
// block, sorted by MSP id; none before the first one.
func (x *Index) Organisations(ctx context.Context) ([]block.Organisation, error) {
	var all []block.Organisation
	err := x.View(ctx, func(s *Snapshot) error {
		return s.each(`SELECT record FROM organisations ORDER BY msp`, nil, func(row *sql.Rows) error {
			var b []byte
			if err := row.Scan(&b); err != nil {
				return err
			}
			var o block.Organisation
			all = append(all, o)
			return json.Unmarshal(b, &all[len(all)-1])
		})
	})
	return all, err
}

// maxVariables bounds the keys of one query.
const maxVariables = 500

// Get implements state.Reader.
func (s *Snapshot) Get(keys ...string) ([][]byte, error) {
	values := make([][]byte, len(keys))
	at := make(map[string][]int, len(keys)) // a key may be asked for twice
	for i, k := range keys {
		at[k] = append(at[k], i)
	}
	for chunk := range slices.Chunk(keys, maxVariables) {
		rows, err := s.reads.get(chunk)
		if err != nil {
			return nil, sqldb.Wrap(err, "index: query")
		}
		err = read(rows, func(row *sql.Rows) error {
			var key, value []byte
			if err := row.Scan(&key, &value); err != nil {
				return err
			}
			for _, i := range at[string(key)] {
				values[i] = notNil(value)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return values, nil
}

// Scan implements state.Scanner.
func (s *Snapshot) Scan(limit int, objectType string, attributes ...string) ([]state.Entry, error) {
	return s.ScanAfter("", limit, objectType, attributes...)
}

// ScanAfter is Scan of the keys that come after one.
func (s *Snapshot) ScanAfter(after string, limit int, objectType string, attributes ...string) ([]state.Entry, error) {
	if limit <= 0 {
		return nil, nil
	}
	from := []byte(state.Key(objectType, attributes...))
	to := slices.Clone(from)
	to[len(to)-1]++ // the prefix ends in NUL, so this is the first key after all that have it
	if next := append([]byte(after), 0); bytes.Compare(next, from) > 0 {
		from = next
	}
	var entries []state.Entry
	err := s.each(`SELECT key, value FROM kv WHERE key >= ? AND key < ? ORDER BY key LIMIT ?`, []any{from, to, limit}, func(row *sql.Rows) error {
		var key, value []byte
		if err := row.Scan(&key, &value); err != nil {
			return err
		}
		entries = append(entries, state.Entry{Key: string(key), Value: notNil(value)})
		return nil
	})
	return entries, err
}

// Pulls tells how often the image was pulled and when last, by the registries'
// clocks: from one repository, or from all when host is empty.
func (s *Snapshot) Pulls(d provenance.Digest, host provenance.Host, repo provenance.Repository) (count int64, last time.Time, err error) {
	text, args := `SELECT count, last FROM pulls WHERE digest = ?`, []any{digestBytes(d)}
	if host != "" {
		text, args = text+` AND host = ? AND repository = ?`, append(args, string(host), string(repo))
	}
	err = s.each(text, args, func(row *sql.Rows) error {
		var n, at int64
		if err := row.Scan(&n, &at); err != nil {
			return err
		}
		count += n
		if t := time.Unix(0, at).UTC(); t.After(last) {
			last = t
		}
		return nil
	})
	return count, last, err
}

// maxTags bounds Tags.
const maxTags = 101

// Tags returns the tags of a repository that name the image now, sorted; at most
// 101, so that who shows 100 knows whether there are more.
func (s *Snapshot) Tags(d provenance.Digest, host provenance.Host, repo provenance.Repository) ([]provenance.Tag, error) {
	var once []string
	text := `SELECT DISTINCT tag FROM records WHERE digest = ? AND digest <> x'' AND host = ? AND repository = ? AND tag <> '' AND kind = 'push' ORDER BY tag`
	err := s.each(text, []any{digestBytes(d), string(host), string(repo)}, func(row *sql.Rows) error {
		var tag string
		once = append(once, tag)
		return row.Scan(&once[len(once)-1])
	})
	if err != nil {
		return nil, err
	}
	var tags []provenance.Tag
	for _, tag := range once {
		var record state.Tag
		if _, err := state.Read(s, state.TagKey(host, repo, provenance.Tag(tag)), &record); err != nil {
			return nil, err
		}
		if record.Digest == d && len(tags) < maxTags {
			tags = append(tags, provenance.Tag(tag))
		}
	}
	return tags, nil
}

func (s *Snapshot) query(text string, args ...any) (*sql.Rows, error) {
	return s.reads.query(text, args...)
}

// each runs a query and calls do for every row.
func (s *Snapshot) each(text string, args []any, do func(*sql.Rows) error) error {
	rows, err := s.query(text, args...)
	if err != nil {
		return sqldb.Wrap(err, "index: query")
	}
	return read(rows, do)
}

// read calls do for every row.
func read(rows *sql.Rows, do func(*sql.Rows) error) error {
	defer rows.Close()
	for rows.Next() {
		if err := do(rows); err != nil {
			return sqldb.Wrap(err, "index: read row")
		}
	}
	if err := rows.Err(); err != nil {
		return sqldb.Wrap(err, "index: query")
	}
	return nil
}
