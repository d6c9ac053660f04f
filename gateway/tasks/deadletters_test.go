package tasks

import (
	"testing"
	"time"

	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/gateway/record/recordtest"
)

// Operators see one list: the queue's dead letters, then the tasks.
func TestOneListOfDead(t *testing.T) {
	b := recordtest.New(t)
	b.Accept(recordtest.Pushes("app", 2)...)
	items, err := b.Queue.Lease(t.Context(), 0, 10, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if len(items) == 0 {
		if items, err = b.Queue.Lease(t.Context(), 1, 10, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	for _, it := range items {
		if err := b.Queue.DeadLetter(t.Context(), it, "gone"); err != nil {
			t.Fatal(err)
		}
	}
	list := b.Queue.Tasks()
	if err := list.Add(t.Context(), []Task{{Kind: Collect, Host: "reg.example", Repository: "app/1"}, {Kind: Collect, Host: "reg.example", Repository: "app/2"}}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		x, _, _, err := list.Take(t.Context(), queue.Ready{Collect: nil})
		if err != nil {
			t.Fatal(err)
		}
		if err := list.DeadLetter(t.Context(), x, "", "unsigned"); err != nil {
			t.Fatal(err)
		}
	}
	o := DeadLetters{Queue: b.Queue}
	var all []delivery.DeadLetter
	for after := int64(0); ; {
		page, err := o.Dead(t.Context(), after, 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		all, after = append(all, page...), page[0].ID
	}
	if len(all) != 4 || all[3].Connector != Collect || all[3].Reason != "unsigned" {
		t.Fatalf("%d dead: %+v", len(all), all)
	}
	if s, err := o.Stats(t.Context()); err != nil || s.Dead != 4 {
		t.Errorf("stats %+v, %v", s, err)
	}
	if n, err := o.Retry(t.Context(), all[0].ID, all[3].ID); err != nil || n != 2 {
		t.Errorf("retried %d, %v", n, err)
	}
	if n, err := o.Retry(t.Context(), all[3].ID); err != nil || n != 0 {
		t.Errorf("retried %d again, %v", n, err)
	}
	if n, err := o.Retry(t.Context()); err != nil || n != 2 {
		t.Errorf("retried all: %d, %v", n, err)
	}
}
