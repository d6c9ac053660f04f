package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Evaluate decides. version is the policy's version on the ledger; p is nil
// when no policy matches the repository. now is an argument for rules with
// time in them. No evidence is never a pass: whatever is missing denies.
func Evaluate(p *Policy, version int, f Facts, now time.Time) Verdict {
	v := Verdict{
		Image:  fmt.Sprintf("%s/%s@%s", f.Host, f.Repository, f.Digest),
		Digest: f.Digest, Stage: f.Stage, Reasons: []Reason{},
	}
	add := func(rule string, outcome Outcome, fix, format string, args ...any) Outcome {
		v.Reasons = append(v.Reasons, Reason{Rule: rule, Outcome: outcome, Detail: fmt.Sprintf(format, args...), Fix: fix})
		return outcome
	}
	if p != nil {
		v.Policy = &Version{Name: p.Metadata.Name, Version: version}
	}
	for _, h := range f.Holds {
		add("quarantine", Violated, "an admin of "+h.MSP+" can lift it with: waybill unquarantine", "quarantined by %s: %s", h.By, h.Reason)
	}
	if len(f.Holds) > 0 {
		v.Verdict = Quarantined
		return v
	}
	if !f.Recorded {
		v.Verdict = Unknown
		add("recorded", Violated, "push it to the registry, or wait for its gateway to record the push", "no push of this image to %s/%s is on the ledger", f.Host, f.Repository)
		return v
	}
	add("recorded", Satisfied, "", "pushed; recorded by %s", f.PushedBy)
	if p == nil {
		v.Verdict = Unknown
		add("policy", Violated, "admins of a majority of organisations can: waybill policy apply", "no active policy matches %s/%s", f.Host, f.Repository)
		return v
	}
	stage, ok := p.Stage(f.Stage)
	if !ok {
		v.Verdict = Unknown
		add("stage", Violated, "use one of the policy's stages: "+strings.Join(stageNames(p), ", "), "policy %s version %d has no stage %q", p.Metadata.Name, version, f.Stage)
		return v
	}
	if f.Released {
		v.Verdict = Allowed
		current := "the stage's current image"
		if !f.Current {
			current = "superseded by a later release"
		}
		if !f.ViaIndex.IsZero() {
			current += ", as a platform of index " + f.ViaIndex.Short()
		}
		add("release", Satisfied, "", "released under policy %s version %d; %s", f.ReleasedWith.Name, f.ReleasedWith.Version, current)
		return v
	}

	outcomes := []Outcome{}
	if stage.From != "" {
		if slices.ContainsFunc(f.ReleasedTo, func(r ReleaseFact) bool { return r.Stage == stage.From }) {
			outcomes = append(outcomes, add("from", Satisfied, "", "released to %s", stage.From))
		} else {
			outcomes = append(outcomes, add("from", Unmet, "release it to "+stage.From+" first", "not released to %s", stage.From))
		}
	}
	outcomes = append(outcomes, approvals(stage.Approvals, f, add))
	if f.Promoted {
		outcomes = append(outcomes, add("promotion", Satisfied, "", "requested by %s", f.Requester))
	} else {
		outcomes = append(outcomes, add("promotion", Unmet, "a release-manager can: waybill promote IMAGE --to "+f.Stage, "no open promotion to %s", f.Stage))
	}
	switch {
	case slices.Contains(outcomes, Violated):
		v.Verdict = Denied
	default:
		v.Verdict = Pending
		v.Releasable = !slices.Contains(outcomes, Unmet)
	}
	return v
}

func approvals(rule Approvals, f Facts, add func(Rule string, o Outcome, fix, format string, args ...any) Outcome) Outcome {
	approved, refused := map[string]bool{}, []string{}
	for _, a := range f.Approvals {
		if why := Excluded(rule, f, a.By); why != "" {
			continue
		}
		if a.Reject {
			refused = append(refused, fmt.Sprintf("%s (%s)", a.By, a.Reason))
		} else {
			approved[a.By.MSP] = true
		}
	}
	open := []string{} // organisations that could still approve
	rejecting := map[string]bool{}
	for _, a := range f.Approvals {
		if a.Reject {
			rejecting[a.By.MSP] = true
		}
	}
	for _, msp := range f.Members {
		if !approved[msp] && !rejecting[msp] && !(slices.Contains(rule.Exclude, ExcludePusher) && msp == f.PushedBy) {
			open = append(open, msp)
		}
	}
	missing := []string{}
	for _, org := range rule.Orgs {
		if !approved[org] {
			missing = append(missing, org)
		}
	}
	names := make([]string, 0, len(approved))
	for org := range approved {
		names = append(names, org)
	}
	slices.Sort(names)
	detail := fmt.Sprintf("%d of %d approvals", len(approved), rule.Min)
	if len(names) > 0 {
		detail += " (" + strings.Join(names, ", ") + ")"
	}
	if len(missing) > 0 {
		detail += "; missing " + strings.Join(missing, ", ")
	}
	if len(refused) > 0 {
		detail += "; rejected by " + strings.Join(refused, ", ")
	}
	if len(approved) >= rule.Min && len(missing) == 0 {
		return add("approvals", Satisfied, "", "%s", detail)
	}
	lost := len(approved)+len(open) < rule.Min
	for _, org := range missing {
		lost = lost || !slices.Contains(open, org)
	}
	if lost {
		return add("approvals", Violated, "request the promotion again with: waybill promote", "%s; too few organisations are left", detail)
	}
	return add("approvals", Unmet, "a release-manager of "+strings.Join(open, ", ")+" can: waybill approve IMAGE --to "+f.Stage, "%s", detail)
}

// Excluded says why a person's approval would not count, or "".
func Excluded(rule Approvals, f Facts, who Person) string {
	if slices.Contains(rule.Exclude, ExcludePusher) && who.MSP == f.PushedBy {
		return fmt.Sprintf("%s recorded the push, so nobody of it may approve", who.MSP)
	}
	if slices.Contains(rule.Exclude, ExcludeRequester) && who == f.Requester {
		return fmt.Sprintf("%s requested the promotion", who)
	}
	return ""
}

func stageNames(p *Policy) []string {
	names := make([]string, len(p.Spec.Stages))
	for i, s := range p.Spec.Stages {
		names[i] = s.Name
	}
	return names
}
