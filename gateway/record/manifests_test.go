package record_test

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
	"github.com/waybill-dev/waybill/gateway/record"
	"github.com/waybill-dev/waybill/gateway/record/recordtest"
	"github.com/waybill-dev/waybill/gateway/registry"
)

// What the contract derives facts from travels with the segment, each manifest once.
func TestManifestsTravel(t *testing.T) {
	b, s := recordtest.New(t), recordtest.NewRegistry()
	b.Reads(s)
	first, second := s.Put("first", 700), s.Put("second", 1300)
	all := []delivery.Delivery{recordtest.PushOf("app", "v1", first), recordtest.PushOf("app", "v2", first), recordtest.PushOf("app", "v3", second), recordtest.Event("app", 9, provenance.Pull)}
	b.Accept(all...)
	b.Run(t.Context(), recordtest.Empty)
	b.WantOnce(all)
	if len(b.Ledger.Carried) != 1 || len(b.Ledger.Carried[0]) != 2 || len(b.Ledger.Carried[0][first]) != 700 || len(b.Ledger.Carried[0][second]) != 1300 {
		t.Errorf("%d endorsements carried %v", len(b.Ledger.Carried), b.Ledger.Carried)
	}
}

// However large manifests are, a segment's stay within the contract's bound, and order is kept.
func TestManifestsAreBounded(t *testing.T) {
	b, s := recordtest.New(t), recordtest.NewRegistry()
	b.Limits.Events = 100
	b.Reads(s)
	var all []delivery.Delivery
	for i := range 11 {
		all = append(all, recordtest.PushOf("app", "latest", s.Put(fmt.Sprint(i), provenance.MaxManifest-i)))
	}
	b.Accept(all...)
	b.Run(t.Context(), recordtest.Empty)
	b.WantOnce(all)
	var order []provenance.Digest
	for i, events := range b.Ledger.Endorsed {
		for _, e := range events {
			order = append(order, e.Digest)
			if len(b.Ledger.Carried[i][e.Digest]) == 0 {
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
	b, s := recordtest.New(t), recordtest.NewRegistry()
	b.Reads(s)
	stays, goes := s.Put("stays", 500), s.Put("goes", 500)
	b.Accept(recordtest.PushOf("app", "v1", stays), recordtest.PushOf("app", "v2", goes))
	b.Ledger.Invalid = func(n int) string {
		if n == 1 {
			return "MVCC_READ_CONFLICT"
		}
		return "VALID"
	}
	ctx, cancel := context.WithCancel(t.Context())
	b.Ledger.OnStatus = func(int) error { cancel(); return ledgertest.Unavailable("") }
	b.Run(ctx, recordtest.Empty) // it ends between sealing and hearing of the fate
	b.Ledger.OnStatus = nil
	b.Reopen()
	s.Mu.Lock()
	delete(s.By, goes)
	s.Mu.Unlock()
	var told []string
	b.Recorder.OnUnproven = func(_ context.Context, host provenance.Host, events []provenance.Event, read map[provenance.Digest][]byte) {
		for _, e := range events {
			if read[e.Digest] == nil {
				told = append(told, string(host)+" "+e.Digest.String())
			}
		}
	}
	b.Run(t.Context(), recordtest.Empty)
	last := b.Ledger.Carried[len(b.Ledger.Carried)-1]
	if len(b.Ledger.Carried) != 2 || len(last) != 1 || last[stays] == nil {
		t.Errorf("endorsements carried %v", b.Ledger.Carried)
	}
	if want := string(recordtest.Host) + " " + goes.String(); strings.Join(told, ",") != want {
		t.Errorf("told %q, want %q", told, want)
	}
}

// A registry that does not answer delays the new endorsement by a bounded time.
func TestReadAgainIsBounded(t *testing.T) {
	b := recordtest.New(t)
	hangs := func(ctx context.Context) error { <-ctx.Done(); return ledgertest.Unavailable("") }
	b.Limits.Again = 50 * time.Millisecond
	b.Reads(hanging{hangs})
	segment := segmentOf(t, recordtest.Event("app", 1, provenance.Push))
	began := time.Now()
	carried, err := record.ReadAgain(t.Context(), b.Recorder, queue.Segment{Host: recordtest.Host, Bytes: segment})
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
