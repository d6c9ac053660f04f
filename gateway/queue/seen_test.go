package queue

import (
	"crypto/sha256"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

func idsIn(q *Queue) *idTable { return q.backend.dedup.(*idTable) }

// asVersion5 gives a file's ids the form that they had up to version 5.
func asVersion5(t testing.TB, where string, db *sql.DB) {
	t.Helper()
	if sqldb.IsURL(where) {
		return
	}
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	sources, err := sourcesIn(t.Context(), tx)
	if err != nil {
		t.Fatal(err)
	}
	var all []entry
	for next := merged(sources); ; {
		e, more, err := next()
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			break
		}
		all = append(all, e)
	}
	if _, err := tx.ExecContext(t.Context(), `DROP TABLE seen; DROP TABLE seen_runs; DROP TABLE seen_chunks;
		CREATE TABLE seen (id BLOB PRIMARY KEY, body BLOB NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID; PRAGMA user_version = 5`); err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		body := e.body[:]
		if e.body == [dedupBody]byte{} {
			body = []byte{}
		}
		if e.at > 0 {
			if _, err := tx.ExecContext(t.Context(), `INSERT INTO seen (id, body, at) VALUES (?, ?, ?)`, e.id[:], body, e.at); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

// modelQueue is a queue and what it must know.
type modelQueue struct {
	*Queue
	known map[int]byte // number of the delivery -> the first byte of its body; 0: any
	queue map[int]bool // it waits
}

func numbered(n int, body byte) delivery.Delivery {
	d := testDelivery("a", n)
	d.BodyHash[0] = body
	return d
}

// step does one thing and compares.
func (m *modelQueue) step(t *testing.T, r *rand.Rand) {
	t.Helper()
	n, body := r.IntN(300), byte(1+r.IntN(100)/99)
	switch what := r.IntN(20); {
	case what < 15:
		got, err := m.Accept(t.Context(), []delivery.Delivery{numbered(n, body)})
		known, is := m.known[n]
		switch {
		case !is:
			if err != nil || got.New != 1 {
				t.Fatalf("event %d is unknown: %+v, %v", n, got, err)
			}
			m.known[n], m.queue[n] = body, true
		case known != 0 && known != body:
			wantCode(t, err, provenance.Conflict)
		case err != nil || got.Duplicate != 1:
			t.Fatalf("event %d is known: %+v, %v", n, got, err)
		}
	case what < 17:
		if err := m.MarkKnown(t.Context(), []provenance.EventID{numbered(n, 0).Event.ID}); err != nil {
			t.Fatal(err)
		}
		if _, is := m.known[n]; !is {
			m.known[n] = 0
		}
	default:
		items := lease(t, m.Queue, 0, 1+r.IntN(10))
		if what == 19 {
			if _, err := m.Discard(t.Context(), items); err != nil {
				t.Fatal(err)
			}
		} else if len(items) > 0 {
			seq, err := m.NextSeq(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Recorded(t.Context(), seal(t, m.Queue, 0, seq, items), 1); err != nil {
				t.Fatal(err)
			}
		}
		for _, it := range items {
			n := int(it.Event.OccurredAt.UnixMilli() - 1_700_000_000_000)
			if delete(m.queue, n); what == 19 {
				delete(m.known, n)
			}
		}
	}
}

func (m *modelQueue) check(t *testing.T) {
	t.Helper()
	var want []provenance.EventID
	for n := range m.known {
		want = append(want, numbered(n, 0).Event.ID)
	}
	slices.SortFunc(want, compareIDs)
	if got := known(t, m.Queue); !slices.Equal(got, want) {
		t.Fatalf("%d ids are known, want %d", len(got), len(want))
	}
}

// What is known does not depend on where it stands: memtable, log, runs of all
// levels, or the table of an older version; nor on when the process ends.
func TestIDsAsModel(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 0))
			path := createFile(t)
			m := &modelQueue{known: map[int]byte{}, queue: map[int]bool{}}
			for round := range 12 {
				m.Queue = open(t, path, Options{Lanes: 1, memtable: 5})
				m.check(t)
				for range 80 {
					m.step(t, r)
				}
				if round%2 == 0 {
					compacted(t, m.Queue)
				}
				m.check(t)
				if round == 7 { // everything before is forgotten, but what waits
					if _, err := m.forget(t.Context(), time.Now().Add(time.Hour), func() bool { return true }); err != nil {
						t.Fatal(err)
					}
					for n := range m.known {
						if !m.queue[n] {
							delete(m.known, n)
						}
					}
					m.check(t)
				}
				crash(t, m.Queue)
				if round == 4 {
					db := tables(t, path)
					asVersion5(t, path, db)
					if err := db.Close(); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}

// A file of version 5 with items in all states keeps everything, whether its
// ids are in their new form or on the way there, however often it is interrupted.
func TestUpgradeFromVersion5(t *testing.T) {
	const recorded = 30_000
	path := createFile(t)
	q := open(t, path, Options{Lanes: 1})
	for n := 0; n < recorded; n += 3000 {
		accept(t, q, deliveries("a", n, n+3000)...)
		if err := q.Recorded(t.Context(), seal(t, q, 0, uint64(n/3000+1), lease(t, q, 0, 3000)), 1); err != nil {
			t.Fatal(err)
		}
	}
	accept(t, q, deliveries("a", recorded, recorded+30)...)
	if err := q.DeadLetter(t.Context(), lease(t, q, 0, 1)[0], "gone"); err != nil {
		t.Fatal(err)
	}
	s := seal(t, q, 0, recorded/3000+1, lease(t, q, 0, 10))
	if err := q.MarkKnown(t.Context(), []provenance.EventID{testDelivery("marked", 0).Event.ID}); err != nil {
		t.Fatal(err)
	}
	before := stats(t, q)
	crash(t, q)
	db := tables(t, path)
	asVersion5(t, path, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	check := func(q *Queue) {
		t.Helper()
		if got := stats(t, q); got != before {
			t.Fatalf("stats %+v, want %+v", got, before)
		}
		if got := known(t, q); len(got) != recorded+31 {
			t.Fatalf("%d ids are known", len(got))
		}
		if got := accept(t, q, append(deliveries("a", recorded-50, recorded+30), numbered(7, testDelivery("a", 7).BodyHash[0]), testDelivery("marked", 0))...); got.New != 0 {
			t.Fatalf("%d known events are new", got.New)
		}
		lie := testDelivery("a", 3)
		lie.BodyHash[0]++
		_, err := q.Accept(t.Context(), []delivery.Delivery{lie})
		wantCode(t, err, provenance.Conflict)
	}
	finished := false
	for i := 0; !finished; i++ {
		q = open(t, path, Options{Lanes: 1, Exclusive: i%2 == 1})
		check(q)
		if i > 2 {
			until(t, "the ids have their new form", func() bool {
				var old int
				if err := q.readers.QueryRowContext(t.Context(), `SELECT count(*) FROM sqlite_schema WHERE name = 'seen_old'`).Scan(&old); err != nil {
					t.Fatal(err)
				}
				return old == 0
			})
			check(q)
			finished = true
		}
		if got, err := q.Sealed(t.Context(), 0); err != nil || got.Seq != s.Seq {
			t.Fatalf("sealed %+v, %v", got, err)
		}
		crash(t, q)
	}
	q = open(t, path, Options{Lanes: 1})
	check(q)
	if runs := idsIn(q).runs; len(runs) != 1 || runs[0].age != oldAge || runs[0].count != recorded+31 {
		t.Errorf("%d runs", len(runs))
	}
}

// A crash in the middle leaves chunks that nobody counts; they go.
func TestOrphanChunks(t *testing.T) {
	path := createFile(t)
	q := open(t, path, Options{Lanes: 1, memtable: 10})
	accept(t, q, deliveries("a", 0, 50)...)
	compacted(t, q)
	crash(t, q)
	db := tables(t, path)
	chunks := func(db *sql.DB) (n int) {
		t.Helper()
		if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM seen_chunks`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := chunks(db)
	for _, run := range []int{900, 901} {
		for n := range 5 {
			if _, err := db.ExecContext(t.Context(), `INSERT INTO seen_chunks (id, ids) VALUES (?, x'00')`, run*chunkNumbers+n); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	q = open(t, path, Options{Lanes: 1, memtable: 10})
	until(t, "they are gone", func() bool { return chunks(q.readers) == before })
	if got := accept(t, q, deliveries("a", 0, 50)...); got.New != 0 {
		t.Errorf("%d known events are new", got.New)
	}
	accept(t, q, deliveries("a", 50, 100)...)
	compacted(t, q)
	if got := known(t, q); len(got) != 100 {
		t.Errorf("%d ids are known", len(got))
	}
}

// What is damaged is never taken for an id that is not known.
func TestDamagedIDs(t *testing.T) {
	for _, damage := range []string{`DELETE FROM seen_chunks`, `UPDATE seen_chunks SET ids = substr(ids, 2)`, `UPDATE seen_runs SET filter = x''`, `UPDATE seen_runs SET firsts = x'00'`} {
		path := createFile(t)
		q := open(t, path, Options{Lanes: 1, memtable: 10})
		accept(t, q, deliveries("a", 0, 50)...)
		compacted(t, q)
		crash(t, q)
		db := tables(t, path)
		if _, err := db.ExecContext(t.Context(), damage); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		q, err := Open(t.Context(), path, Options{Lanes: 1, MinFreeBytes: 1})
		if err == nil {
			_, err = q.Accept(t.Context(), deliveries("a", 0, 50))
			if each := q.KnownIDs(t.Context(), func(provenance.EventID) error { return nil }); each == nil {
				t.Errorf("%s: all is well", damage)
			}
			crash(t, q)
		}
		wantCode(t, err, provenance.Internal)
	}
}

// Runs are merged, so that their number grows with the logarithm of that of ids;
// where ids have a life no run outlives it for long.
func TestRuns(t *testing.T) {
	q := open(t, createFile(t), Options{Lanes: 1, MaxPending: 1 << 20, memtable: 8})
	for n := range 16 * fanOut {
		accept(t, q, deliveries("a", 8*n, 8*n+8)...)
		compacted(t, q)
		if got := len(idsIn(q).runs); got > 4*fanOut {
			t.Fatalf("%d runs of %d ids", got, 8*n)
		}
	}
	if got := len(known(t, q)); got != 8*16*fanOut {
		t.Errorf("%d ids are known", got)
	}
	// Of its own: the queue's compacts by itself.
	ids := &idTable{life: spanShare * time.Minute, limit: 8}
	for i := range 2 * fanOut {
		ids.runs = append(ids.runs, &run{count: 8, oldest: uint32(1000 + 20*i), newest: uint32(1019 + 20*i)})
	}
	if due := ids.due(); due != nil {
		t.Errorf("a run would span %d s of a minute", due[len(due)-1].newest-due[0].oldest)
	}
}

func TestFilter(t *testing.T) {
	id := func(kind string, n int) provenance.EventID {
		h := sha256.Sum256(fmt.Appendf(nil, "%s%d", kind, n))
		return provenance.EventID(h[:])
	}
	const ids = 50_000
	f := newFilter(ids)
	for n := range ids {
		f.add(id("known", n))
	}
	wrong := 0
	for n := range ids {
		if !f.has(id("known", n)) {
			t.Fatal("a known id is not in its filter")
		}
		if f.has(id("other", n)) {
			wrong++
		}
	}
	if wrong > ids/200 {
		t.Errorf("%d of %d unknown ids pass", wrong, ids)
	}
	if f := newFilter(1 << 40); len(f) != maxFilter+1 || !f.sound() || f[0] != 1 {
		t.Errorf("a filter of %d bytes, %d hashes", len(f), f[0])
	}
	if f := newFilter(0); !f.sound() || f.has(id("other", 0)) {
		t.Error("an empty filter has an id")
	}
}

// Where the disk is low nothing is compacted, and nothing is lost by it.
func TestCompactionNeedsDisk(t *testing.T) {
	path := createFile(t)
	q := open(t, path, Options{Lanes: 1, memtable: 10})
	idsIn(q).room = func(time.Time) error { return provenance.Errorf(provenance.Full, "no room") }
	accept(t, q, deliveries("a", 0, 50)...)
	_, err := idsIn(q).compactOnce(t.Context())
	wantCode(t, err, provenance.Full)
	if got := accept(t, q, deliveries("a", 0, 55)...); got.New != 5 {
		t.Errorf("%d are new", got.New)
	}
	crash(t, q)
	q = open(t, path, Options{Lanes: 1, memtable: 10})
	if got := accept(t, q, deliveries("a", 0, 60)...); got.New != 5 {
		t.Errorf("%d are new", got.New)
	}
	compacted(t, q)
	if got := known(t, q); len(got) != 60 || len(idsIn(q).runs) == 0 {
		t.Errorf("%d ids are known", len(got))
	}
}
