package proofs

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// peers answer what they are told to.
type peers struct {
	mu      sync.Mutex // several may ask at once
	need    int
	orgs    []string
	answer  ledger.Attestation
	err     error
	number  []uint64 // of the newest block, at each look
	waiting chan struct{}
}

func (p *peers) Attest(ctx context.Context, _ ledger.Question, orgs []string, need int, accept ledger.Accept) (ledger.Attestation, error) {
	p.mu.Lock()
	p.orgs, p.need = orgs, need
	p.mu.Unlock()
	if p.waiting != nil {
		<-p.waiting
	}
	if p.err != nil {
		return ledger.Attestation{}, p.err
	}
	return p.answer, accept(ctx, p.answer)
}

func (p *peers) AttestStatus(ctx context.Context, _ string, orgs []string, need int, accept ledger.Accept) (ledger.Attestation, error) {
	return p.Attest(ctx, ledger.Question{}, orgs, need, accept)
}

func (p *peers) Foundation(context.Context) (ledger.Foundation, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := ledger.Foundation{Genesis: make([]byte, 32), Config: [][]byte{{}}, Number: p.number[0]}
	if len(p.number) > 1 {
		p.number = p.number[1:]
	}
	return f, nil
}

func (p *peers) BlockOf(context.Context, string) ([]byte, error) { return nil, p.err }

func maker(p *peers, msps ...string) *Maker {
	return &Maker{
		Attester: p, Chain: p, Channel: "waybill", Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Organisations: func() (all []block.Organisation) {
			for _, m := range msps {
				all = append(all, block.Organisation{MSPID: m})
			}
			return all
		},
	}
}

func subject() state.Subject {
	return state.Subject{Stage: "production", Host: "reg.example", Repository: "app", Digest: provenance.SHA256Of([]byte("image"))}
}

func TestQuorum(t *testing.T) {
	for _, x := range []struct {
		orgs, wanted, need int
		code               provenance.Code
	}{
		{4, 0, 3, ""}, {5, 0, 3, ""}, {1, 0, 1, ""}, {4, 2, 2, ""}, {4, 4, 4, ""},
		{4, 5, 0, provenance.Invalid}, {4, -1, 0, provenance.Invalid}, {0, 0, 0, provenance.Unavailable},
	} {
		orgs, need, err := maker(nil, strings.Fields(strings.Repeat("O ", x.orgs))...).quorum(x.wanted)
		if provenance.CodeOf(err) != x.code || need != x.need || err == nil && len(orgs) != x.orgs {
			t.Errorf("%d of %d: %d, %v", x.wanted, x.orgs, need, err)
		}
	}
}

// What peers signed is verified before anybody gets it.
func TestNothingIsHandedOutThatDoesNotHold(t *testing.T) {
	p := &peers{number: []uint64{9}, answer: ledger.Attestation{Payload: []byte("no payload"), Orgs: []string{"A"}}}
	m := maker(p, "A")
	if got, err := m.Receipt(t.Context(), readmodel.ReceiptRequest{Subject: subject(), Asker: "A"}); err == nil || got.File != nil {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := m.Transaction(t.Context(), readmodel.TransactionRequest{TxID: "id", Asker: "A"}); err == nil {
		t.Errorf("%v", got)
	}
	if len(m.turns.open) != 0 {
		t.Errorf("turns are left: %v", m.turns.open)
	}
}

// The own peer may be a block behind those that answered, and is waited for.
func TestFloorIsNoLowerThanTheAnswer(t *testing.T) {
	m := maker(&peers{number: []uint64{7, 7, 8, 9}}, "A")
	if f, err := m.foundation(t.Context(), 9); err != nil || f.Number != 9 {
		t.Errorf("%d, %v", f.Number, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), floorWait)
	defer cancel()
	if _, err := maker(&peers{number: []uint64{7}}, "A").foundation(ctx, 9); err == nil {
		t.Error("a floor below the answer")
	}
}

// One organisation's questions are bounded, and are no other's trouble.
func TestTurns(t *testing.T) {
	p := &peers{waiting: make(chan struct{}), err: provenance.Errorf(provenance.Unavailable, "down")}
	m := maker(p, "A")
	ended := make(chan error, maxTurns)
	for range maxTurns {
		go func() {
			_, err := m.Receipt(t.Context(), readmodel.ReceiptRequest{Subject: subject(), Asker: "A"})
			ended <- err
		}()
	}
	for { // until all wait
		m.turns.mu.Lock()
		n := m.turns.open["A"]
		m.turns.mu.Unlock()
		if n == maxTurns {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if _, err := m.Receipt(t.Context(), readmodel.ReceiptRequest{Subject: subject(), Asker: "A"}); provenance.CodeOf(err) != provenance.Full {
		t.Errorf("one more: %v", err)
	}
	done, err := m.turns.take("B")
	if err != nil {
		t.Fatalf("another organisation: %v", err)
	}
	done()
	close(p.waiting)
	for range maxTurns {
		if err := <-ended; provenance.CodeOf(err) != provenance.Unavailable {
			t.Error(err)
		}
	}
	if _, err := m.Receipt(t.Context(), readmodel.ReceiptRequest{Subject: subject(), Asker: "A"}); provenance.CodeOf(err) != provenance.Unavailable {
		t.Errorf("afterwards: %v", err)
	}
}

func TestKept(t *testing.T) {
	now := time.Unix(1000, 0)
	allowed := readmodel.Proof{File: []byte("f"), At: now, Answer: policy.Allowed}
	ask := readmodel.ReceiptRequest{MaxAge: time.Minute, Answer: policy.Allowed}
	id := keptID{"A", subject(), 3}
	var k kept
	if _, ok := k.get(id, ask, now); ok {
		t.Error("a receipt from nowhere")
	}
	k.put(id, allowed)
	for what, x := range map[string]struct {
		id   keptID
		ask  readmodel.ReceiptRequest
		now  time.Time
		want bool
	}{
		"fresh":                        {id, ask, now.Add(time.Minute), true},
		"too old":                      {id, ask, now.Add(time.Minute + 1), false},
		"held since":                   {id, readmodel.ReceiptRequest{MaxAge: time.Minute, Answer: policy.Quarantined}, now, false},
		"a new one is wanted":          {id, readmodel.ReceiptRequest{Answer: policy.Allowed}, now.Add(1), false},
		"older than anything is kept":  {id, readmodel.ReceiptRequest{MaxAge: 24 * time.Hour, Answer: policy.Allowed}, now.Add(keepFor + 1), false},
		"with more signatures":         {keptID{"A", subject(), 4}, ask, now, false},
		"of another organisation's":    {keptID{"B", subject(), 3}, ask, now, false},
		"from before the clock's jump": {id, ask, now.Add(-time.Hour), true},
	} {
		if _, ok := k.get(x.id, x.ask, x.now); ok != x.want {
			t.Errorf("%s: %t", what, ok)
		}
	}
	k.put(id, readmodel.Proof{At: now, Answer: policy.Denied})
	if _, ok := k.get(id, readmodel.ReceiptRequest{MaxAge: time.Minute, Answer: policy.Denied}, now); ok || len(k.by) != 0 {
		t.Error("a receipt of what is not allowed was kept")
	}
	k.put(id, readmodel.Proof{File: make([]byte, maxKeptBytes+1), At: now, Answer: policy.Allowed})
	if len(k.by) != 0 {
		t.Error("a large one was kept")
	}
	k.put(keptID{"B", subject(), 3}, allowed)
	for i := range 3 * maxKept {
		k.put(keptID{"A", subject(), i}, allowed)
		k.put(keptID{"A", subject(), i}, allowed)
	}
	if len(k.order["A"]) != maxKept || len(k.by) != maxKept+1 || len(k.order["B"]) != 1 {
		t.Errorf("%d of A, %d in all", len(k.order["A"]), len(k.by))
	}
}
