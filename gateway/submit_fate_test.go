package gateway

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/gateway/ledger/ledgertest"
	"github.com/waybill-dev/waybill/gateway/wait"
)

func TestRecoveryAsksBeforeSending(t *testing.T) {
	b := newBench(t)
	all := pushes("a", 3)
	b.accept(all...)
	ctx, kill := context.WithCancel(t.Context())
	b.ledger.AfterSubmit = func(int) error { kill(); return nil }
	b.run(ctx, empty)
	b.ledger.AfterSubmit = nil
	submits := b.ledger.Submits
	b.reopen()
	b.run(t.Context(), empty)
	b.wantOnce(all)
	if b.ledger.Submits != submits {
		t.Fatal("a committed transaction was sent again without asking for its fate")
	}
}

// The orderers took it, then the answer was lost and the peer is behind: the
// same bytes are sent again, nothing else is.
func TestLostAnswerSendsTheSameBytes(t *testing.T) {
	b := newBench(t)
	all := pushes("a", 3)
	b.accept(all...)
	b.ledger.AfterSubmit = func(n int) error {
		if n == 1 {
			return ledgertest.Unavailable("")
		}
		return nil
	}
	b.ledger.OnStatus = func(n int) error {
		if n == 1 {
			return ledgertest.Unavailable("")
		}
		return nil
	}
	b.run(t.Context(), empty)
	b.wantOnce(all)
	if b.ledger.Txs != 1 || b.ledger.Resent != 1 {
		t.Fatalf("%d transactions, %d resent; want one, sent twice", b.ledger.Txs, b.ledger.Resent)
	}
}

func TestInvalidIsEndorsedAgain(t *testing.T) {
	b := newBench(t)
	all := pushes("a", 12)
	b.accept(all...)
	b.ledger.Invalid = func(n int) string {
		if n%3 != 0 {
			return "MVCC_READ_CONFLICT"
		}
		return "VALID"
	}
	b.run(t.Context(), empty)
	b.wantOnce(all)
}

// An envelope whose signer the orderers refuse would be refused for ever; and it
// may have been ordered all the same, the time before.
func TestRefusedSignerIsRenewed(t *testing.T) {
	for name, ordered := range map[string]bool{"never ordered": false, "ordered unseen": true} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			all := pushes("a", 3)
			b.accept(all...)
			refuse := &refuser{Ledger: b.ledger, ordered: ordered}
			b.sub.ledger = refuse
			b.run(t.Context(), empty)
			b.wantOnce(all)
			if b.ledger.Txs != 2 || refuse.refused < 2 {
				t.Fatalf("%d transactions, %d refused", b.ledger.Txs, refuse.refused)
			}
		})
	}
}

// refuser's orderers refuse whatever the first transaction's signer sends, and
// its peer does not know that transaction.
type refuser struct {
	*ledgertest.Ledger
	ordered bool
	refused int
}

func (r *refuser) SubmitEndorsed(ctx context.Context, e ledger.Endorsed) error {
	if e.TxID != "tx1" {
		return r.Ledger.SubmitEndorsed(ctx, e)
	}
	r.refused++
	if r.ordered {
		if err := r.Order(e); err != nil {
			return err
		}
	}
	return provenance.Errorf(provenance.Forbidden, "the orderers do not accept who signed it")
}

func (r *refuser) CommitStatus(ctx context.Context, txID string) (ledger.Commit, error) {
	if txID == "tx1" {
		return ledger.Commit{}, ledgertest.Unavailable("")
	}
	return r.Ledger.CommitStatus(ctx, txID)
}

// The first transaction commits unseen, is taken for lost after a restart on
// another peer's word (INVALID), and the second finds its bytes there.
func TestKnownSegmentIsSuccess(t *testing.T) {
	b := newBench(t)
	all := pushes("a", 2)
	b.accept(all...)
	lied := false
	b.sub.ledger = liar{b.ledger, &lied}
	b.run(t.Context(), empty)
	b.wantOnce(all)
	if !lied || b.ledger.Txs != 2 {
		t.Fatalf("lied %v, %d transactions", lied, b.ledger.Txs)
	}
}

type liar struct {
	*ledgertest.Ledger
	lied *bool
}

func (l liar) CommitStatus(ctx context.Context, txID string) (ledger.Commit, error) {
	if !*l.lied {
		*l.lied = true
		return ledger.Commit{Code: "MVCC_READ_CONFLICT"}, nil
	}
	return l.Ledger.CommitStatus(ctx, txID)
}

// Two lanes may not have envelopes on their way together where the room is for
// one; neither new ones, nor those that a restart finds sealed.
func TestEnvelopesOnTheirWayAreBounded(t *testing.T) {
	const wide = 1 << 20
	for name, c := range map[string]struct {
		room   int64
		sealed bool
		most   int
	}{
		"room for all":            {wide, false, 2},
		"room for one":            {1, false, 1},
		"found sealed, for all":   {wide, true, 2},
		"found sealed, room of 1": {1, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			var all []delivery.Delivery
			for r := range 8 { // in two lanes
				all = append(all, pushes(fmt.Sprint("team/app", r), 5)...)
			}
			b.accept(all...)
			if c.sealed {
				b.sub.limits.flight = wide
				b.ledger.OnSubmit, b.ledger.OnStatus = away, away
				b.run(t.Context(), func(s delivery.Stats) bool { return s.Sealed == 10 })
				b.ledger.OnSubmit, b.ledger.OnStatus = nil, nil
				b.reopen()
			}
			counting := &flights{Ledger: b.ledger, up: map[string]bool{}, want: c.most}
			b.sub.ledger, b.sub.limits.flight = counting, c.room
			b.run(t.Context(), empty)
			b.wantOnce(all)
			if counting.most != c.most {
				t.Errorf("%d envelopes were on their way at once, want %d", counting.most, c.most)
			}
		})
	}
}

func away(int) error { return ledgertest.Unavailable("") }

// flights counts transactions between being sent and being known to be final.
type flights struct {
	*ledgertest.Ledger
	mu   sync.Mutex
	up   map[string]bool
	most int
	want int // no transaction is final before so many were on their way at once
}

func (f *flights) SubmitEndorsed(ctx context.Context, e ledger.Endorsed) error {
	f.mu.Lock()
	f.up[e.TxID] = true
	f.most = max(f.most, len(f.up))
	f.mu.Unlock()
	return f.Ledger.SubmitEndorsed(ctx, e)
}

func (f *flights) CommitStatus(ctx context.Context, txID string) (ledger.Commit, error) {
	// Time for the other lane, and where it must come, all that a busy machine needs.
	for deadline := time.Now().Add(10 * time.Second); ; {
		if err := wait.For(ctx, 5*time.Millisecond); err != nil {
			return ledger.Commit{}, provenance.Wrap(provenance.Unavailable, err, "status")
		}
		f.mu.Lock()
		met := f.most >= f.want
		f.mu.Unlock()
		if met || time.Now().After(deadline) {
			break
		}
	}
	commit, err := f.Ledger.CommitStatus(ctx, txID)
	f.mu.Lock()
	delete(f.up, txID)
	f.mu.Unlock()
	return commit, err
}
