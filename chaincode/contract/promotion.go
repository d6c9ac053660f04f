package contract

import (
	"strings"
	"unicode/utf8"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// PromotionContract carries an image from a request to a release.
type PromotionContract struct{ contractapi.Contract }

// ReleaseContract keeps a stage's current image.
type ReleaseContract struct{ contractapi.Contract }

// maxReason bounds a reason, in bytes.
const maxReason = 500

// ruling is everything one decision about a subject is made from.
type ruling struct {
	subject   state.Subject
	policy    *policy.Policy
	version   int
	facts     policy.Facts
	promotion state.Promotion
}

func rule(tx *Tx, s state.Subject) (ruling, error) {
	p, version, err := state.LoadPolicy(tx, s.Host, s.Repository)
	if err != nil {
		return ruling{}, err
	}
	facts, promotion, err := state.LoadFacts(tx, s, p)
	return ruling{subject: s, policy: p, version: version, facts: facts, promotion: promotion}, err
}

func (r ruling) verdict(tx *Tx) policy.Verdict {
	return policy.Evaluate(r.policy, r.version, r.facts, tx.now)
}

// open refuses what no promotion may be about.
func (r ruling) open() error {
	switch {
	case len(r.facts.Holds) > 0:
		h := r.facts.Holds[0]
		return provenance.Errorf(provenance.Quarantined, "%s is quarantined by %s: %s", r.subject.Digest.Short(), h.By, h.Reason)
	case !r.facts.Recorded:
		return provenance.Errorf(provenance.NotFound, "no push of %s to %s/%s is on the ledger", r.subject.Digest.Short(), r.subject.Host, r.subject.Repository)
	case r.policy == nil:
		return provenance.Errorf(provenance.NotFound, "no active policy matches %s/%s", r.subject.Host, r.subject.Repository)
	}
	if _, ok := r.policy.Stage(r.subject.Stage); !ok {
		return provenance.Errorf(provenance.NotFound, "policy %s has no stage %q", r.policy.Metadata.Name, r.subject.Stage)
	}
	return nil
}

// Request opens a promotion. Requesting an open promotion, or one that was
// released, is success without a write; after a rejection it opens the next attempt.
func (PromotionContract) Request(tx *Tx, host, repository, digest, stage string) (string, error) {
	s, err := parseSubject(host, repository, digest, stage)
	if err != nil {
		return "", err
	}
	r, err := rule(tx, s)
	if err != nil {
		return "", err
	}
	if err := r.open(); err != nil {
		return "", err
	}
	if r.promotion.Status == state.PromotionOpen || r.facts.Released {
		return answer(r.verdict(tx), nil)
	}
	r.promotion = state.Promotion{
		Subject: s, Attempt: r.promotion.Attempt + 1, Requester: tx.caller, At: tx.now, Status: state.PromotionOpen,
	}
	r.facts.Promoted, r.facts.Requester, r.facts.Approvals = true, tx.caller, nil
	return conclude(tx, r)
}

// Approve gives the caller's organisation's approval. When it is the last rule
// to be met, the release is written by the same transaction.
func (PromotionContract) Approve(tx *Tx, host, repository, digest, stage, reason string) (string, error) {
	return say(tx, host, repository, digest, stage, reason, false)
}

// Reject refuses for the caller's organisation, with a reason. The promotion is
// closed once the rule can no longer be met.
func (PromotionContract) Reject(tx *Tx, host, repository, digest, stage, reason string) (string, error) {
	if strings.TrimSpace(reason) == "" {
		return "", provenance.Errorf(provenance.Invalid, "a rejection needs a reason")
	}
	return say(tx, host, repository, digest, stage, reason, true)
}

func say(tx *Tx, host, repository, digest, stage, reason string, reject bool) (string, error) {
	s, err := parseSubject(host, repository, digest, stage)
	if err != nil {
		return "", err
	}
	if err := checkReason(reason); err != nil {
		return "", err
	}
	r, err := rule(tx, s)
	if err != nil {
		return "", err
	}
	if err := r.open(); err != nil {
		return "", err
	}
	for _, a := range r.facts.Approvals {
		if a.By.MSP == tx.caller.MSP && a.Reject == reject {
			return answer(r.verdict(tx), nil) // one organisation counts once
		}
	}
	if r.promotion.Status != state.PromotionOpen {
		return "", provenance.Errorf(provenance.Conflict, "no promotion of %s to %s is open", s.Digest.Short(), s.Stage)
	}
	st, _ := r.policy.Stage(s.Stage)
	if why := policy.Excluded(st.Approvals, r.facts, tx.caller); why != "" {
		return "", provenance.Errorf(provenance.Forbidden, "%s may not decide here: %s", tx.caller, why)
	}
	word := policy.Approval{By: tx.caller, Reject: reject, Reason: reason, At: tx.now}
	kept := r.facts.Approvals[:0:0]
	for _, a := range r.facts.Approvals {
		if a.By.MSP != tx.caller.MSP {
			kept = append(kept, a)
		}
	}
	r.facts.Approvals = append(kept, word)
	approval := state.Approval{Subject: s, Attempt: r.promotion.Attempt, Approval: word}
	if err := tx.put(s.ApprovalKey(r.promotion.Attempt, tx.caller.MSP), approval); err != nil {
		return "", err
	}
	return conclude(tx, r)
}

// conclude evaluates after a change and writes what follows from it: a release
// when every rule is satisfied, a closed promotion when one is violated.
func conclude(tx *Tx, r ruling) (string, error) {
	v := r.verdict(tx)
	switch {
	case v.Releasable:
		r.promotion.Status = state.PromotionReleased
		if err := release(tx, r, false); err != nil {
			return "", err
		}
		r.facts.Released, r.facts.Current = true, true
		r.facts.ReleasedWith = *v.Policy
		v = r.verdict(tx)
	case v.Verdict == policy.Denied:
		r.promotion.Status = state.PromotionRejected
	}
	return answer(v, tx.put(r.subject.PromotionKey(), r.promotion))
}

func release(tx *Tx, r ruling, rollback bool) error {
	var current state.Current
	if _, err := state.Read(tx, r.subject.ReleaseKey(), &current); err != nil {
		return err
	}
	rel := state.Release{
		Subject: r.subject, Previous: current.Digest, Attempt: r.promotion.Attempt, Rollback: rollback, Approvers: []policy.Person{},
		Policy: policy.Version{Name: r.policy.Metadata.Name, Version: r.version}, Act: tx.act(),
	}
	for _, a := range r.facts.Approvals {
		if !a.Reject {
			rel.Approvers = append(rel.Approvers, a.By)
		}
	}
	if err := tx.put(r.subject.ReleasedKey(), rel); err != nil {
		return err
	}
	return tx.put(r.subject.ReleaseKey(), state.Current{Digest: r.subject.Digest})
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
	r, err := rule(tx, s)
	if err == nil && r.promotion.Attempt == 0 {
		err = provenance.Errorf(provenance.NotFound, "%s was never promoted to %s", s.Digest.Short(), s.Stage)
	}
	return answer(PromotionView{Promotion: r.promotion, Approvals: r.facts.Approvals}, err)
}

// Release makes an image that was released to the stage before its current one
// again (a rollback), or releases a promotion whose rules have come to be met,
// after a policy change for instance. A refusal is recorded and returned as
// the verdict, not as an error: what was refused is part of the history.
func (ReleaseContract) Release(tx *Tx, host, repository, digest, stage string) (string, error) {
	s, err := parseSubject(host, repository, digest, stage)
	if err != nil {
		return "", err
	}
	r, err := rule(tx, s)
	if err != nil {
		return "", err
	}
	v := r.verdict(tx)
	switch {
	case r.facts.Released && r.facts.Current && v.Verdict == policy.Allowed:
		return answer(v, nil)
	case r.facts.Released && v.Verdict == policy.Allowed:
		if err := release(tx, r, true); err != nil {
			return "", err
		}
		r.facts.Current = true
		return answer(r.verdict(tx), nil)
	case v.Releasable && r.promotion.Status == state.PromotionOpen:
		return conclude(tx, r)
	}
	refusal := state.Refusal{Verdict: v, Act: tx.act()}
	return answer(v, tx.put(s.RefusalKey(tx.GetStub().GetTxID()), refusal))
}

func checkReason(reason string) error {
	if len(reason) > maxReason || !utf8.ValidString(reason) {
		return provenance.Errorf(provenance.Invalid, "a reason is at most %d bytes of UTF-8", maxReason)
	}
	return nil
}
