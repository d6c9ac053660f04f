package contract

import (
	"slices"
	"strings"
	"time"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// WaiverContract keeps exceptions to single rules: each is asked for with a
// reason, ends, and counts once the organisations that the policy names agreed.
type WaiverContract struct{ contractapi.Contract }

// Request asks for an exception to one rule of one stage until a time (RFC
// 3339), for an image or, with digest "", for the repository. The caller's
// organisation is the first to approve it. The same request again is success
// without a write.
func (WaiverContract) Request(tx *Tx, host, repository, digest, stage, rule, reason, until string) (string, error) {
	h, repo, err := parseRepository(host, repository)
	if err != nil {
		return "", err
	}
	w := state.Waiver{Host: h, Repository: repo, Rule: rule, Reason: reason, Approvers: []state.Approver{{Person: tx.caller, At: tx.now}}, Act: tx.act()}
	if digest != "" {
		if w.Digest, err = provenance.ParseDigest(digest); err != nil {
			return "", err
		}
	}
	if w.Stage, err = policy.ParseStageName(stage); err != nil {
		return "", err
	}
	if err := needReason("a waiver", reason); err != nil {
		return "", err
	}
	if w.Until, err = parseTime("until", until); err != nil {
		return "", err
	}
	if !w.Until.After(tx.now) {
		return "", provenance.Errorf(provenance.Invalid, "until %q: a waiver ends in the future", clip(until))
	}
	p, _, err := state.LoadPolicy(tx, h, repo)
	if err != nil {
		return "", err
	}
	if err := checkWaiver(p, w, tx.now); err != nil {
		return "", err
	}
	key := state.WaiversKey(h, repo, tx.caller.MSP)
	var waivers state.Waivers
	if _, err := state.Read(tx, key, &waivers); err != nil {
		return "", err
	}
	waivers.Waivers = unexpired(waivers.Waivers, tx.now)
	for _, o := range waivers.Waivers {
		if !o.Revoked && o.Stage == w.Stage && o.Rule == w.Rule && o.Digest == w.Digest && o.Reason == w.Reason && o.Until.Equal(w.Until) && o.By == w.By {
			return answer(o, nil)
		}
	}
	if len(waivers.Waivers) >= state.MaxWaivers {
		waivers.Waivers = slices.DeleteFunc(waivers.Waivers, func(o state.Waiver) bool { return o.Revoked })
	}
	if len(waivers.Waivers) >= state.MaxWaivers {
		return "", provenance.Errorf(provenance.Full, "%s has %d waivers of %s/%s already, and may have no more: revoke one", tx.caller.MSP, state.MaxWaivers, h, repo)
	}
	if w.ID = w.Hash(); slices.ContainsFunc(waivers.Waivers, func(o state.Waiver) bool { return o.ID == w.ID }) {
		return "", provenance.Errorf(provenance.Conflict, "waiver %s was revoked in the moment it was asked for; ask again", w.ID)
	}
	waivers.Waivers = append(waivers.Waivers, w)
	return answer(w, tx.put(key, waivers))
}

// checkWaiver tells whether the policy in force knows such an exception.
func checkWaiver(p *policy.Policy, w state.Waiver, now time.Time) error {
	if p == nil {
		return provenance.Errorf(provenance.NotFound, "no active policy matches the repository")
	}
	st, ok := p.Stage(w.Stage)
	switch rule := p.Spec.Waivers; {
	case !ok:
		return provenance.ErrorIn(provenance.Stage, provenance.NotFound, "policy %s has no stage %q", p.Metadata.Name, w.Stage)
	case !slices.Contains(st.Rules(), w.Rule):
		return provenance.Errorf(provenance.NotFound, "stage %s has no rule %q; it has %v", w.Stage, clip(w.Rule), st.Rules())
	case !policy.Waivable(w.Rule):
		return provenance.Errorf(provenance.Denied, "rule %q cannot be waived", w.Rule)
	case rule == nil:
		return provenance.Errorf(provenance.Denied, "policy %s allows no waivers", p.Metadata.Name)
	case w.Until.After(now.Add(time.Duration(rule.MaxDuration))):
		return provenance.Errorf(provenance.Denied, "policy %s allows waivers of at most %s", p.Metadata.Name, rule.MaxDuration)
	}
	return nil
}

// Approve agrees to a waiver for the caller's organisation, which counts once.
// The id is the hash of all that was asked for: who signs it signs that.
func (WaiverContract) Approve(tx *Tx, host, repository, id string) (string, error) {
	return changeWaiver(tx, host, repository, id, func(w *state.Waiver) (bool, error) {
		if w.Revoked {
			return false, provenance.Errorf(provenance.Conflict, "waiver %s was revoked", w.ID)
		}
		at := slices.IndexFunc(w.Approvers, func(a state.Approver) bool { return a.MSP == tx.caller.MSP })
		if at >= 0 {
			taken, err := state.LoadTaken(tx, []policy.Person{w.Approvers[at].Person})
			if err != nil || !taken[0].Reaches(w.Approvers[at].At) {
				return false, err
			}
			w.Approvers = slices.Delete(w.Approvers, at, at+1)
		}
		w.Approvers = append(w.Approvers, state.Approver{Person: tx.caller, At: tx.now})
		slices.SortFunc(w.Approvers, func(a, b state.Approver) int { return strings.Compare(a.MSP, b.MSP) })
		return true, nil
	})
}

// Revoke ends a waiver; every organisation that asked for it or approved it may.
func (WaiverContract) Revoke(tx *Tx, host, repository, id, reason string) (string, error) {
	if err := needReason("revoking a waiver", reason); err != nil {
		return "", err
	}
	return changeWaiver(tx, host, repository, id, func(w *state.Waiver) (bool, error) {
		if w.By.MSP != tx.caller.MSP && !ofOrganisation(w.Approvers, tx.caller.MSP) {
			return false, provenance.Errorf(provenance.Forbidden, "%s neither asked for waiver %s nor approved it", tx.caller.MSP, w.ID)
		}
		if w.Revoked {
			return false, nil
		}
		w.Revoked, w.Revocation = true, &state.Revocation{Reason: reason, Act: tx.act()}
		return true, nil
	})
}

// List returns the waivers of a repository, those that wait for approvals too.
func (WaiverContract) List(tx *Tx, host, repository string) (string, error) {
	h, repo, err := parseRepository(host, repository)
	if err != nil {
		return "", err
	}
	members, err := state.LoadMembers(tx)
	if err != nil {
		return "", err
	}
	lists, err := state.LoadWaivers(tx, h, repo, members.MSPs)
	all := []state.Waiver{}
	for _, l := range lists {
		all = append(all, l.Waivers...)
	}
	return answer(all, err)
}

// changeWaiver changes one waiver that has not ended.
func changeWaiver(tx *Tx, host, repository, id string, change func(*state.Waiver) (changed bool, err error)) (string, error) {
	h, repo, err := parseRepository(host, repository)
	if err != nil {
		return "", err
	}
	members, err := state.LoadMembers(tx)
	if err != nil {
		return "", err
	}
	lists, err := state.LoadWaivers(tx, h, repo, members.MSPs)
	if err != nil {
		return "", err
	}
	for i, waivers := range lists {
		waivers.Waivers = unexpired(waivers.Waivers, tx.now)
		at := slices.IndexFunc(waivers.Waivers, func(w state.Waiver) bool { return w.ID == id })
		if at < 0 {
			continue
		}
		w := &waivers.Waivers[at]
		if w.Hash() != id {
			return "", provenance.Errorf(provenance.Internal, "waiver %s does not hold what its id is the hash of", clip(id))
		}
		changed, err := change(w)
		if err != nil || !changed {
			return answer(*w, err)
		}
		return answer(*w, tx.put(state.WaiversKey(h, repo, members.MSPs[i]), waivers))
	}
	return "", provenance.Errorf(provenance.NotFound, "%s/%s has no waiver %q, or it has ended", h, repo, clip(id))
}

// unexpired are the waivers that have not ended.
func unexpired(waivers []state.Waiver, now time.Time) []state.Waiver {
	return slices.DeleteFunc(waivers, func(w state.Waiver) bool { return !w.Until.After(now) })
}

func ofOrganisation(people []state.Approver, msp string) bool {
	return slices.ContainsFunc(people, func(p state.Approver) bool { return p.MSP == msp })
}
