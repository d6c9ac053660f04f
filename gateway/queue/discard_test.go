package queue

import (
	"testing"

	"github.com/waybill-dev/waybill/gateway/delivery"
)

// What is discarded leaves nothing behind: no item, no count of its connector, no id
// that would be taken for an event that was lost. Sealed items and dead letters stay.
func TestDiscard(t *testing.T) {
	for name, onServer := range map[string]bool{"file": false, "server": true} {
		t.Run(name, func(t *testing.T) {
			path := createOn(t, onServer)
			q := open(t, path, Options{Lanes: 1, MaxPending: 4})
			ds := deliveries("team/app", 0, 4)
			accept(t, q, ds...)
			items := lease(t, q, 0, 4)
			if err := q.DeadLetter(t.Context(), items[2], "gone"); err != nil {
				t.Fatal(err)
			}
			seal(t, q, 0, 1, items[3:])
			if n, err := q.Discard(t.Context(), items); n != 2 || err != nil {
				t.Fatalf("%d discarded, %v, want the two that wait", n, err)
			}
			if n, err := q.Discard(t.Context(), items[:2]); n != 0 || err != nil {
				t.Fatalf("%d discarded again, %v", n, err)
			}
			if s := stats(t, q); s.Pending != 0 || s.Sealed != 1 || s.Dead != 1 {
				t.Fatalf("left: %+v", s)
			}
			crash(t, q)
			q = open(t, path, Options{Lanes: 1, MaxPending: 4})
			if s := stats(t, q); s.Pending != 0 || s.Sealed != 1 || s.Dead != 1 {
				t.Fatalf("left after a restart: %+v", s)
			}
			if got := accept(t, q, ds...); got != (delivery.Accepted{New: 2, Duplicate: 2}) {
				t.Fatalf("delivered again: %+v, want the two that were discarded as new", got)
			}
		})
	}
}
