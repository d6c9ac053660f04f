package gateway

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/gateway/wait"
)

// fakeLedger behaves as Fabric and the contract do, in one mutex: a
// transaction is judged when it is ordered, by what its endorsement had read;
// the same id is ordered once; a fate is asked until ctx ends.
type fakeLedger struct {
	mu       sync.Mutex
	segments map[string][]byte // state: key -> bytes
	fates    map[string]string // txID -> validation code
	txs      int
	resent   int // submits of a transaction that was ordered before
	endorsed [][]provenance.Event
	carried  []map[provenance.Digest][]byte // the manifests of each endorsement

	// Faults. Each is called without the lock, n counts the calls of its kind.
	onEndorse, onSubmit, afterSubmit, onStatus func(n int) error
	endorses, submits, statuses                int
	refuse                                     func(e provenance.Event) error // the contract's word on one event
	invalid                                    func(n int) string             // code of the nth ordered transaction
}

type fakeTx struct {
	ID, Key string
	Bytes   []byte
	Absent  bool // the key was absent when it was endorsed
}

func newFakeLedger() *fakeLedger {
	return &fakeLedger{segments: map[string][]byte{}, fates: map[string]string{}}
}

func call(fault func(int) error, n int) error {
	if fault == nil {
		return nil
	}
	return fault(n)
}

func (f *fakeLedger) Endorse(ctx context.Context, fn string, args []string, transient map[string][]byte) (ledger.Endorsed, error) {
	f.mu.Lock()
	f.endorses++
	n := f.endorses
	f.mu.Unlock()
	if err := call(f.onEndorse, n); err != nil {
		return ledger.Endorsed{}, err
	}
	if ctx.Err() != nil {
		return ledger.Endorsed{}, provenance.Wrap(provenance.Unavailable, ctx.Err(), "endorse")
	}
	events, err := provenance.DecodeSegment(transient["segment"])
	if err != nil || fn != "record:Segment" || len(args) != 4 {
		return ledger.Endorsed{}, provenance.Errorf(provenance.Internal, "bad call of %s%v: %v", fn, args, err)
	}
	for _, e := range events {
		if f.refuse != nil {
			if err := f.refuse(e); err != nil {
				return ledger.Endorsed{}, err
			}
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.endorsed = append(f.endorsed, events)
	carried, err := decodeManifests(transient["manifests"])
	if err != nil {
		return ledger.Endorsed{}, err
	}
	f.carried = append(f.carried, carried)
	f.txs++
	tx := fakeTx{ID: fmt.Sprintf("tx%d", f.txs), Key: fmt.Sprint(args[:3]), Bytes: transient["segment"]}
	known, exists := f.segments[tx.Key]
	tx.Absent = !exists
	if exists && string(known) != string(tx.Bytes) {
		return ledger.Endorsed{}, provenance.Errorf(provenance.Conflict, "segment %s is on the ledger with other bytes", tx.Key)
	}
	b, err := json.Marshal(tx)
	return ledger.Endorsed{TxID: tx.ID, Bytes: b}, err
}

// decodeManifests reads the transient field as the contract does: each once,
// together at most provenance.MaxManifests.
func decodeManifests(b []byte) (map[provenance.Digest][]byte, error) {
	if len(b) > provenance.MaxManifests {
		return nil, provenance.Errorf(provenance.Invalid, "%d bytes of manifests", len(b))
	}
	out := map[provenance.Digest][]byte{}
	for len(b) > 0 {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > provenance.MaxManifest || uint64(len(b)-n) < size {
			return nil, provenance.Errorf(provenance.Invalid, "manifests are cut")
		}
		body := b[n : n+int(size)]
		if d := provenance.SHA256Of(body); out[d] != nil {
			return nil, provenance.Errorf(provenance.Invalid, "manifest %s twice", d)
		} else {
			out[d] = body
		}
		b = b[n+int(size):]
	}
	return out, nil
}

func (f *fakeLedger) SubmitEndorsed(ctx context.Context, e ledger.Endorsed) error {
	f.mu.Lock()
	f.submits++
	n := f.submits
	f.mu.Unlock()
	if err := call(f.onSubmit, n); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return provenance.Wrap(provenance.Unavailable, ctx.Err(), "submit")
	}
	if err := f.order(e); err != nil {
		return err
	}
	return call(f.afterSubmit, n)
}

func (f *fakeLedger) order(e ledger.Endorsed) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var tx fakeTx
	if err := json.Unmarshal(e.Bytes, &tx); err != nil {
		return err
	}
	if _, ok := f.fates[tx.ID]; ok {
		f.resent++ // already processed: no failure, no second effect
		return nil
	}
	code := "VALID"
	if f.invalid != nil {
		code = f.invalid(len(f.fates) + 1)
	}
	if _, exists := f.segments[tx.Key]; exists && tx.Absent {
		code = "MVCC_READ_CONFLICT"
	}
	f.fates[tx.ID] = code
	if code == "VALID" {
		f.segments[tx.Key] = tx.Bytes
	}
	return nil
}

func (f *fakeLedger) CommitStatus(ctx context.Context, txID string) (ledger.Commit, error) {
	f.mu.Lock()
	f.statuses++
	n := f.statuses
	f.mu.Unlock()
	if err := call(f.onStatus, n); err != nil {
		return ledger.Commit{}, err
	}
	for {
		f.mu.Lock()
		code, ok := f.fates[txID]
		f.mu.Unlock()
		if ok {
			return ledger.Commit{Valid: code == "VALID", Code: code, Block: 7}, nil
		}
		if err := wait.For(ctx, time.Millisecond); err != nil {
			return ledger.Commit{}, provenance.Wrap(provenance.Unavailable, err, "commit status of %s", txID)
		}
	}
}

// recordings counts how often each event stands on the ledger.
func (f *fakeLedger) recordings(t *testing.T) map[provenance.EventID]int {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	count := map[provenance.EventID]int{}
	for key, b := range f.segments {
		events, err := provenance.DecodeSegment(b)
		if err != nil {
			t.Fatalf("segment %s: %v", key, err)
		}
		for _, e := range events {
			count[e.ID]++
		}
	}
	return count
}
