package contract

import (
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// BreakGlass releases an image without those rules that the stage lets the
// caller go without in an emergency. It makes a debt: a second organisation
// reviews it in time, or whoever writes next quarantines the image. Peers of
// the organisations that the stage names still have to endorse it: the gate is
// no rule that a policy can waive. A refusal is recorded and returned as the
// verdict, like that of Release.
func (ReleaseContract) BreakGlass(tx *Tx, host, repository, digest, stage, reason string) (string, error) {
	if err := needReason("breaking the glass", reason); err != nil {
		return "", err
	}
	r, overdue, err := begin(tx, host, repository, digest, stage)
	if err != nil || overdue != nil {
		return answer(overdue, err)
	}
	v := r.verdict(tx)
	if r.open() != nil {
		return refuse(tx, r, v)
	}
	if r.facts.Released {
		if v.Verdict == policy.Allowed && r.facts.Current {
			return answer(v, nil)
		}
		return "", provenance.Errorf(provenance.Conflict, "%s was released to %s before; release:Release rolls back to it", r.subject.Digest.Short(), r.subject.Stage)
	}
	who, err := tx.callerRoles()
	if err != nil {
		return "", err
	}
	if v.Releasable && r.promotion.OpenAt(tx.now) && who.holds(string(state.RoleReleaseManager)) {
		return r.releaseNow(tx, v, origin{auto: who.robot}) // nothing is missing, nothing is owed
	}
	without, due, err := policy.CanBreakGlass(r.policy, *r.facts, tx.caller, who.roles, tx.now)
	if err != nil {
		v.Reasons = append(v.Reasons, policy.Reason{Rule: "break-glass", Outcome: policy.Violated, Detail: message(err)})
		return refuse(tx, r, v)
	}
	if without == nil {
		without = []string{}
	}
	debt := &policy.Debt{By: tx.caller, Reason: reason, Without: without, At: tx.now, Due: due}
	return r.releaseNow(tx, v, origin{debt: debt})
}

// Review pays the debt of a break-glass release: somebody of another
// organisation has looked at it, at the one whose state.Release.Hash is hash and
// at no later one; another hash is Stale. After the due time it still ends the debt,
// but the quarantine comes first and is lifted by the organisation that owed it.
func (ReleaseContract) Review(tx *Tx, host, repository, digest, stage, hash, reason string) (string, error) {
	if err := needReason("a review", reason); err != nil {
		return "", err
	}
	s, err := parseSubject(host, repository, digest, stage)
	if err != nil {
		return "", err
	}
	r, err := loadDecision(tx, s)
	if err != nil {
		return "", err
	}
	debt := r.facts.Debt
	switch {
	case debt == nil:
		return "", provenance.Errorf(provenance.NotFound, "%s has no break-glass release to %s", s.Digest.Short(), s.Stage)
	case !r.facts.ViaIndex.IsZero():
		return "", provenance.Errorf(provenance.Conflict, "%s was released as a platform of index %s; review the index", s.Digest.Short(), r.facts.ViaIndex)
	case tx.caller.MSP == debt.By.MSP:
		return "", provenance.Errorf(provenance.Forbidden, "%s broke the glass; another organisation reviews it", debt.By)
	}
	if reviewers := r.reviewers(); len(reviewers) > 0 && !slices.Contains(reviewers, tx.caller.MSP) {
		return "", provenance.Errorf(provenance.Forbidden, "the policy names who reviews it: %s", strings.Join(reviewers, ", "))
	}
	var rel state.Release
	found, err := state.Read(tx, s.ReleasedKey(), &rel)
	if err != nil {
		return "", err
	}
	if !found || rel.Debt == nil {
		return "", provenance.Errorf(provenance.Internal, "the debt of %s has no release", s.Digest.Short())
	}
	if want := rel.Hash(); hash != want {
		return "", provenance.Errorf(provenance.Stale, "the release that waits for a review is %s, not %s: look at it again", want, clip(hash))
	}
	if debt.Reviewed != nil {
		return answer(r.verdict(tx), nil)
	}
	if _, err := r.quarantineOverdue(tx); err != nil {
		return "", err
	}
	by, paid := tx.caller, *rel.Debt
	paid.Reviewed, paid.ReviewAt = &by, tx.now
	rel.Debt, rel.Review = &paid, reason
	r.facts.Debt = rel.Debt
	return answer(r.verdict(tx), tx.put(s.ReleasedKey(), rel))
}

// reviewers names who may review by the policy in force; empty: any other member.
func (r *decision) reviewers() []string {
	if r.policy == nil {
		return nil
	}
	if glass := r.stage().BreakGlass; glass != nil {
		return glass.Reviewers
	}
	return nil
}

// Settle quarantines a break-glass release whose review is overdue. Any member
// may; where nothing is overdue it is success without a write.
func (ReleaseContract) Settle(tx *Tx, host, repository, digest, stage string) (string, error) {
	r, overdue, err := begin(tx, host, repository, digest, stage)
	if err != nil || overdue != nil {
		return answer(overdue, err)
	}
	return answer(r.verdict(tx), nil)
}
