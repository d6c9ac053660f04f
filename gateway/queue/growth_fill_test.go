package queue

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// remember gives a queue ids of recorded events, in runs as they would have come to be.
func remember(b testing.TB, where string, n int) {
	b.Helper()
	ids := make([]provenance.EventID, n)
	for i := range ids {
		ids[i] = provenance.EventID(knownID(i))
	}
	q := open(b, where, Options{})
	t := q.backend.dedup.(*idTable)
	t.compacting.Lock()
	for rest, age := ids, int64(1); len(rest) > 0; age++ {
		size := memtableIDs
		for size*fanOut <= len(rest) {
			size *= fanOut
		}
		part := rest[:min(size, len(rest))]
		rest = rest[len(part):]
		slices.SortFunc(part, func(a, b provenance.EventID) int { return bytes.Compare(a[:], b[:]) })
		next := func() (e entry, more bool, err error) {
			if len(part) == 0 {
				return e, false, nil
			}
			e = entry{part[0], newMark(part[0][:], 1_700_000_000)}
			part = part[1:]
			return e, true, nil
		}
		err := t.write(context.Background(), making{
			age: age, ids: int64(len(part)), from: next, commit: func(*batch) error { return nil },
			after: func(made []*run) { t.runs = slices.Concat(t.runs, made) },
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	t.compacting.Unlock()
	if err := q.Close(); err != nil {
		b.Fatal(err)
	}
}

// compacted returns when nothing is due for compaction.
func compacted(t testing.TB, q *Queue) {
	t.Helper()
	ids := q.backend.dedup.(*idTable)
	for more := true; more; {
		var err error
		if more, err = ids.compactOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
