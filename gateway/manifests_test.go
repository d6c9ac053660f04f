package gateway

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/ledger/ledgertest"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/gateway/registry"
)

// What the contract derives facts from travels with the segment, each manifest once.
func TestManifestsTravel(t *testing.T) {
	b, s := newBench(t), newShelf()
	b.reads(s)
	first, second := s.put("first", 700), s.put("second", 1300)
	all := []delivery.Delivery{pushOf("app", "v1", first), pushOf("app", "v2", first), pushOf("app", "v3", second), event("app", 9, provenance.Pull)}
	b.accept(all...)
	b.run(t.Context(), empty)
	b.wantOnce(all)
	if len(b.ledger.Carried) != 1 || len(b.ledger.Carried[0]) != 2 || len(b.ledger.Carried[0][first]) != 700 || len(b.ledger.Carried[0][second]) != 1300 {
		t.Errorf("%d endorsements carried %v", len(b.ledger.Carried), b.ledger.Carried)
	}
}

// However large manifests are, a segment's stay within the contract's bound, and order is kept.
func TestManifestsAreBounded(t *testing.T) {
	b, s := newBench(t), newShelf()
	b.limits.events = 100
	b.reads(s)
	var all []delivery.Delivery
	for i := range 11 {
		all = append(all, pushOf("app", "latest", s.put(fmt.Sprint(i), provenance.MaxManifest-i)))
	}
	b.accept(all...)
	b.run(t.Context(), empty)
	b.wantOnce(all)
	var order []provenance.Digest
	for i, events := range b.ledger.Endorsed {
		for _, e := range events {
			order = append(order, e.Digest)
			if len(b.ledger.Carried[i][e.Digest]) == 0 {
				t.Errorf("segment %d does not carry %s", i, e.Digest.Short())
			}
		}
	}
	for i, d := range all {
		if order[i] != d.Event.Digest {
			t.Fatalf("event %d is out of its order", i)
		}
	}
}

// A segment that must be endorsed anew, after a restart, carries what the
// registry still serves; what is gone is left to be proven later.
func TestManifestsAreReadAgain(t *testing.T) {
	b, s := newBench(t), newShelf()
	b.reads(s)
	stays, goes := s.put("stays", 500), s.put("goes", 500)
	b.accept(pushOf("app", "v1", stays), pushOf("app", "v2", goes))
	b.ledger.Invalid = func(n int) string {
		if n == 1 {
			return "MVCC_READ_CONFLICT"
		}
		return "VALID"
	}
	ctx, cancel := context.WithCancel(t.Context())
	b.ledger.OnStatus = func(int) error { cancel(); return ledgertest.Unavailable("") }
	b.run(ctx, empty) // it ends between sealing and hearing of the fate
	b.ledger.OnStatus = nil
	b.reopen()
	s.mu.Lock()
	delete(s.by, goes)
	s.mu.Unlock()
	var told []string
	b.sub.unproven = func(host provenance.Host, events []provenance.Event, read map[provenance.Digest][]byte) {
		for _, e := range events {
			if read[e.Digest] == nil {
				told = append(told, string(host)+" "+e.Digest.String())
			}
		}
	}
	b.run(t.Context(), empty)
	last := b.ledger.Carried[len(b.ledger.Carried)-1]
	if len(b.ledger.Carried) != 2 || len(last) != 1 || last[stays] == nil {
		t.Errorf("endorsements carried %v", b.ledger.Carried)
	}
	if want := string(submitHost) + " " + goes.String(); strings.Join(told, ",") != want {
		t.Errorf("told %q, want %q", told, want)
	}
}

// A registry that does not answer delays the new endorsement by a bounded time.
func TestReadAgainIsBounded(t *testing.T) {
	b := newBench(t)
	hangs := func(ctx context.Context) error { <-ctx.Done(); return ledgertest.Unavailable("") }
	b.limits.again = 50 * time.Millisecond
	b.reads(hanging{hangs})
	segment := segmentOf(t, event("app", 1, provenance.Push))
	l := &lane{submitter: b.sub, name: "lane"}
	l.start()
	began := time.Now()
	carried, err := l.readAgain(t.Context(), queue.Segment{Host: submitHost, Bytes: segment})
	if err != nil || len(carried) > 0 || time.Since(began) > 5*time.Second {
		t.Errorf("%d bytes, %v, %s", len(carried), err, time.Since(began))
	}
}

// hanging is a registry that answers when ctx ends.
type hanging struct {
	wait func(ctx context.Context) error
}

func (h hanging) ManifestBytes(ctx context.Context, _ provenance.Repository, _ provenance.Digest) (registry.Facts, []byte, error) {
	return registry.Facts{}, nil, h.wait(ctx)
}

func (h hanging) Manifest(ctx context.Context, _ provenance.Repository, _ provenance.Digest) (registry.Facts, error) {
	return registry.Facts{}, h.wait(ctx)
}

func (h hanging) Resolve(ctx context.Context, _ provenance.Repository, _ provenance.Tag) (provenance.Digest, error) {
	return provenance.Digest{}, h.wait(ctx)
}
