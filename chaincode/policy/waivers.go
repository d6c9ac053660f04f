package policy

import (
	"fmt"
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
		if w.Stage != j.stage.Name || w.Rule != r.Rule || !Waivable(w.Rule) || w.Revoked || !j.agreed(w) {
			continue
		}
		if j.now.Before(w.Until) {
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

// agreed tells whether the organisations that the policy names approved a waiver.
func (j *judge) agreed(w *Waiver) bool {
	rule := j.p.Spec.Waivers
	if rule == nil {
		return false
	}
	orgs := map[string]bool{}
	for _, a := range w.Approvers {
		if j.members[a.MSP] {
			orgs[a.MSP] = true
		}
	}
	return len(orgs) >= rule.Min && len(absent(rule.Orgs, orgs)) == 0
}
