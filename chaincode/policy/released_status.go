package policy

import (
	"fmt"
	"slices"
	"time"
)

// released judges a released image: by the debt of a break-glass release, and
// by the rules that are continuous.
func (j *judge) released(v *Verdict) {
	f := j.f
	// What runs is not stopped because the ledger's clock stands still: rules
	// that are asked again go by the moment of the question.
	j.timeless = true
	j.set(j.asked)
	current := "the stage's current image"
	if !f.Current {
		current = "superseded by a later release"
	}
	if !f.ViaIndex.IsZero() {
		current += ", as a platform of index " + f.ViaIndex.Short()
	}
	v.say(ruleRelease, Satisfied, "", "released under policy %s version %d; %s", f.ReleasedWith.Name, f.ReleasedWith.Version, current)
	v.Verdict = Allowed
	if j.debt(v) {
		return
	}
	for _, r := range j.lasting(true) {
		if !r.met() && f.Debt != nil && slices.Contains(f.Debt.Without, r.Rule) {
			r.Outcome, r.Fix, r.Detail = Waived, "", "released by break-glass without it ("+r.Detail+")"
		}
		v.Reasons = append(v.Reasons, r.Reason)
		if r.met() {
			continue
		}
		since := r.since
		if since.Before(f.ReleasedAt) {
			since = f.ReleasedAt
		}
		until := since.Add(time.Duration(j.stage.Grace))
		if !j.now.Before(until) {
			v.Verdict = Denied
			continue
		}
		v.warn(until, "%s: %s; allowed until %s", r.Rule, r.Detail, stamp(until))
	}
	if v.Verdict != Allowed {
		v.Warning, v.Until = "", nil
	}
}

// warn adds a warning; the earliest date counts.
func (v *Verdict) warn(until time.Time, format string, args ...any) {
	if v.Warning != "" {
		v.Warning += "; "
	}
	v.Warning += fmt.Sprintf(format, args...)
	if until = until.UTC(); v.Until == nil || until.Before(*v.Until) {
		v.Until = &until
	}
}
