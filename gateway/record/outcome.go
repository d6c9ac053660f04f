package record

import (
	"context"
	"log/slog"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/ledger"
	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/gateway/wait"
)

// ownSeal is what is known of a segment that this run sealed: when, and its events as
// they stand on the channel. Zero for one of an earlier run.
type ownSeal struct {
	at     time.Time
	events []provenance.Event
}

// finish learns the fate of the sealed segment's transaction and acts on it.
// It is the road of every segment, and the road of recovery: after a crash the
// commit status is asked before anything is sent again, and only the same
// bytes are sent again while the fate is unknown. That, and the contract's own
// rule that a known segment is success without a write, make one recording.
func (l *lane) finish(ctx context.Context, s queue.Segment, by ownSeal, timeout time.Duration) (settled bool, err error) {
	for pause := l.Limits.pause(); ; {
		commit, err := l.status(ctx, s.TxID, timeout)
		switch {
		case ctx.Err() != nil:
			return false, ctx.Err()
		case err == nil && commit.Valid:
			return true, l.done(ctx, s, commit, by)
		case err == nil:
			// This transaction will never stand, so the bytes may travel in another one.
			l.wait(ctx, provenance.Errorf(provenance.Conflict, "segment %s/%d: transaction %s is invalid: %s", s.LaneName, s.Seq, s.TxID, commit.Code))
			if unsealed, err := l.reseal(ctx, &s); err != nil || unsealed {
				return false, err
			}
		default:
			l.wait(ctx, err)
		}
		timeout = l.Limits.Status
		err = l.Ledger.SubmitEndorsed(ctx, ledger.Endorsed{TxID: s.TxID, Bytes: s.Tx})
		if err != nil {
			l.wait(ctx, err)
			timeout = l.Limits.Lost
		}
		if provenance.CodeOf(err) == provenance.Forbidden {
			if err := l.renew(ctx, &s); err != nil {
				return false, err
			}
		}
		if err := wait.For(ctx, pause.NextBackOff()); err != nil {
			return false, err
		}
	}
}

func (l *lane) status(ctx context.Context, txID string, timeout time.Duration) (ledger.Commit, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return l.Ledger.CommitStatus(ctx, txID)
}

func (l *lane) done(ctx context.Context, s queue.Segment, commit ledger.Commit, by ownSeal) error {
	// A crash before Recorded: the status is asked again, and is valid again.
	if err := l.Queue.Recorded(ctx, s, commit.Block); err != nil {
		return err
	}
	l.Waits.End(l.name)
	if l.OnHidden != nil {
		l.OnHidden()
	}
	events := by.events
	if events == nil {
		var err error
		if events, err = provenance.DecodeSegment(s.Bytes); err != nil {
			return err
		}
	}
	l.pushes.recorded(s, events)
	if l.Waits.Any() {
		for _, e := range events {
			l.Waits.End(l.source(s.Host, e.Repository))
		}
	}
	took := time.Duration(0)
	if !by.at.IsZero() {
		took = time.Since(by.at)
	}
	l.Log.DebugContext(ctx, "segment recorded", slog.String("lane", l.name), slog.Uint64("seq", s.Seq),
		slog.Int("events", len(events)), slog.String("txid", s.TxID), slog.Uint64("block", commit.Block), slog.Duration("took", took))
	if l.OnRecorded != nil {
		l.OnRecorded(len(events), took)
	}
	return nil
}

// reseal puts the same bytes into a new transaction. When the contract refuses
// them it dissolves the segment, and its items take the road of new ones.
func (l *lane) reseal(ctx context.Context, s *queue.Segment) (unsealed bool, err error) {
	refused, err := l.replace(ctx, s)
	if err != nil || !refused {
		return false, err
	}
	return true, l.Queue.Unseal(ctx, *s)
}

// renew puts the segment's bytes under a new signature where the orderers no
// longer accept the old one: its certificate has expired or was replaced, and
// the same envelope would be refused for ever. The old one may have been sent
// before, and may still commit. That is harmless, because lane, number and bytes
// are the same: whichever comes second finds the segment, and writes nothing.
// While the contract refuses, the old envelope stays.
func (l *lane) renew(ctx context.Context, s *queue.Segment) error {
	_, err := l.replace(ctx, s)
	return err
}

// replace seals the segment's bytes in a new transaction, unless the contract refuses them.
func (l *lane) replace(ctx context.Context, s *queue.Segment) (refused bool, err error) {
	manifests, err := l.readAgain(ctx, *s)
	if err != nil {
		return false, err
	}
	endorsed, err := l.endorse(ctx, *s, manifests)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil {
		l.wait(ctx, err)
		return true, nil
	}
	s.TxID, s.Tx = endorsed.TxID, endorsed.Bytes
	return false, l.Queue.Reseal(ctx, *s)
}
