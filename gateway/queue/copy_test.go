package queue

import (
	"path/filepath"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
)

// TestCopyOfAQueueInUse: what was accepted when the copy was made is in it, what came after is not, and the one in use goes on.
func TestCopyOfAQueueInUse(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "queue.db"), filepath.Join(dir, "copy.db")
	if err := Create(t.Context(), from); err != nil {
		t.Fatal(err)
	}
	q, err := Open(t.Context(), from, Options{})
	if err != nil {
		t.Fatal(err)
	}
	accept := func(name string) {
		t.Helper()
		e := provenance.Event{ID: provenance.NewEventID("t", "c", name), Action: provenance.Push, Source: "t", Repository: "app", Digest: provenance.SHA256Of([]byte(name))}
		if _, err := q.Accept(t.Context(), []delivery.Delivery{{Host: "reg.example", Connector: "c", Event: e}}); err != nil {
			t.Fatal(err)
		}
	}
	accept("before")
	if err := CopyFile(t.Context(), from, to); err != nil {
		t.Fatal(err)
	}
	accept("after")
	if err := CopyFile(t.Context(), from, to); provenance.CodeOf(err) != provenance.Conflict {
		t.Errorf("written over another: %v", err)
	}
	pending := func(q *Queue) int64 {
		t.Helper()
		s, err := q.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s.Pending
	}
	if n := pending(q); n != 2 {
		t.Errorf("%d events in the queue in use", n)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	copied, err := Open(t.Context(), to, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if n := pending(copied); n != 1 {
		t.Errorf("%d events in the copy", n)
	}
	if err := copied.Close(); err != nil {
		t.Fatal(err)
	}
}
