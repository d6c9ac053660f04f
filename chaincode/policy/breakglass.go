package policy

import (
	"slices"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// CanBreakGlass tells whether a person who holds roles may release the image
// to its stage although rules are not met: which rules the release goes
// without, and by when another organisation must review it. Every rule that is
// neither satisfied nor waived must be one that the stage's breakGlass names;
// no open promotion is needed.
//
// Errors: Quarantined; NotFound without a push, its manifest, a policy or the stage; Conflict
// when it is released already, or every rule is met; Forbidden when the person
// is none of those named; Denied when the stage has no breakGlass, or a rule
// is not met that cannot be gone without.
func CanBreakGlass(p *Policy, f Facts, who Person, roles []string, now time.Time) (without []string, due time.Time, err error) {
	no := func(code provenance.Code, format string, args ...any) ([]string, time.Time, error) {
		return nil, time.Time{}, provenance.Errorf(code, format, args...)
	}
	switch {
	case len(f.Holds) > 0:
		return no(provenance.Quarantined, "quarantined by %s: %s", f.Holds[0].By, f.Holds[0].Reason)
	case !f.Recorded:
		return no(provenance.NotFound, "no push of this image to %s/%s is on the ledger", f.Host, f.Repository)
	case !f.Proven:
		return no(provenance.NotFound, "recorded by its digest alone: no peer has seen the manifest of %s", f.Digest.Short())
	case p == nil:
		return no(provenance.NotFound, "no active policy matches %s/%s", f.Host, f.Repository)
	case p.stage(f.Stage) < 0:
		return nil, time.Time{}, provenance.ErrorIn(provenance.Stage, provenance.NotFound, "policy %s has no stage %q", p.Metadata.Name, clip(f.Stage, 80))
	case f.Released:
		return no(provenance.Conflict, "released to %s already", f.Stage)
	}
	j := newJudge(p, &f, now)
	rule := j.stage.BreakGlass
	if rule == nil {
		return no(provenance.Denied, "stage %s of policy %s has no breakGlass", f.Stage, p.Metadata.Name)
	}
	if !j.members[who.MSP] || !slices.ContainsFunc(rule.By, func(by SignerRule) bool {
		return by.Org == who.MSP && by.Role != "" && slices.Contains(roles, by.Role)
	}) {
		return no(provenance.Forbidden, "%s is none of those who may break the glass of stage %s", who, f.Stage)
	}
	results, _ := j.rules()
	for i := range results {
		r := &results[i]
		switch {
		case r.met():
		case slices.Contains(rule.Without, r.Rule):
			without = append(without, r.Rule)
		default:
			return no(provenance.Denied, "%s is %s and cannot be gone without: %s", r.Rule, r.Outcome, r.Detail)
		}
	}
	if len(without) == 0 {
		return no(provenance.Conflict, "every rule is met: release it as usual")
	}
	return without, now.Add(time.Duration(rule.Review)), nil
}

// debt adds what a break-glass release owes. It returns true where the review
// is overdue: the verdict is then quarantined, and whoever writes next writes
// the quarantine.
func (j *judge) debt(v *Verdict) bool {
	d := j.f.Debt
	if d == nil {
		return false
	}
	without := strings.Join(d.Without, ", ")
	if d.Reviewed != nil {
		v.say(ruleBreakGlass, Waived, "", "released by %s without %s: %s; reviewed by %s", d.By, without, d.Reason, d.Reviewed)
		return false
	}
	fix := "another organisation than " + d.By.MSP + " can: waybill review IMAGE --to " + j.f.Stage
	if b := j.stage.BreakGlass; b != nil && len(b.Reviewers) > 0 {
		fix = strings.Join(b.Reviewers, " or ") + " can: waybill review IMAGE --to " + j.f.Stage
	}
	if j.now.After(d.Due) {
		v.Verdict, v.Overdue = Quarantined, true
		v.say(ruleBreakGlass, Violated, fix, "released by %s without %s: %s; the review was due at %s", d.By, without, d.Reason, stamp(d.Due))
		return true
	}
	v.say(ruleBreakGlass, Waived, fix, "released by %s without %s: %s; to be reviewed by %s", d.By, without, d.Reason, stamp(d.Due))
	v.warn(d.Due, "%s: not reviewed yet; quarantined after %s", ruleBreakGlass, stamp(d.Due))
	return false
}
