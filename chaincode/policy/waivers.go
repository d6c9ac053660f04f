package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Waivable tells whether a rule of this name may be waived. Approvals,
// promotion, from and quarantine are about what has happened, and no exception
// makes it happen.
func Waivable(rule string) bool {
	switch rule {
	case ruleSoak, ruleFreeze, ruleMaxAge, ruleWitnesses:
		return true
	}
	return strings.HasPrefix(rule, ruleEvidence) || strings.HasPrefix(rule, ruleCondition)
}

// waive applies the waivers in force to a rule that is not satisfied.
func (j *judge) waive(r result) result {
	if r.Outcome == Satisfied {
		return r
	}
	for i := range j.f.Waivers {
		w := &j.f.Waivers[i]
		if w.Rule != r.Rule || !j.applies(w) {
			continue
		}
		if j.now.Before(w.Until) {
			if why := j.clockProblem(); why != "" {
				r.apart, r.Outcome, r.Fix = Waived, Unmet, clockFix
				r.Detail = fmt.Sprintf("%s, so that a waiver until %s waits (%s)", why, stamp(w.Until), r.Detail)
				return r
			}
			r.Detail = fmt.Sprintf("waived until %s: %s (%s)", stamp(w.Until), w.Reason, r.Detail)
			r.Outcome, r.Fix = Waived, ""
			return r
		}
		if w.Until.After(r.since) {
			r.since = w.Until // so long the rule counted as met
		}
	}
	return r
}

// applies tells whether a waiver is one of the stage that enough organisations
// approved and nobody revoked, for as long as it may last.
func (j *judge) applies(w *Waiver) bool {
	return w.Stage == j.stage.Name && Waivable(w.Rule) && !w.Revoked && j.agreed(w)
}

// agreed tells whether the organisations that the policy names approved a waiver.
func (j *judge) agreed(w *Waiver) bool {
	_, _, enough := Agreed(j.p, j.f.Members, *w)
	return enough
}

// Agreed tells which members approved a waiver, in the order they did, which of
// those that the policy names did not, and whether these are enough. Without a policy
// that knows waivers, none are.
func Agreed(p *Policy, members []string, w Waiver) (orgs, missing []string, enough bool) {
	have := map[string]bool{}
	for _, a := range w.Approvers {
		if !have[a.MSP] && slices.Contains(members, a.MSP) {
			have[a.MSP] = true
			orgs = append(orgs, a.MSP)
		}
	}
	if p == nil || p.Spec.Waivers == nil {
		return orgs, nil, false
	}
	rule := p.Spec.Waivers
	missing = absent(rule.Orgs, have)
	return orgs, missing, len(orgs) >= rule.Min && len(missing) == 0
}
