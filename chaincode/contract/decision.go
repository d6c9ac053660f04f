package contract

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// maxReason bounds a reason, in bytes.
const maxReason = 500

// decision is everything that one about a subject is made from. The facts
// are as committed; what this transaction changes is applied to them in
// memory, for a transaction never reads its own writes.
type decision struct {
	subject   state.Subject
	judgement state.Judgement
	policy    *policy.Policy
	facts     *policy.Facts
	promotion state.Promotion
}

func loadDecision(tx *Tx, s state.Subject) (*decision, error) {
	r := &decision{subject: s}
	var err error
	if r.judgement, err = state.Judge(tx, s, tx.now); err != nil {
		return r, err
	}
	r.policy, r.facts, r.promotion = r.judgement.Policy, &r.judgement.Facts, r.judgement.Promotion
	return r, nil
}

// begin opens a transaction that writes about a subject. Where a break-glass
// release of it was not reviewed in time, the quarantine is all that is
// written: overdue is then the transaction's answer, and no error, for the
// write must be committed.
func begin(tx *Tx, host, repository, digest, stage string) (r *decision, settled *policy.Verdict, err error) {
	s, err := parseSubject(host, repository, digest, stage)
	if err != nil {
		return r, nil, err
	}
	if r, err = loadDecision(tx, s); err != nil {
		return r, nil, err
	}
	overdue, err := r.quarantineOverdue(tx)
	if err != nil || !overdue {
		return r, nil, err
	}
	v := r.verdict(tx)
	return r, &v, nil
}

// quarantineOverdue quarantines an overdue break-glass release in the name of the
// organisation that owes the review; only its admins and release managers
// lift that again, and not for long while the review is missing.
func (r *decision) quarantineOverdue(tx *Tx) (bool, error) {
	if !r.verdict(tx).Overdue || r.facts.Debt == nil {
		return false, nil
	}
	debt := r.facts.Debt
	held := r.subject.Digest
	if !r.facts.ViaIndex.IsZero() {
		held = r.facts.ViaIndex
	}
	h := state.Hold{
		Digest: held, MSP: debt.By.MSP, Act: tx.act(),
		Reason: fmt.Sprintf("the break-glass release to %s by %s was not reviewed by %s", r.subject.Stage, debt.By, debt.Due.UTC().Format(time.RFC3339)),
	}
	r.facts.Holds = append(r.facts.Holds, policy.Hold{MSP: h.MSP, By: h.By, Reason: h.Reason, At: h.At})
	r.facts.LastHold = tx.now
	return true, tx.put(state.HoldKey(held, h.MSP), h)
}

// verdict judges by the facts as this transaction changed them.
func (r *decision) verdict(tx *Tx) policy.Verdict { return r.judgement.Again(tx.now) }

// inForce names the policy version that decides.
func (r *decision) inForce() policy.Version {
	return policy.Version{Name: r.policy.Metadata.Name, Version: r.judgement.Version, Hash: r.policy.Hash()}
}

func (r *decision) stage() policy.Stage {
	st, _ := r.policy.Stage(r.subject.Stage)
	return st
}

// open refuses what no promotion may be about.
func (r *decision) open() error {
	switch {
	case len(r.facts.Holds) > 0:
		h := r.facts.Holds[0]
		return provenance.Errorf(provenance.Quarantined, "%s is quarantined by %s: %s", r.subject.Digest.Short(), h.By, h.Reason)
	case !r.facts.Recorded:
		return provenance.Errorf(provenance.NotFound, "no push of %s to %s/%s is on the ledger", r.subject.Digest.Short(), r.subject.Host, r.subject.Repository)
	case !r.facts.Proven || r.facts.Tangled:
		return provenance.Errorf(provenance.NotFound, "%s is recorded by its digest alone, or lists more than is looked at: waybill explain says what to do", r.subject.Digest.Short())
	case r.policy == nil:
		return provenance.Errorf(provenance.NotFound, "no active policy matches %s/%s", r.subject.Host, r.subject.Repository)
	}
	if _, ok := r.policy.Stage(r.subject.Stage); !ok {
		return provenance.ErrorIn(provenance.Stage, provenance.NotFound, "policy %s has no stage %q", r.policy.Metadata.Name, r.subject.Stage)
	}
	return nil
}

// origin is how a release comes about.
type origin struct {
	auto     bool // by a gateway or another robot, not by a person's decision
	rollback bool
	debt     *policy.Debt
}

// conclude evaluates after a change and writes what follows from it: the
// release when every rule is met, a closed promotion when the quorum can no
// longer be reached.
func conclude(tx *Tx, r *decision, h origin) (string, error) {
	v := r.verdict(tx)
	switch {
	case v.Closed:
		r.promotion.Status = state.PromotionRejected
		return answer(v, tx.put(r.subject.PromotionKey(), r.promotion))
	case v.Releasable:
		return r.releaseNow(tx, v, h)
	}
	return answer(v, nil)
}

// releaseNow writes the release if the gate lets it pass, and answers with the
// verdict after it; v is the verdict before it.
func (r *decision) releaseNow(tx *Tx, v policy.Verdict, h origin) (string, error) {
	clock, err := tx.checkClock()
	if err != nil {
		return "", err
	}
	var current state.Current
	if _, err := state.Read(tx, r.subject.ReleaseKey(), &current); err != nil {
		return "", err
	}
	if h.auto && current.Pinned {
		return answer(pendingFor(v, "a person can: waybill release IMAGE --to "+r.subject.Stage, "%s was rolled back; nothing is released to it by itself until a person releases or resumes", r.subject.Stage), nil)
	}
	passed, err := r.gate(tx, true)
	if err != nil {
		return "", err
	}
	if !passed {
		again := "waybill release IMAGE --to "
		if h.debt != nil {
			again = "waybill break-glass IMAGE --to "
		}
		return answer(pendingFor(v, "repeat it with: "+again+r.subject.Stage,
			"nothing else is missing: this transaction has set the gate to the peers of %s, and the release itself needs their endorsement", strings.Join(r.gatekeepers(), ", ")), nil)
	}
	made, err := r.restsOn(tx, h)
	if err != nil {
		return "", err
	}
	rel := state.Release{
		Subject: r.subject, Previous: current.Digest, Attempt: r.promotion.Attempt, Policy: r.inForce(), Approvers: made.Approvers, First: made.First,
		Rollback: h.rollback, EvidenceSet: policy.EvidenceSet(r.policy, *r.facts), Debt: h.debt, Auto: h.auto, Tick: clock.Seq, Clock: clock.At, Act: tx.act(),
	}
	for _, child := range r.facts.Children {
		s := r.subject
		s.Digest = child
		if err := tx.put(s.CarrierKey(), state.Carrier{Index: r.subject.Digest}); err != nil {
			return "", err
		}
	}
	if err := tx.put(r.subject.ReleasedKey(), rel); err != nil {
		return "", err
	}
	if err := tx.put(r.subject.ReleaseKey(), state.Current{Digest: r.subject.Digest, Pinned: h.rollback}); err != nil {
		return "", err
	}
	if r.promotion.OpenAt(tx.now) {
		r.promotion.Status = state.PromotionReleased
		if err := tx.put(r.subject.PromotionKey(), r.promotion); err != nil {
			return "", err
		}
	}
	r.facts.Released, r.facts.Current, r.facts.ReleasedAt, r.facts.ReleasedWith, r.facts.Debt = true, true, rel.Begun(), rel.Policy, rel.Debt
	return answer(r.verdict(tx), nil)
}

// restsOn fills in on whose word the release rests, who counts now or, where it is
// rolled back to, who did when it was made, and since when it has stood then.
func (r *decision) restsOn(tx *Tx, h origin) (state.Release, error) {
	if h.rollback {
		var made state.Release
		found, err := state.Read(tx, r.subject.ReleasedKey(), &made)
		if err == nil && !found {
			err = provenance.Errorf(provenance.Internal, "%s has no release to %s to go back to", r.subject.Digest.Short(), r.subject.Stage)
		}
		return state.Release{Approvers: made.Approvers, First: made.Begun()}, err
	}
	made := state.Release{Approvers: []state.Approver{}}
	outcomes := policy.Snapshot(r.policy, *r.facts, tx.now)
	for _, a := range r.facts.Approvals {
		if !a.Reject && policy.Discount(r.policy, *r.facts, a, tx.now, outcomes) == "" {
			made.Approvers = append(made.Approvers, state.Approver{Person: a.By, At: a.At})
		}
	}
	return made, nil
}

// pendingFor is v with what keeps the release itself from being written now.
func pendingFor(v policy.Verdict, fix, format string, args ...any) policy.Verdict {
	v.Verdict = policy.Pending
	v.Reasons = append(v.Reasons, policy.Reason{Rule: "release", Outcome: policy.Unmet, Detail: fmt.Sprintf(format, args...), Fix: fix})
	return v
}

func checkReason(reason string) error {
	return provenance.CheckText("reason", strings.ReplaceAll(reason, "\n", " "), maxReason)
}

// needReason is checkReason for an act that must say why.
func needReason(what, reason string) error {
	if strings.TrimSpace(reason) == "" {
		return provenance.Errorf(provenance.Invalid, "%s needs a reason", what)
	}
	return checkReason(reason)
}

// message is an error's text without the code in front, for a reason or for an
// error with another code.
func message(err error) string {
	var coded *provenance.Error
	if !errors.As(err, &coded) {
		return err.Error()
	}
	if coded.Err != nil {
		return coded.Message + ": " + message(coded.Err)
	}
	return coded.Message
}
