package contract

import (
	"slices"
	"strconv"
	"strings"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// ReleaseContract keeps a stage's current image.
type ReleaseContract struct{ contractapi.Contract }

// versionRef prints a policy version as people and approvals name it.
func versionRef(v policy.Version) string { return v.Name + "@" + strconv.Itoa(v.Version) }

// Release makes an image that was released to the stage before its current one
// again (a rollback, which holds automatic releases off), or releases a
// promotion whose rules have come to be met, with time for instance. A refusal
// is recorded and returned as the verdict, not as an error: what was refused
// is part of the history.
func (ReleaseContract) Release(tx *Tx, host, repository, digest, stage string) (string, error) {
	r, overdue, err := begin(tx, host, repository, digest, stage)
	if err != nil || overdue != nil {
		return answer(overdue, err)
	}
	who, err := tx.callerRoles()
	if err != nil {
		return "", err
	}
	v := r.verdict(tx)
	switch {
	case r.facts.Released && v.Verdict == policy.Allowed && r.facts.Current:
		return answer(v, nil)
	case r.facts.Released && v.Verdict == policy.Allowed && !r.facts.ViaIndex.IsZero():
		return "", provenance.Errorf(provenance.Conflict, "%s was released as a platform of index %s; roll back to the index", r.subject.Digest.Short(), r.facts.ViaIndex)
	case r.facts.Released && v.Verdict == policy.Allowed:
		// A debt is not paid by rolling back to it.
		return r.releaseNow(tx, v, origin{rollback: true, debt: r.facts.Debt})
	case v.Releasable && r.promotion.OpenAt(tx.now):
		return r.releaseNow(tx, v, origin{auto: who.robot})
	}
	return refuse(tx, r, v)
}

// refuse records what was asked for and not given.
func refuse(tx *Tx, r *decision, v policy.Verdict) (string, error) {
	refusal := state.Refusal{Verdict: v, Act: tx.act()}
	return answer(v, tx.put(r.subject.RefusalKey(tx.GetStub().GetTxID()), refusal))
}

// Auto releases an open promotion whose last rule has come to be met; a
// gateway of an organisation that the stage names asks for it, of any member
// where it names nobody. It rolls nothing back and releases nothing to a stage
// that a person rolled back. Robots ask often, so a refusal is an error and
// leaves no record.
func (ReleaseContract) Auto(tx *Tx, host, repository, digest, stage string) (string, error) {
	r, overdue, err := begin(tx, host, repository, digest, stage)
	if err != nil || overdue != nil {
		return answer(overdue, err)
	}
	if err := r.open(); err != nil {
		return "", err
	}
	if orgs := named(r.stage()); len(orgs) > 0 && !slices.Contains(orgs, tx.caller.MSP) {
		return "", provenance.Errorf(provenance.Forbidden, "stage %s names %s; a gateway of theirs releases", r.subject.Stage, strings.Join(orgs, ", "))
	}
	v := r.verdict(tx)
	if r.facts.Released {
		return answer(v, nil)
	}
	var current state.Current
	if _, err := state.Read(tx, r.subject.ReleaseKey(), &current); err != nil {
		return "", err
	}
	if current.Pinned {
		return "", provenance.Errorf(provenance.Conflict, "%s was rolled back; a person releases or resumes first", r.subject.Stage)
	}
	if !r.promotion.OpenAt(tx.now) {
		return "", provenance.Errorf(provenance.Conflict, "no promotion of %s to %s is open", r.subject.Digest.Short(), r.subject.Stage)
	}
	if !v.Releasable {
		return "", provenance.Errorf(provenance.Denied, "not released: %s", missingRules(v))
	}
	return r.releaseNow(tx, v, origin{auto: true})
}

// ReleaseView is a release and what a reviewer of it agrees to.
type ReleaseView struct {
	Release state.Release `json:"release"`
	Hash    string        `json:"hash"` // state.Release.Hash
}

// Get returns the release of an image to a stage; NotFound when there is none.
func (ReleaseContract) Get(tx *Tx, host, repository, digest, stage string) (string, error) {
	s, err := parseSubject(host, repository, digest, stage)
	if err != nil {
		return "", err
	}
	var rel state.Release
	found, err := state.Read(tx, s.ReleasedKey(), &rel)
	if err == nil && !found {
		err = provenance.Errorf(provenance.NotFound, "%s was never released to %s", s.Digest.Short(), s.Stage)
	}
	return answer(ReleaseView{Release: rel, Hash: rel.Hash()}, err)
}

// missingRules names the rules that keep an image from its release.
func missingRules(v policy.Verdict) string {
	var rules []string
	for _, reason := range v.Reasons {
		if reason.Outcome == policy.Unmet || reason.Outcome == policy.Violated {
			rules = append(rules, reason.Rule+" is "+string(reason.Outcome)+" ("+reason.Detail+")")
		}
	}
	return strings.Join(rules, "; ")
}

// Resume ends the hold against automatic releases that a rollback set.
func (ReleaseContract) Resume(tx *Tx, host, repository, stage string) (string, error) {
	h, repo, err := parseRepository(host, repository)
	if err != nil {
		return "", err
	}
	if _, err := policy.ParseStageName(stage); err != nil {
		return "", err
	}
	key := state.Subject{Stage: stage, Host: h, Repository: repo}.ReleaseKey()
	var current state.Current
	found, err := state.Read(tx, key, &current)
	if err != nil {
		return "", err
	}
	if !found {
		return "", provenance.Errorf(provenance.NotFound, "nothing of %s/%s was ever released to %s", h, repo, stage)
	}
	if !current.Pinned {
		return answer(current, nil)
	}
	current.Pinned = false
	return answer(current, tx.put(key, current))
}
