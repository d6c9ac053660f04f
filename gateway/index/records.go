package index

import (
	"fmt"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// The kinds of records. Those of events have their action's name.
const (
	KindMember            = "member"
	KindGrant             = "grant"
	KindRevoke            = "revoke"
	KindRegistry          = "registry"
	KindTakenBack         = "taken-back"
	KindPromotion         = "promotion"
	KindCancelled         = "promotion-withdrawn"
	KindApproval          = "approval"
	KindRejection         = "rejection"
	KindApprovalWithdrawn = "approval-withdrawn"
	KindRelease           = "release"
	KindRollback          = "rollback"
	KindBreakGlass        = "break-glass"
	KindReview            = "review"
	KindResume            = "resume"
	KindRefusal           = "refusal"
	KindHold              = "hold"
	KindLift              = "lift"
	KindProposal          = "proposal"
	KindVote              = "vote"
	KindAccepted          = "proposal-accepted"
	KindRejected          = "proposal-rejected"
	KindProposalWithdrawn = "proposal-withdrawn"
	KindPolicy            = "policy"
	KindKey               = "key"
	KindKeyWithdrawn      = "key-withdrawn"
	KindTrust             = "trusted-root"
	KindTrustWithdrawn    = "trusted-root-withdrawn"
	KindSchema            = "schema"
	KindEvidence          = "evidence"
	KindEvidenceWithdrawn = "evidence-withdrawn"
	KindProven            = "proven"
	KindWitness           = "witness"
	KindWaiver            = "waiver"
	KindWaiverApproval    = "waiver-approval"
	KindWaiverRevoked     = "waiver-revoked"
	KindContext           = "context"
	KindLabel             = "label"
)

// deriveRecord adds the record that a write stands for. Keys of types that say
// nothing by themselves (lists, pointers, the ledger's clock) or that are not
// known are only mirrored.
func (w *writer) deriveRecord(objectType string, write block.Write) error {
	switch objectType {
	case state.TypeMember:
		return recordOf(w, write, func(m state.Member) (readmodel.Record, error) {
			return readmodel.Record{Kind: KindMember, Detail: fmt.Sprintf("%s joined as %q", m.MSP, m.Name)}, nil
		})
	case state.TypeGrant:
		return recordOf(w, write, func(g state.Grant) (readmodel.Record, error) {
			if g.Revoked {
				return readmodel.Record{Kind: KindRevoke, Detail: fmt.Sprintf("%s@%s is no longer %s", g.Identity, g.MSP, g.Role)}, nil
			}
			return readmodel.Record{Kind: KindGrant, Detail: fmt.Sprintf("%s@%s is %s", g.Identity, g.MSP, g.Role)}, nil
		})
	case state.TypeTaken:
		return recordOf(w, write, func(t state.TakenBack) (readmodel.Record, error) {
			line := fmt.Sprintf("what %s@%s did since %s counts no more", t.Identity, t.MSP, timeOf(t.Since))
			return readmodel.Record{Kind: KindTakenBack, Detail: because(line, t.Reason)}, nil
		})
	case state.TypeRegistry:
		return w.registry(write)
	case state.TypePromotion:
		return w.promotion(write)
	case state.TypeApproval:
		return recordOf(w, write, func(a state.Approval) (readmodel.Record, error) {
			r := about(KindApproval, a.Subject)
			r.Detail = "approved for " + a.Stage
			if a.Reject {
				r.Kind, r.Detail = KindRejection, "rejected for "+a.Stage
			}
			if a.Withdrawn {
				r.Kind = KindApprovalWithdrawn
				r.Detail = because("the word of "+a.By.String()+" on "+a.Stage+" is withdrawn", a.WithdrawnFor)
				return r, nil
			}
			if a.Reason != "" {
				r.Detail += ": " + a.Reason
			}
			return r, nil
		})
	case state.TypeReleased:
		return w.released(write)
	case state.TypeRelease:
		return w.current(write)
	case state.TypeRefusal:
		return recordOf(w, write, func(f state.Refusal) (readmodel.Record, error) {
			subject, err := refused(write.Key)
			r := about(KindRefusal, subject)
			r.Detail = fmt.Sprintf("release to %s refused: %s%s", subject.Stage, f.Verdict.Verdict, lacking(f.Verdict))
			return r, err
		})
	case state.TypeHold:
		return recordOf(w, write, func(h state.Hold) (readmodel.Record, error) {
			if h.Lifted {
				line := "quarantine of " + h.MSP + " lifted"
				if h.Proposal != "" {
					line += " by the vote on proposal " + short(h.Proposal)
				}
				return readmodel.Record{Kind: KindLift, Digest: h.Digest, Detail: because(line, h.Reason)}, nil
			}
			return readmodel.Record{Kind: KindHold, Digest: h.Digest, Detail: "quarantined by " + h.MSP + ": " + h.Reason}, nil
		})
	case state.TypeProposal:
		return w.proposal(write)
	case state.TypeBallot:
		return recordOf(w, write, func(b state.Ballot) (readmodel.Record, error) {
			word := "no"
			if b.Yes {
				word = "yes"
			}
			return readmodel.Record{Kind: KindVote, Detail: because(fmt.Sprintf("%s votes %s on proposal %s", b.MSP, word, short(b.Proposal)), b.Reason)}, nil
		})
	case state.TypePolicy:
		return recordOf(w, write, func(p state.PolicyVersion) (readmodel.Record, error) {
			return readmodel.Record{Kind: KindPolicy, Detail: fmt.Sprintf("policy %s version %d is active (%.12s)", p.Name, p.Version, p.Hash)}, nil
		})
	}
	return w.deriveFacts(objectType, write)
}

// recordOf decodes a write as one kind of ledger record and adds what describe makes of it.
func recordOf[T any](w *writer, write block.Write, describe func(T) (readmodel.Record, error)) error {
	var record T
	if err := state.Decode(write.Value, &record); err != nil {
		return err
	}
	r, err := describe(record)
	if err != nil {
		return err
	}
	r.JSON = write.Value
	return w.record(r)
}

// promotion keeps the table of promotions. A new request is an act, and that
// whoever asked takes it back: the other writes of the key follow an approval,
// a rejection or a release.
func (w *writer) promotion(write block.Write) error {
	old, found, err := before[state.Promotion](w, write.Key)
	if err != nil {
		return err
	}
	var p state.Promotion
	if err := state.Decode(write.Value, &p); err != nil {
		return err
	}
	if !found || old.Attempt != p.Attempt {
		r := about(KindPromotion, p.Subject)
		r.Detail, r.JSON = "promotion to "+p.Stage+" requested", write.Value
		if p.Attempt > 1 {
			r.Detail += " again"
		}
		if err := w.record(r); err != nil {
			return err
		}
	}
	if p.Status == state.PromotionWithdrawn && (!found || old.Status != p.Status) {
		r := about(KindCancelled, p.Subject)
		r.Detail, r.JSON = "the request for "+p.Stage+" is taken back", write.Value
		if p.Withdrawal != nil {
			r.Detail = because(r.Detail, p.Withdrawal.Reason)
		}
		if err := w.record(r); err != nil {
			return err
		}
	}
	if err := w.exec(&w.st.promotion, []byte(write.Key), w.at.Block, w.at.Tx, w.seq(),
		p.Stage, string(p.Host), string(p.Repository), digestBytes(p.Digest), string(p.Status), nanos(p.At), write.Value); err != nil {
		return err
	}
	if p.Status != state.PromotionOpen {
		return w.requestEnded(write.Key, "")
	}
	return w.requested(readmodel.Waiting{Key: write.Key, MSP: p.Requester.MSP, Since: p.At, Until: p.Expires()})
}

func about(kind string, s state.Subject) readmodel.Record {
	return readmodel.Record{Kind: kind, Host: s.Host, Repository: s.Repository, Digest: s.Digest, Stage: s.Stage}
}

// refused reads the subject of a refusal from its key (state.Subject.RefusalKey).
func refused(key string) (state.Subject, error) {
	_, a, _ := state.SplitKey(key)
	if len(a) != 5 {
		return state.Subject{}, provenance.Errorf(provenance.Internal, "key %q is no refusal key", key)
	}
	d, err := provenance.ParseDigest(a[3])
	return state.Subject{Stage: a[0], Host: provenance.Host(a[1]), Repository: provenance.Repository(a[2]), Digest: d}, err
}
