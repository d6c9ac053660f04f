package proofs

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/gateway/readmodel"
	"github.com/waybill-dev/waybill/proof"
)

// Attester has questions answered by the peers of several organisations.
type Attester interface {
	Attest(ctx context.Context, q ledger.Question, orgs []string, need int, accept ledger.Accept) (ledger.Attestation, error)
	AttestStatus(ctx context.Context, txID string, orgs []string, need int, accept ledger.Accept) (ledger.Attestation, error)
}

// Chain is the chain as the organisation's own peer has it.
type Chain interface {
	Foundation(ctx context.Context) (ledger.Foundation, error)
	BlockOf(ctx context.Context, txID string) ([]byte, error)
}

// Maker makes files. Its methods may be called from many goroutines.
type Maker struct {
	Attester  Attester
	Chain     Chain
	Channel   string
	Chaincode string
	// Organisations returns the channel's members as its configuration names them.
	Organisations func() []block.Organisation
	Log           *slog.Logger
	Now           func() time.Time

	kept  kept
	turns turns
}

// floorWait is how often, and how long apart, a peer is looked at that has not
// committed yet what others answered from.
const (
	floorLooks = 20
	floorWait  = 100 * time.Millisecond
)

// Receipt returns the verdict on an image under the signatures of several
// organisations' peers: one that was made before, where the request allows that
// and it says what the index says now, or a new one.
//
// Errors are those of ledger.Client.Attest; WB_FULL where the asker's organisation
// has too many questions open; WB_INTERNAL where what the peers signed does not hold.
func (m *Maker) Receipt(ctx context.Context, r readmodel.ReceiptRequest) (readmodel.Proof, error) {
	orgs, need, err := m.quorum(r.Organisations)
	if err != nil {
		return readmodel.Proof{}, err
	}
	id := keptID{r.Asker, r.Subject, need}
	if p, ok := m.kept.get(id, r, m.Now()); ok {
		return p, nil
	}
	done, err := m.turns.take(r.Asker)
	if err != nil {
		return readmodel.Proof{}, err
	}
	defer done()
	s := r.Subject
	var out readmodel.Proof
	a, err := m.Attester.Attest(ctx, ledger.Question{Fn: "verdict:Ask", Args: []string{string(s.Host), string(s.Repository), s.Digest.String(), s.Stage}}, orgs, need,
		func(ctx context.Context, a ledger.Attestation) error {
			f, err := m.foundation(ctx, a.Newest)
			if err != nil {
				return err
			}
			file, err := proof.NewReceipt(m.Channel, f.Config, f.Floor, a.Payload)
			if err != nil {
				return provenance.Wrap(provenance.Internal, err, "receipt")
			}
			out.File = file.Marshal()
			report, err := m.check(ctx, out.File, f.Genesis, len(a.Orgs), fmt.Sprintf("%s/%s@%s", s.Host, s.Repository, s.Digest), s.Stage)
			if err == nil {
				out.At, out.Answer = report.Verdict.AsOf, policy.Answer(report.Verdict.Verdict)
			}
			return err
		})
	if err != nil {
		return readmodel.Proof{}, err
	}
	out.Signers = a.Orgs
	m.kept.put(id, out)
	return out, nil
}

// Transaction returns the proof of a transaction: its block, and its status as peers of
// several organisations sign it, "invalid" too. WB_NOT_FOUND where the own peer has none.
func (m *Maker) Transaction(ctx context.Context, r readmodel.TransactionRequest) (readmodel.Proof, error) {
	orgs, need, err := m.quorum(r.Organisations)
	if err != nil {
		return readmodel.Proof{}, err
	}
	done, err := m.turns.take(r.Asker)
	if err != nil {
		return readmodel.Proof{}, err
	}
	defer done()
	raw, err := m.Chain.BlockOf(ctx, r.TxID)
	if err != nil {
		return readmodel.Proof{}, err
	}
	var out readmodel.Proof
	a, err := m.Attester.AttestStatus(ctx, r.TxID, orgs, need, func(ctx context.Context, a ledger.Attestation) error {
		f, err := m.Chain.Foundation(ctx) // after the block: no lower than it
		if err != nil {
			return err
		}
		file, err := proof.NewTransaction(m.Channel, f.Config, f.Floor, raw, r.TxID, a.Payload)
		if err != nil {
			return provenance.Wrap(provenance.Internal, err, "proof of transaction %s", r.TxID)
		}
		out.File = file.Marshal()
		_, err = m.check(ctx, out.File, f.Genesis, len(a.Orgs), "", "")
		return err
	})
	if err != nil {
		return readmodel.Proof{}, err
	}
	out.Signers = a.Orgs
	return out, nil
}

// quorum says whom to ask, and how many must answer alike.
func (m *Maker) quorum(wanted int) (orgs []string, need int, err error) {
	for _, o := range m.Organisations() {
		orgs = append(orgs, o.MSPID)
	}
	if len(orgs) == 0 {
		return nil, 0, provenance.Errorf(provenance.Unavailable, "the gateway has not followed the channel's configuration yet")
	}
	need = len(orgs)/2 + 1
	if wanted != 0 {
		need = wanted
	}
	if need < 1 || need > len(orgs) {
		return nil, 0, provenance.Errorf(provenance.Invalid, "signatures of %d organisations: the channel has %d, and a receipt needs one at least", wanted, len(orgs))
	}
	return orgs, need, nil
}

// foundation is the ledger's, no lower than what the answer rests on: the own peer may be
// a block behind those that answered.
func (m *Maker) foundation(ctx context.Context, atLeast uint64) (ledger.Foundation, error) {
	for look := 1; ; look++ {
		f, err := m.Chain.Foundation(ctx)
		if err != nil || f.Number >= atLeast {
			return f, err
		}
		if look == floorLooks {
			return f, provenance.Errorf(provenance.Unavailable, "the own peer is at block %d, and the answer rests on block %d", f.Number, atLeast)
		}
		select {
		case <-ctx.Done():
			return f, ctx.Err()
		case <-time.After(floorWait):
		}
	}
}

// check verifies a file as its readers will, against the first block that the own peer has.
func (m *Maker) check(ctx context.Context, file, genesis []byte, need int, image, stage string) (proof.Report, error) {
	report := proof.Verify(file, proof.Options{Genesis: genesis, Orgs: need, Chaincode: m.Chaincode, At: m.Now(), Image: image, Stage: stage})
	if report.Result == proof.Valid {
		return report, nil
	}
	why := string(report.Result)
	for _, s := range report.Steps {
		if !s.OK {
			why += ": " + s.ID + ": " + s.Detail
		}
	}
	m.Log.WarnContext(ctx, "what peers signed does not hold", slog.String("why", why))
	return report, provenance.Errorf(provenance.Internal, "what the peers signed does not hold: %s", why)
}
