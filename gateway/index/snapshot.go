package index

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"slices"

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
	// runs are those there are, with the key up to which each is read elsewhere.
	runs map[uint64][]byte
	// directory finds places and tags; it keeps what it read.
	directory *state.Directory
	found     int
	past      *past // nil: the answers are of the height that the index has
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
const maxVariables = 512

// maxFound bounds what the directory keeps: it is another one after as many keys.
const maxFound = 2000

// Get implements state.Reader. Places and tags are found wherever they stand.
func (s *Snapshot) Get(keys ...string) ([][]byte, error) {
	if s.past != nil {
		return s.past.get(keys)
	}
	return s.current(keys...)
}

// current reads keys as they stand.
func (s *Snapshot) current(keys ...string) ([][]byte, error) {
	if !slices.ContainsFunc(keys, inDirectory) {
		return s.mirrored(keys...)
	}
	if s.found += len(keys); s.directory == nil || s.found > maxFound {
		s.directory, s.found = state.NewDirectory(mirror{s}), len(keys)
	}
	return s.directory.Get(keys...)
}

func inDirectory(key string) bool {
	objectType := typeOf(key)
	return objectType == state.TypePlace || objectType == state.TypeTag
}

// mirror reads the ledger's keys as they stand.
type mirror struct{ *Snapshot }

// Get implements state.Reader.
func (m mirror) Get(keys ...string) ([][]byte, error) { return m.mirrored(keys...) }

func (s *Snapshot) mirrored(keys ...string) ([][]byte, error) {
	all, err := s.stored(keys)
	if err != nil {
		return nil, err
	}
	values := make([][]byte, len(keys))
	for i, v := range all {
		if !v.removed() {
			values[i] = v.value
		}
	}
	return values, nil
}

// stored reads the rows of keys; one without a value is not there.
func (s *Snapshot) stored(keys []string) ([]stored, error) {
	values := make([]stored, len(keys))
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
			var key []byte
			var v stored
			if err := row.Scan(&key, &v.since, &v.past, &v.value); err != nil {
				return err
			}
			v.value = notNil(v.value)
			for _, i := range at[string(key)] {
				values[i] = v
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

// ScanAfter is Scan of the keys that come after one. Of places it takes an image,
// of tags a registry or a repository: in pages they have no order of their own.
func (s *Snapshot) ScanAfter(after string, limit int, objectType string, attributes ...string) ([]state.Entry, error) {
	switch {
	case limit <= 0:
		return nil, nil
	case objectType == state.TypePlace:
		return s.placesAfter(after, limit, attributes)
	case objectType == state.TypeTag:
		return s.tagsAfter(after, limit, attributes)
	}
	from := []byte(state.Key(objectType, attributes...))
	to := slices.Clone(from)
	to[len(to)-1]++ // the prefix ends in NUL, so this is the first key after all that have it
	if next := append([]byte(after), 0); bytes.Compare(next, from) > 0 {
		from = next
	}
	if s.past != nil {
		return s.past.scan(from, to, limit)
	}
	var entries []state.Entry
	err := s.each(`SELECT key, value FROM kv WHERE key >= ? AND key < ? AND since % 2 = 0 ORDER BY key LIMIT ?`, []any{from, to, limit}, func(row *sql.Rows) error {
		var key, value []byte
		if err := row.Scan(&key, &value); err != nil {
			return err
		}
		entries = append(entries, state.Entry{Key: string(key), Value: notNil(value)})
		return nil
	})
	return entries, err
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
