package queue

import (
	"context"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// inMemory is the most ids that one memtable has, and how many memtables there are.
func inMemory(t *testing.T, q *Queue) (most, tables int) {
	t.Helper()
	ids := idsIn(q)
	err := q.writer.between(t.Context(), func() error {
		all := append(ids.behind[:len(ids.behind):len(ids.behind)], ids.memtable)
		if f := ids.frozen.Load(); f != nil {
			all = append(all, f)
		}
		tables = len(all)
		for _, m := range all {
			most = max(most, len(m.marks))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return most, tables
}

// Senders that are faster than runs are made wait; what is in memory is bounded, at the next start as well.
func TestIDsInMemoryAreBounded(t *testing.T) {
	const limit = 10
	path := createFile(t)
	q := open(t, path, Options{Lanes: 1, memtable: limit})
	ids := idsIn(q)
	ids.compacting.Lock()
	accepted := 0
	for ; ; accepted += limit {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		_, err := q.Accept(ctx, deliveries("a", accepted, accepted+limit))
		cancel()
		if err != nil {
			wantCode(t, err, provenance.Unavailable)
			break
		}
		if accepted > 100*limit {
			t.Fatal("nobody ever waits")
		}
	}
	if most, tables := inMemory(t, q); most > limit || tables > maxBacklog+2 {
		t.Errorf("%d memtables of up to %d ids", tables, most)
	}
	ids.compacting.Unlock()
	if got := accept(t, q, deliveries("a", 0, accepted+limit)...); got.New != limit || got.Duplicate != accepted {
		t.Errorf("%+v after the wait", got)
	}
	accepted += limit
	crash(t, q)

	// Nothing new comes; still the log is not kept in memory.
	q = open(t, path, Options{Lanes: 1, memtable: limit / 2})
	until(t, "the log became runs", func() bool {
		most, tables := inMemory(t, q)
		return tables == 1 && most < limit/2
	})
	if got := accept(t, q, deliveries("a", 0, accepted)...); got.New != 0 {
		t.Errorf("%d known events are new", got.New)
	}
	if got := known(t, q); len(got) != accepted {
		t.Errorf("%d ids are known, want %d", len(got), accepted)
	}
}

// Where no runs can be made, nobody waits for them: what is wrong is said by who writes.
func TestNobodyWaitsForRunsThatFail(t *testing.T) {
	q := open(t, createFile(t), Options{Lanes: 1, memtable: 2})
	full := provenance.Errorf(provenance.Full, "no room")
	ids := idsIn(q)
	ids.compacting.Lock()
	ids.room = func(time.Time) error { return full }
	ids.compacting.Unlock()
	for n := 0; n < 40*maxBacklog; n += 2 {
		accept(t, q, deliveries("a", n, n+2)...)
	}
}
