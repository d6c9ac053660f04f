package queue

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

func segment(q *Queue, lane int, seq uint64, items []Item) Segment {
	s := Segment{Lane: lane, LaneName: q.LaneName(lane), Seq: seq, Host: testHost, TxID: "tx", Tx: []byte("signed")}
	for _, it := range items {
		s.Bytes = append(s.Bytes, it.Event.ID[:]...)
	}
	return s
}

func seal(t testing.TB, q *Queue, lane int, seq uint64, items []Item) Segment {
	t.Helper()
	s := segment(q, lane, seq, items)
	if err := q.Seal(t.Context(), s, items); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSegmentLife(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		path := create(t)
		q := open(t, path, Options{Lanes: 1})
		accept(t, q, deliveries("a", 0, 5)...)
		s := seal(t, q, 0, 1, lease(t, q, 0, 3))
		crash(t, q)

		q = open(t, path, Options{Lanes: 1})
		got, err := q.Sealed(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&s, got); diff != "" {
			t.Fatal(diff)
		}
		rest := lease(t, q, 0, 10)
		if len(rest) != 2 {
			t.Fatalf("sealed items were handed out again: %v", names(rest))
		}
		wantCode(t, q.Seal(t.Context(), segment(q, 0, 2, rest), rest), provenance.Conflict) // one open segment per lane
		s.TxID, s.Tx = "tx2", []byte("signed again")
		if err := q.Reseal(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		other := s
		other.Bytes = []byte("other bytes")
		wantCode(t, q.Reseal(t.Context(), other), provenance.Conflict)
		if err := q.Recorded(t.Context(), s, 7); err != nil {
			t.Fatal(err)
		}
		wantCode(t, q.Recorded(t.Context(), s, 7), provenance.Conflict)
		if s := stats(t, q); s.Pending != 2 || s.Sealed != 0 || s.Done != 3 {
			t.Fatalf("stats %+v", s)
		}
		if got := accept(t, q, deliveries("a", 0, 5)...); got.Duplicate != 5 {
			t.Fatalf("recorded events are not known any more: %+v", got)
		}
		wantCode(t, q.Seal(t.Context(), segment(q, 0, 1, rest), rest), provenance.Conflict) // numbers are never used twice
		crash(t, q)

		q = open(t, path, Options{Lanes: 1})
		if next, err := q.NextSeq(t.Context(), 0); next != 2 || err != nil {
			t.Fatalf("next number %d, %v", next, err)
		}
		if s := stats(t, q); s.Pending != 2 || s.Done != 3 {
			t.Fatalf("stats %+v", s)
		}
	})
}

func TestUnsealKeepsOrder(t *testing.T) {
	onBackends(t, func(t *testing.T, create creator) {
		q := open(t, create(t), Options{Lanes: 1})
		accept(t, q, deliveries("a", 0, 4)...)
		items := lease(t, q, 0, 2)
		s := seal(t, q, 0, 1, items)
		if err := q.Unseal(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		got := lease(t, q, 0, 10)
		if len(got) != 4 || got[0].ID != items[0].ID {
			t.Fatalf("after unseal %v", names(got))
		}
		if err := q.Skip(t.Context(), 0, 1); err != nil {
			t.Fatal(err)
		}
		if next, _ := q.NextSeq(t.Context(), 0); next != 2 {
			t.Fatalf("next number %d after skip", next)
		}
		if err := q.Supersede(t.Context(), 0, 2, got[:3], "other bytes"); err != nil {
			t.Fatal(err)
		}
		if next, _ := q.NextSeq(t.Context(), 0); next != 3 {
			t.Fatalf("next number %d after supersede", next)
		}
		if st := stats(t, q); st.Dead != 3 || st.Pending != 1 {
			t.Fatalf("after supersede %+v", st)
		}
	})
}
