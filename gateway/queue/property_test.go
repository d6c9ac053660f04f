package queue

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
)

// FuzzGroupCommit lets many callers accept overlapping, conflicting and
// oversized deliveries while workers lease, seal, release, bury and record,
// reopens in the middle, and checks the promises: what was acknowledged is
// there exactly once, what was refused left no trace, order per repository
// holds.
func FuzzGroupCommit(f *testing.F) {
	for seed := range uint64(6) {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, seed uint64, onServer bool) {
		path := createOn(t, onServer)
		acked := &ids{m: map[provenance.EventID]bool{}}
		recorded := map[provenance.EventID]int{}
		for round := range 3 {
			q := open(t, path, Options{Lanes: 2, MaxPending: 150})
			var wg sync.WaitGroup
			for caller := range 8 {
				wg.Go(func() { acceptRandomly(t, q, rand.New(rand.NewPCG(seed, uint64(round*8+caller))), acked) })
			}
			wg.Wait()
			for lane := range 2 {
				work(t, q, lane, rand.New(rand.NewPCG(seed, uint64(100+round*2+lane))), recorded, round == 2)
			}
			crash(t, q)
		}
		for id := range acked.m {
			if recorded[id] != 1 {
				t.Fatalf("acknowledged event %s was recorded %d times", id, recorded[id])
			}
		}
		if len(recorded) != len(acked.m) {
			t.Fatalf("%d events recorded, %d acknowledged", len(recorded), len(acked.m))
		}
	})
}

type ids struct {
	mu sync.Mutex
	m  map[provenance.EventID]bool
}

func acceptRandomly(t *testing.T, q *Queue, r *rand.Rand, acked *ids) {
	for range 10 {
		var ds []delivery.Delivery
		for range 1 + r.IntN(6) {
			d := testDelivery(fmt.Sprintf("r%d", r.IntN(4)), r.IntN(60))
			if r.IntN(40) == 0 {
				d.BodyHash[1] ^= 0xff // a lie if the event is known, else the first word on it
			}
			ds = append(ds, d)
		}
		got, err := q.Accept(context.Background(), ds)
		switch provenance.CodeOf(err) {
		case "":
			if got.New+got.Duplicate != len(ds) {
				t.Errorf("accepted %+v of %d", got, len(ds))
			}
			acked.mu.Lock()
			for _, d := range ds {
				acked.m[d.Event.ID] = true
			}
			acked.mu.Unlock()
		case provenance.Conflict, provenance.Full:
		default:
			t.Errorf("accept: %v", err)
		}
	}
}

// work empties a lane, or in the middle rounds stops anywhere.
func work(t *testing.T, q *Queue, lane int, r *rand.Rand, recorded map[provenance.EventID]int, last bool) {
	ctx := t.Context()
	if s, err := q.Sealed(ctx, lane); err != nil {
		t.Fatal(err)
	} else if s != nil { // left open by the round before; its transaction turned out valid
		record(t, q, *s, recorded)
	}
	if last {
		if _, err := q.Retry(ctx); err != nil {
			t.Fatal(err)
		}
	}
	before := map[provenance.Repository]int64{}
	for {
		items := lease(t, q, lane, 1+r.IntN(20))
		if len(items) == 0 {
			return
		}
		for _, it := range items {
			if it.ID <= before[it.Event.Repository] {
				t.Fatalf("item %d of %s came after %d", it.ID, it.Event.Repository, before[it.Event.Repository])
			}
			before[it.Event.Repository] = it.ID
		}
		if !last && r.IntN(5) == 0 {
			if err := q.DeadLetter(ctx, items[0], "unlucky"); err != nil {
				t.Fatal(err)
			}
			items = items[1:]
			if len(items) == 0 {
				continue
			}
		}
		seq, err := q.NextSeq(ctx, lane)
		if err != nil {
			t.Fatal(err)
		}
		s := seal(t, q, lane, seq, items)
		if !last && r.IntN(4) == 0 {
			return // as if the process died between Seal and Recorded
		}
		record(t, q, s, recorded)
	}
}

func record(t *testing.T, q *Queue, s Segment, recorded map[provenance.EventID]int) {
	for _, id := range idsOf(s.Bytes) {
		recorded[id]++
	}
	if err := q.Recorded(t.Context(), s, 1); err != nil {
		t.Fatal(err)
	}
}
