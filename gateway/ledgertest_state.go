package gateway

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/ledger"
)

// fakeState is the index's mirror of the keys.
type fakeState struct {
	mu   sync.Mutex
	held map[string][]byte
}

func (f *fakeState) put(t *testing.T, key string, record any) {
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

func (f *fakeState) Get(keys ...string) ([][]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([][]byte, len(keys))
	for i, k := range keys {
		out[i] = f.held[k]
	}
	return out, nil
}

func (f *fakeState) Scan(limit int, objectType string, attributes ...string) ([]state.Entry, error) {
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

func (f *fakeState) view(_ context.Context, read func(state.Scanner) error) error { return read(f) }

// fakeActs takes transactions and remembers them.
type fakeActs struct {
	mu     sync.Mutex
	acts   []act
	refuse func(a act) error
}

type act struct {
	fn       string
	args     []string
	envelope []byte
	manifest []byte
}

func (l *fakeActs) SubmitTransient(_ context.Context, transient map[string][]byte, fn string, args ...string) (ledger.Result, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := act{fn, args, transient["envelope"], transient["manifest"]}
	if l.refuse != nil {
		if err := l.refuse(a); err != nil {
			return ledger.Result{}, err
		}
	}
	l.acts = append(l.acts, a)
	return ledger.Result{}, nil
}
