package ledgertest

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/ledger"
)

// State is the index's mirror of the keys.
type State struct {
	mu   sync.Mutex
	held map[string][]byte
}

// Put stores a record under a key.
func (f *State) Put(t *testing.T, key string, record any) {
	t.Helper()
	b, err := state.Encode(record)
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held == nil {
		f.held = map[string][]byte{}
	}
	f.held[key] = b
}

// Get implements state.Reader.
func (f *State) Get(keys ...string) ([][]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([][]byte, len(keys))
	for i, k := range keys {
		out[i] = f.held[k]
	}
	return out, nil
}

// Scan implements state.Scanner.
func (f *State) Scan(limit int, objectType string, attributes ...string) ([]state.Entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []state.Entry
	for k, v := range f.held {
		if strings.HasPrefix(k, state.Key(objectType, attributes...)) {
			out = append(out, state.Entry{Key: k, Value: v})
		}
	}
	slices.SortFunc(out, func(a, b state.Entry) int { return strings.Compare(a.Key, b.Key) })
	return out[:min(limit, len(out))], nil
}

// View reads the records as they are now.
func (f *State) View(_ context.Context, read func(state.Scanner) error) error { return read(f) }

// Acts takes transactions and remembers them.
type Acts struct {
	Mu   sync.Mutex
	Acts []Act
	// Batches are the sizes of those that were submitted.
	Batches []int
	Refuse  func(a Act) error
}

// Act is a transaction as it was submitted.
type Act struct {
	Fn       string
	Args     []string
	Envelope []byte
	Manifest []byte
	Private  bool
}

// SubmitOnce is SubmitTransient.
func (l *Acts) SubmitOnce(ctx context.Context, transient map[string][]byte, fn string, args ...string) (ledger.Result, error) {
	return l.SubmitTransient(ctx, transient, fn, args...)
}

// SubmitTransient remembers a transaction, or refuses it as the test says. A batch of
// evidence is remembered, and refused, as its pieces.
func (l *Acts) SubmitTransient(_ context.Context, transient map[string][]byte, fn string, args ...string) (ledger.Result, error) {
	l.Mu.Lock()
	defer l.Mu.Unlock()
	if fn != "evidence:SubmitBatch" {
		return ledger.Result{Payload: []byte("{}")}, l.take(Act{fn, args, transient["envelope"], transient["manifest"], string(transient["private"]) == "true"})
	}
	pieces, err := evidence.DecodeBatch(transient["pieces"])
	if err != nil {
		return ledger.Result{}, err
	}
	l.Batches = append(l.Batches, len(pieces))
	outcomes := make([]evidence.Outcome, len(pieces))
	for i, p := range pieces {
		args := []string{p.Host, p.Repository, p.Digest, p.Type, p.Format, p.MSP, p.Key, p.Location}
		if err := l.take(Act{"evidence:Submit", args, p.Envelope, nil, p.Private}); err != nil {
			outcomes[i] = evidence.Outcome{Code: provenance.CodeOf(err), Message: err.Error()}
		}
	}
	payload, err := json.Marshal(outcomes)
	return ledger.Result{Payload: payload}, err
}

func (l *Acts) take(a Act) error {
	if l.Refuse != nil {
		if err := l.Refuse(a); err != nil {
			return err
		}
	}
	l.Acts = append(l.Acts, a)
	return nil
}
