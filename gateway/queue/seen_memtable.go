package queue

import (
	"context"
	"database/sql"
	"encoding/binary"
	"slices"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// memtableIDs is how many ids the memtable has when it becomes a run: 5 MB, and
// twice that while the run is written.
const memtableIDs = 1 << 16

// maxBacklog is how many full memtables wait until they are runs: 40 MB. Senders that are faster
// than the disk wait then, all of them, and none is refused for it.
const maxBacklog = 8

// mark is what is known of an id.
type mark struct {
	body [dedupBody]byte // zero: it is not known, and every body is the same
	at   uint32          // when it was seen, in seconds; 0: it was discarded, and is not known any more
}

// entry is an id and its mark, in a fixed number of bytes.
type entry struct {
	id provenance.EventID
	mark
}

const entrySize = len(provenance.EventID{}) + dedupBody + 4

func (e entry) append(to []byte) []byte {
	to = append(append(to, e.id[:]...), e.body[:]...)
	return binary.BigEndian.AppendUint32(to, e.at)
}

func readEntry(b []byte) (e entry) {
	n := copy(e.id[:], b)
	n += copy(e.body[:], b[n:])
	e.at = binary.BigEndian.Uint32(b[n:])
	return e
}

func compareEntries(a, b entry) int { return compareIDs(a.id, b.id) }

func compareIDs(a, b provenance.EventID) int { return slices.Compare(a[:], b[:]) }

func newMark(body []byte, at int64) (m mark) {
	copy(m.body[:], body)
	m.at = uint32(max(1, at))
	return m
}

func (m mark) sameBody(body []byte) bool {
	return m.body == [dedupBody]byte{} || sameBody(m.body[:], body)
}

// memtable holds the ids of the log's rows up to one.
type memtable struct {
	marks  map[provenance.EventID]mark
	oldest uint32
	upto   int64
}

func newMemtable() *memtable { return &memtable{marks: map[provenance.EventID]mark{}} }

func (m *memtable) add(id provenance.EventID, k mark) {
	m.marks[id] = k
	if k.at > 0 && (m.oldest == 0 || k.at < m.oldest) {
		m.oldest = k.at
	}
}

func (m *memtable) sorted() []entry {
	all := make([]entry, 0, len(m.marks))
	for id, k := range m.marks {
		all = append(all, entry{id, k})
	}
	slices.SortFunc(all, compareEntries)
	return all
}

// readLog reads what the log's rows say, in memtables of no more than limit ids and a row's, the oldest first.
func readLog(ctx context.Context, on querier, limit int) ([]*memtable, error) {
	rows, err := on.QueryContext(ctx, `SELECT n, ids FROM seen ORDER BY n`)
	if err != nil {
		return nil, sqldb.Wrap(err, "read event ids")
	}
	defer rows.Close()
	m := newMemtable()
	all := []*memtable{m}
	for rows.Next() {
		if len(m.marks) >= limit {
			m = newMemtable()
			all = append(all, m)
		}
		var ids sql.RawBytes
		if err := rows.Scan(&m.upto, &ids); err != nil {
			return nil, sqldb.Wrap(err, "read event ids")
		}
		if len(ids)%entrySize != 0 {
			return nil, damagedIDs("row %d of their log has %d bytes", m.upto, len(ids))
		}
		for b := range slices.Chunk(ids, entrySize) {
			e := readEntry(b)
			m.add(e.id, e.mark)
		}
	}
	return all, sqldb.Wrap(rows.Err(), "read event ids")
}
