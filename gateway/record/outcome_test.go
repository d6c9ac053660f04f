package record_test

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
	"github.com/waybill-dev/waybill/gateway/record/recordtest"
	"github.com/waybill-dev/waybill/gateway/wait"
)

func TestRecoveryAsksBeforeSending(t *testing.T) {
	b := recordtest.New(t)
	all := recordtest.Pushes("a", 3)
	b.Accept(all...)
	ctx, kill := context.WithCancel(t.Context())
	b.Ledger.AfterSubmit = func(int) error { kill(); return nil }
	b.Run(ctx, recordtest.Empty)
	b.Ledger.AfterSubmit = nil
	submits := b.Ledger.Submits
	b.Reopen()
	b.Run(t.Context(), recordtest.Empty)
	b.WantOnce(all)
	if b.Ledger.Submits != submits {
		t.Fatal("a committed transaction was sent again without asking for its fate")
	}
}

// The orderers took it, then the answer was lost and the peer is behind: the
// same bytes are sent again, nothing else is.
func TestLostAnswerSendsTheSameBytes(t *testing.T) {
	b := recordtest.New(t)
	all := recordtest.Pushes("a", 3)
	b.Accept(all...)
	b.Ledger.AfterSubmit = func(n int) error {
		if n == 1 {
			return ledgertest.Unavailable("")
		}
		return nil
	}
	b.Ledger.OnStatus = func(n int) error {
		if n == 1 {
			return ledgertest.Unavailable("")
		}
		return nil
	}
	b.Run(t.Context(), recordtest.Empty)
	b.WantOnce(all)
	if b.Ledger.Txs != 1 || b.Ledger.Resent != 1 {
		t.Fatalf("%d transactions, %d resent; want one, sent twice", b.Ledger.Txs, b.Ledger.Resent)
	}
}

func TestInvalidIsEndorsedAgain(t *testing.T) {
	b := recordtest.New(t)
	all := recordtest.Pushes("a", 12)
	b.Accept(all...)
	b.Ledger.Invalid = func(n int) string {
		if n%3 != 0 {
			return "MVCC_READ_CONFLICT"
		}
		return "VALID"
	}
	b.Run(t.Context(), recordtest.Empty)
	b.WantOnce(all)
}

// An envelope whose signer the orderers refuse would be refused for ever; and it
// may have been ordered all the same, the time before.
func TestRefusedSignerIsRenewed(t *testing.T) {
	for name, ordered := range map[string]bool{"never ordered": false, "ordered unseen": true} {
		t.Run(name, func(t *testing.T) {
			b := recordtest.New(t)
			all := recordtest.Pushes("a", 3)
			b.Accept(all...)
			refuse := &refuser{Ledger: b.Ledger, ordered: ordered}
			b.Recorder.Ledger = refuse
			b.Run(t.Context(), recordtest.Empty)
			b.WantOnce(all)
			if b.Ledger.Txs != 2 || refuse.refused < 2 {
				t.Fatalf("%d transactions, %d refused", b.Ledger.Txs, refuse.refused)
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
	b := recordtest.New(t)
	all := recordtest.Pushes("a", 2)
	b.Accept(all...)
	lied := false
	b.Recorder.Ledger = liar{b.Ledger, &lied}
	b.Run(t.Context(), recordtest.Empty)
	b.WantOnce(all)
	if !lied || b.Ledger.Txs != 2 {
		t.Fatalf("lied %v, %d transactions", lied, b.Ledger.Txs)
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
			b := recordtest.New(t)
			var all []delivery.Delivery
			for r := range 8 { // in two lanes
				all = append(all, recordtest.Pushes(fmt.Sprint("team/app", r), 5)...)
			}
			b.Accept(all...)
			if c.sealed {
				b.Recorder.Limits.Flight = wide
				b.Ledger.OnSubmit, b.Ledger.OnStatus = away, away
				b.Run(t.Context(), func(s delivery.Stats) bool { return s.Sealed == 10 })
				b.Ledger.OnSubmit, b.Ledger.OnStatus = nil, nil
				b.Reopen()
			}
			counting := &flights{Ledger: b.Ledger, up: map[string]bool{}, want: c.most}
			b.Recorder.Ledger, b.Recorder.Limits.Flight = counting, c.room
			b.Run(t.Context(), recordtest.Empty)
			b.WantOnce(all)
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
