package contract

import (
	"slices"
	"strconv"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// PromotionContract carries an image from a request to a release.
type PromotionContract struct{ contractapi.Contract }

// Request opens a promotion and sets the gate before its release. Requesting an
// open promotion joins those who ask for it, and joining twice, or requesting what was
// released, is success without a write; after a rejection it opens the next attempt.
func (PromotionContract) Request(tx *Tx, host, repository, digest, stage string) (string, error) {
	r, overdue, err := begin(tx, host, repository, digest, stage)
	if err != nil || overdue != nil {
		return answer(overdue, err)
	}
	if err := r.open(); err != nil {
		return "", err
	}
	if r.facts.Released || r.promotion.OpenAt(tx.now) && r.promotion.AskedBy(tx.caller.MSP) {
		return answer(r.verdict(tx), nil)
	}
	if r.promotion.OpenAt(tx.now) {
		return joinRequest(tx, r)
	}
	who, err := tx.callerRoles()
	if err != nil {
		return "", err
	}
	if err := noteRequest(tx, r.subject); err != nil {
		return "", err
	}
	r.promotion = state.Promotion{
		Subject: r.subject, Attempt: r.promotion.Attempt + 1, Requester: tx.caller, At: tx.now, Status: state.PromotionOpen,
	}
	r.facts.Promoted, r.facts.Requester, r.facts.Attempt, r.facts.Approvals, r.facts.Lapsed = true, tx.caller, r.promotion.Attempt, nil, ""
	if err := tx.put(r.subject.PromotionKey(), r.promotion); err != nil {
		return "", err
	}
	if _, err := r.gate(tx, false); err != nil {
		return "", err
	}
	return conclude(tx, r, origin{auto: who.robot})
}

// joinRequest notes that the caller's organisation asks for an open promotion as well, so
// that whoever asked first cannot end it again and again before others approve.
func joinRequest(tx *Tx, r *decision) (string, error) {
	if err := noteRequest(tx, r.subject); err != nil {
		return "", err
	}
	r.promotion.Also = append(slices.Clone(r.promotion.Also), tx.caller)
	return answer(r.verdict(tx), tx.put(r.subject.PromotionKey(), r.promotion))
}

// noteRequest notes a promotion that the caller's organisation asks for. It may have
// so many open ones: its requests fill its own list, and nobody else's inbox.
func noteRequest(tx *Tx, subject state.Subject) error {
	key := state.RequestsKey(tx.caller.MSP)
	var list state.Requests
	if _, err := state.Read(tx, key, &list); err != nil {
		return err
	}
	if slices.Contains(list.Open, subject) {
		return nil
	}
	if len(list.Open) >= state.MaxRequests {
		open := list.Open[:0:0]
		for _, s := range list.Open {
			var p state.Promotion
			if _, err := state.Read(tx, s.PromotionKey(), &p); err != nil {
				return err
			}
			if p.OpenAt(tx.now) && p.AskedBy(tx.caller.MSP) {
				open = append(open, s)
			}
		}
		list.Open = open
	}
	if len(list.Open) >= state.MaxRequests {
		return provenance.Errorf(provenance.Full, "%s has %d open promotions, and may have no more: withdraw one with waybill cancel", tx.caller.MSP, state.MaxRequests)
	}
	list.Open = append(list.Open, subject)
	return tx.put(key, list)
}

// Approve gives the caller's organisation's approval of one image for one
// stage: of the attempt, under the policy version and over the evidence that the
// approver saw. policyRef is "name@version", policyHash the SHA-256 of the
// policy's text and evidenceSet the hash of the evidence, in hex, as the
// approver's own peer gave them. Where one has changed since, it is Stale and
// nothing is written. When it is the last rule to be met, the release is written
// by the same transaction.
func (PromotionContract) Approve(tx *Tx, host, repository, digest, stage, attempt, policyRef, policyHash, evidenceSet, reason string) (string, error) {
	if policyRef == "" || policyHash == "" || evidenceSet == "" {
		return "", provenance.Errorf(provenance.Invalid, "an approval names the policy version, its hash and the evidence set that were seen")
	}
	if err := checkReason(reason); err != nil {
		return "", err
	}
	r, overdue, err := begin(tx, host, repository, digest, stage)
	if err != nil || overdue != nil {
		return answer(overdue, err)
	}
	if err := r.open(); err != nil {
		return "", err
	}
	if r.promotion.Status == state.PromotionReleased && r.facts.Released && r.approvedBy(tx.caller.MSP) {
		return answer(r.verdict(tx), nil) // the last approval, sent again
	}
	if err := r.checkAttempt(attempt); err != nil {
		return "", err
	}
	force := r.inForce()
	if want := versionRef(force); policyRef != want {
		return "", provenance.Errorf(provenance.Stale, "approved under policy %s; %s is in force: look at the verdict again", clip(policyRef), want)
	}
	if policyHash != force.Hash {
		return "", provenance.Errorf(provenance.Stale, "approved under a policy with the hash %s; that of %s is %s: look at the policy again", clip(policyHash), policyRef, force.Hash)
	}
	if want := policy.EvidenceSet(r.policy, *r.facts); evidenceSet != want {
		return "", provenance.Errorf(provenance.Stale, "approved over evidence set %s; it is %s now: look at the verdict again", clip(evidenceSet), want)
	}
	return recordApproval(tx, r, policy.Approval{By: tx.caller, Reason: reason, At: tx.now})
}

// checkAttempt refuses a word on another request than the one that is open.
func (r *decision) checkAttempt(attempt string) error {
	if want := strconv.Itoa(r.promotion.Attempt); attempt != want {
		return provenance.Errorf(provenance.Stale, "said about request %s of this promotion; it is request %s by %s now: look at it again", clip(attempt), want, r.promotion.Requester)
	}
	return nil
}

// Reject refuses one attempt for the caller's organisation, with a reason. The promotion is
// closed once the quorum can no longer be reached.
func (PromotionContract) Reject(tx *Tx, host, repository, digest, stage, attempt, reason string) (string, error) {
	if err := needReason("a rejection", reason); err != nil {
		return "", err
	}
	r, overdue, err := begin(tx, host, repository, digest, stage)
	if err != nil || overdue != nil {
		return answer(overdue, err)
	}
	if err := r.open(); err != nil {
		return "", err
	}
	if err := r.checkAttempt(attempt); err != nil {
		return "", err
	}
	return recordApproval(tx, r, policy.Approval{By: tx.caller, Reject: true, Reason: reason, At: tx.now})
}

// recordApproval writes one organisation's word and what follows from it. The same word
// again is success and not written again, unless the first no longer counts.
func recordApproval(tx *Tx, r *decision, word policy.Approval) (string, error) {
	if !r.promotion.OpenAt(tx.now) {
		return "", provenance.Errorf(provenance.Conflict, "no promotion of %s to %s is open", r.subject.Digest.Short(), r.subject.Stage)
	}
	who, err := tx.callerRoles()
	if err != nil {
		return "", err
	}
	word.Roles, word.Robot, word.Policy, word.EvidenceSet = who.roles, who.robot, r.inForce(), policy.EvidenceSet(r.policy, *r.facts)
	if why := policy.Unheard(r.policy, *r.facts, word); why != "" {
		return "", provenance.Errorf(provenance.Forbidden, "%s may not decide here: %s", tx.caller, why)
	}
	outcomes := policy.Snapshot(r.policy, *r.facts, tx.now)
	word.Outcomes = outcomes
	kept := r.facts.Approvals[:0:0]
	for _, a := range r.facts.Approvals {
		if a.By.MSP != tx.caller.MSP {
			kept = append(kept, a)
			continue
		}
		if a.Reject == word.Reject && policy.Discount(r.policy, *r.facts, a, tx.now, outcomes) == "" {
			if word.Reject {
				return answer(r.verdict(tx), nil)
			}
			return conclude(tx, r, origin{auto: who.robot}) // one organisation counts once; what it waited for may have come
		}
	}
	r.facts.Approvals = append(kept, word)
	approval := state.Approval{Subject: r.subject, Attempt: r.promotion.Attempt, Approval: word}
	if err := tx.put(r.subject.ApprovalKey(r.promotion.Attempt, tx.caller.MSP), approval); err != nil {
		return "", err
	}
	if word.Reject {
		if v := r.verdict(tx); !v.Closed {
			return answer(v, nil) // a rejection releases nothing
		}
	}
	return conclude(tx, r, origin{auto: who.robot})
}

// approvedBy tells whether an organisation's approval stands.
func (r *decision) approvedBy(msp string) bool {
	return slices.ContainsFunc(r.facts.Approvals, func(a policy.Approval) bool { return a.By.MSP == msp && !a.Reject })
}

// Cancel takes the request for an open promotion back: whoever asked for it may, and
// any admin of the same organisation. It goes on, with all that was said of it, as
// long as another organisation asks for it; else it can be requested again.
func (PromotionContract) Cancel(tx *Tx, host, repository, digest, stage, attempt, reason string) (string, error) {
	if err := needReason("taking a request back", reason); err != nil {
		return "", err
	}
	r, overdue, err := begin(tx, host, repository, digest, stage)
	if err != nil || overdue != nil {
		return answer(overdue, err)
	}
	asked := r.promotion.Asked()
	own := slices.IndexFunc(asked, func(who policy.Person) bool { return who.MSP == tx.caller.MSP })
	if own < 0 {
		by := r.promotion.Requester
		return "", provenance.Errorf(provenance.Forbidden, "%s asked for this promotion; %s takes it back", by, by.MSP)
	}
	if by := asked[own]; by != tx.caller {
		admin, err := tx.hasRole([]state.Role{state.RoleAdmin})
		if err != nil {
			return "", err
		}
		if !admin {
			return "", provenance.Errorf(provenance.Forbidden, "%s asked for this promotion; %s or an admin of %s takes it back", by, by, by.MSP)
		}
	}
	if err := r.checkAttempt(attempt); err != nil {
		return "", err
	}
	if r.promotion.Status == state.PromotionWithdrawn {
		return answer(r.verdict(tx), nil)
	}
	if !r.promotion.OpenAt(tx.now) {
		return "", provenance.Errorf(provenance.Conflict, "no promotion of %s to %s is open", r.subject.Digest.Short(), r.subject.Stage)
	}
	if len(asked) > 1 {
		asked = slices.Delete(asked, own, own+1)
		r.promotion.Requester, r.promotion.Also = asked[0], asked[1:]
		r.facts.Requester = asked[0]
		return answer(r.verdict(tx), tx.put(r.subject.PromotionKey(), r.promotion))
	}
	r.promotion.Status, r.promotion.Withdrawal = state.PromotionWithdrawn, &state.Revocation{Reason: reason, Act: tx.act()}
	r.facts.Promoted, r.facts.Lapsed = false, "the request was withdrawn by "+tx.caller.String()+": "+reason
	return answer(r.verdict(tx), tx.put(r.subject.PromotionKey(), r.promotion))
}

// Withdraw takes back the caller's organisation's word before the release. Who
// gave it may, and any admin of that organisation.
func (PromotionContract) Withdraw(tx *Tx, host, repository, digest, stage, reason string) (string, error) {
	if err := needReason("a withdrawal", reason); err != nil {
		return "", err
	}
	r, overdue, err := begin(tx, host, repository, digest, stage)
	if err != nil || overdue != nil {
		return answer(overdue, err)
	}
	if !r.promotion.OpenAt(tx.now) {
		return "", provenance.Errorf(provenance.Conflict, "no promotion of %s to %s is open", r.subject.Digest.Short(), r.subject.Stage)
	}
	key := r.subject.ApprovalKey(r.promotion.Attempt, tx.caller.MSP)
	var given state.Approval
	found, err := state.Read(tx, key, &given)
	if err != nil {
		return "", err
	}
	if !found {
		return "", provenance.Errorf(provenance.NotFound, "%s has said nothing about this promotion", tx.caller.MSP)
	}
	if given.Withdrawn {
		return answer(r.verdict(tx), nil)
	}
	if given.By != tx.caller {
		admin, err := tx.hasRole([]state.Role{state.RoleAdmin})
		if err != nil {
			return "", err
		}
		if !admin {
			return "", provenance.Errorf(provenance.Forbidden, "%s gave it; %s or an admin of %s can withdraw it", given.By, given.By, given.By.MSP)
		}
	}
	act := tx.act()
	given.Withdrawn, given.WithdrawnFor, given.WithdrawnBy = true, reason, &act
	kept := r.facts.Approvals[:0:0]
	for _, a := range r.facts.Approvals {
		if a.By.MSP != tx.caller.MSP {
			kept = append(kept, a)
		}
	}
	r.facts.Approvals = kept
	return answer(r.verdict(tx), tx.put(key, given))
}

// PromotionView is a promotion with the approvals of its current attempt.
type PromotionView struct {
	Promotion state.Promotion   `json:"promotion"`
	Approvals []policy.Approval `json:"approvals"`
}

// Get returns a promotion; NotFound when none was ever requested.
func (PromotionContract) Get(tx *Tx, host, repository, digest, stage string) (string, error) {
	s, err := parseSubject(host, repository, digest, stage)
	if err != nil {
		return "", err
	}
	r, err := loadDecision(tx, s)
	if err == nil && r.promotion.Attempt == 0 {
		err = provenance.Errorf(provenance.NotFound, "%s was never promoted to %s", s.Digest.Short(), s.Stage)
	}
	return answer(PromotionView{Promotion: r.promotion, Approvals: r.facts.Approvals}, err)
}
