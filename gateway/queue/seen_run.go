package queue

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

const (
	// pageRest is what a page holds beside the entries of a chunk.
	pageRest = 40
	// chunkNumbers is how many numbers for chunks each run has.
	chunkNumbers = 1 << 24
	// chunkRows is how many chunks one INSERT carries, chunkStep how many one
	// transaction: half a MiB, so that no caller waits for more than that.
	chunkRows, chunkStep = 16, 256
	// readChunks is how many chunks are read at a time.
	readChunks = 64
)

// run is a sorted, immutable list of entries.
type run struct {
	id, age        int64
	count          int64
	oldest, newest uint32 // when its ids were seen; 0: all are discarded
	firsts         []provenance.EventID
	filter         filter
}

func (r *run) chunk(n int) int64 { return r.id*chunkNumbers + int64(n) }

// byAge sorts runs from the oldest to the youngest.
func byAge(a, b *run) int { return cmp.Compare(a.age, b.age) }

// querier is a database, or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// readRuns reads all runs, oldest first.
func readRuns(ctx context.Context, on querier) ([]*run, error) {
	rows, err := on.QueryContext(ctx, `SELECT run, age, ids, oldest, newest, firsts, filter FROM seen_runs`)
	if err != nil {
		return nil, sqldb.Wrap(err, "read event ids")
	}
	defer rows.Close()
	var runs []*run
	for rows.Next() {
		r := &run{}
		var firsts []byte
		if err := rows.Scan(&r.id, &r.age, &r.count, &r.oldest, &r.newest, &firsts, &r.filter); err != nil {
			return nil, sqldb.Wrap(err, "read event ids")
		}
		const size = len(provenance.EventID{})
		if len(firsts)%size != 0 || !r.filter.sound() {
			return nil, damagedIDs("run %d cannot be read", r.id)
		}
		r.firsts = make([]provenance.EventID, 0, len(firsts)/size)
		for b := range slices.Chunk(firsts, size) {
			r.firsts = append(r.firsts, provenance.EventID(b))
		}
		runs = append(runs, r)
	}
	slices.SortFunc(runs, byAge)
	return runs, sqldb.Wrap(rows.Err(), "read event ids")
}

// cursor reads entries in ascending order of their ids.
type cursor func() (e entry, more bool, err error)

func cursorOf(entries []entry) cursor {
	return func() (e entry, more bool, err error) {
		if len(entries) == 0 {
			return e, false, nil
		}
		e, entries = entries[0], entries[1:]
		return e, true, nil
	}
}

// paged is a cursor that reads some entries at a time, until there are none.
func paged(read func() ([]entry, error)) cursor {
	var page []entry
	return func() (e entry, more bool, err error) {
		if len(page) == 0 {
			if page, err = read(); err != nil || len(page) == 0 {
				return e, false, err
			}
		}
		e, page = page[0], page[1:]
		return e, true, nil
	}
}

func (r *run) cursor(ctx context.Context, on querier) cursor {
	chunk, entries := 0, int64(0)
	var buffer []entry
	return paged(func() ([]entry, error) {
		rows, err := on.QueryContext(ctx, `SELECT ids FROM seen_chunks WHERE id >= ? AND id < ? ORDER BY id`, r.chunk(chunk), r.chunk(min(chunk+readChunks, len(r.firsts))))
		if err != nil {
			return nil, sqldb.Wrap(err, "read event ids")
		}
		defer rows.Close()
		buffer = buffer[:0]
		for rows.Next() {
			var ids []byte
			if err := rows.Scan(&ids); err != nil {
				return nil, sqldb.Wrap(err, "read event ids")
			}
			for ; len(ids) >= entrySize; ids = ids[entrySize:] {
				buffer = append(buffer, readEntry(ids))
			}
		}
		chunk += readChunks
		entries += int64(len(buffer))
		if err := rows.Err(); err != nil {
			return nil, sqldb.Wrap(err, "read event ids")
		}
		if len(buffer) == 0 && entries != r.count {
			return nil, damagedIDs("run %d has %d of %d entries", r.id, entries, r.count)
		}
		return buffer, nil
	})
}

// merged reads several, the newest first, as one: of an id that more than one
// has, the newest entry counts.
func merged(newestFirst []cursor) cursor {
	type head struct {
		entry
		next cursor
	}
	var heads []head
	advance := func(i int) error {
		e, more, err := heads[i].next()
		if more && compareIDs(e.id, heads[i].id) <= 0 {
			err = damagedIDs("id %s is out of order", e.id)
		}
		if heads[i].entry = e; !more {
			heads = slices.Delete(heads, i, i+1)
		}
		return err
	}
	started := false
	return func() (e entry, more bool, err error) {
		if !started {
			started = true
			for _, c := range newestFirst {
				e, more, err := c()
				if err != nil {
					return e, false, err
				}
				if more {
					heads = append(heads, head{e, c})
				}
			}
		}
		if len(heads) == 0 {
			return e, false, nil
		}
		least := 0
		for i := range heads {
			if compareIDs(heads[i].id, heads[least].id) < 0 {
				least = i
			}
		}
		e = heads[least].entry
		for i := len(heads) - 1; i >= least; i-- {
			if heads[i].id == e.id {
				if err := advance(i); err != nil {
					return e, false, err
				}
			}
		}
		return e, true, nil
	}
}

func addChunk(rows int) string {
	return `INSERT INTO seen_chunks (id, ids) VALUES ` + strings.TrimSuffix(strings.Repeat(`(?, ?), `, rows), `, `)
}
