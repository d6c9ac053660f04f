package ledgertest

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

// Ledger behaves as Fabric and the contract do, in one mutex: a
// transaction is judged when it is ordered, by what its endorsement had read;
// the same id is ordered once; a fate is asked until ctx ends.
type Ledger struct {
	Mu       sync.Mutex
	Segments map[string][]byte // state: key -> bytes
	Outcomes map[string]string // txID -> validation code
	Txs      int
	Resent   int // submits of a transaction that was ordered before
	Endorsed [][]provenance.Event
	Carried  []map[provenance.Digest][]byte // the manifests of each endorsement

	// Faults. Each is called without the lock, n counts the calls of its kind.
	OnEndorse, OnSubmit, AfterSubmit, OnStatus func(n int) error
	Endorses, Submits, statuses                int
	Refuse                                     func(e provenance.Event) error // the contract's word on one event
	Invalid                                    func(n int) string             // code of the nth ordered transaction
}

// Tx is an endorsed transaction.
type Tx struct {
	ID, Key string
	Bytes   []byte
	Absent  bool // the key was absent when it was endorsed
}

// New returns an empty ledger.
func New() *Ledger {
	return &Ledger{Segments: map[string][]byte{}, Outcomes: map[string]string{}}
}

// Call calls a fault where one is set.
func Call(fault func(int) error, n int) error {
	if fault == nil {
		return nil
	}
	return fault(n)
}

// Endorse endorses a segment as the contract would.
func (f *Ledger) Endorse(ctx context.Context, fn string, args []string, transient map[string][]byte) (ledger.Endorsed, error) {
	f.Mu.Lock()
	f.Endorses++
	n := f.Endorses
	f.Mu.Unlock()
	if err := Call(f.OnEndorse, n); err != nil {
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
		if f.Refuse != nil {
			if err := f.Refuse(e); err != nil {
				return ledger.Endorsed{}, err
			}
		}
	}
	f.Mu.Lock()
	defer f.Mu.Unlock()
	f.Endorsed = append(f.Endorsed, events)
	carried, err := decodeManifests(transient["manifests"])
	if err != nil {
		return ledger.Endorsed{}, err
	}
	f.Carried = append(f.Carried, carried)
	f.Txs++
	tx := Tx{ID: fmt.Sprintf("tx%d", f.Txs), Key: fmt.Sprint(args[:3]), Bytes: transient["segment"]}
	known, exists := f.Segments[tx.Key]
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

// SubmitEndorsed has a transaction ordered.
func (f *Ledger) SubmitEndorsed(ctx context.Context, e ledger.Endorsed) error {
	f.Mu.Lock()
	f.Submits++
	n := f.Submits
	f.Mu.Unlock()
	if err := Call(f.OnSubmit, n); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return provenance.Wrap(provenance.Unavailable, ctx.Err(), "submit")
	}
	if err := f.Order(e); err != nil {
		return err
	}
	return Call(f.AfterSubmit, n)
}

// Order judges a transaction and keeps what it wrote if it is valid.
func (f *Ledger) Order(e ledger.Endorsed) error {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	var tx Tx
	if err := json.Unmarshal(e.Bytes, &tx); err != nil {
		return err
	}
	if _, ok := f.Outcomes[tx.ID]; ok {
		f.Resent++ // already processed: no failure, no second effect
		return nil
	}
	code := "VALID"
	if f.Invalid != nil {
		code = f.Invalid(len(f.Outcomes) + 1)
	}
	if _, exists := f.Segments[tx.Key]; exists && tx.Absent {
		code = "MVCC_READ_CONFLICT"
	}
	f.Outcomes[tx.ID] = code
	if code == "VALID" {
		f.Segments[tx.Key] = tx.Bytes
	}
	return nil
}

// CommitStatus waits for the outcome of a transaction.
func (f *Ledger) CommitStatus(ctx context.Context, txID string) (ledger.Commit, error) {
	f.Mu.Lock()
	f.statuses++
	n := f.statuses
	f.Mu.Unlock()
	if err := Call(f.OnStatus, n); err != nil {
		return ledger.Commit{}, err
	}
	for {
		f.Mu.Lock()
		code, ok := f.Outcomes[txID]
		f.Mu.Unlock()
		if ok {
			return ledger.Commit{Valid: code == "VALID", Code: code, Block: 7}, nil
		}
		if err := wait.For(ctx, time.Millisecond); err != nil {
			return ledger.Commit{}, provenance.Wrap(provenance.Unavailable, err, "commit status of %s", txID)
		}
	}
}

// Recordings counts how often each event stands on the ledger.
func (f *Ledger) Recordings(t *testing.T) map[provenance.EventID]int {
	t.Helper()
	f.Mu.Lock()
	defer f.Mu.Unlock()
	count := map[provenance.EventID]int{}
	for key, b := range f.Segments {
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
