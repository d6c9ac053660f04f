package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// approvals counts organisations, never people: one organisation counts once.
// A rejection by somebody whose approval would have counted closes the
// organisation; when too few are left, the promotion is lost.
func (j *judge) approvals(now map[string]Outcome) result {
	rule, f := j.stage.Approvals, j.f
	approved, rejecting := map[string]bool{}, map[string]bool{}
	var refused, ignored []string
	for i := range f.Approvals {
		a := &f.Approvals[i]
		if why := j.discount(a, now); why != "" {
			ignored = append(ignored, fmt.Sprintf("%s (%s)", a.By, why))
			continue
		}
		if a.Reject {
			refused = append(refused, fmt.Sprintf("%s (%s)", a.By, a.Reason))
			rejecting[a.By.MSP] = true
		} else {
			approved[a.By.MSP] = true
		}
	}
	var open []string // organisations that could still approve
	for _, msp := range f.Members {
		if !approved[msp] && !rejecting[msp] && j.excludedOrg(msp) == "" {
			open = append(open, msp)
		}
	}
	missing := absent(rule.Orgs, approved)
	detail := quorum(len(approved), rule.Min, "approvals", sortedKeys(approved), missing)
	if len(refused) > 0 {
		detail += "; rejected by " + strings.Join(refused, ", ")
	}
	if len(ignored) > 0 {
		detail += "; not counted: " + strings.Join(ignored, ", ")
	}
	if len(approved) >= rule.Min && len(missing) == 0 {
		return ruleResult(ruleApprovals, Satisfied, "", "%s", detail)
	}
	lost := len(approved)+len(open) < rule.Min
	for _, org := range missing {
		lost = lost || !slices.Contains(open, org)
	}
	if lost {
		return ruleResult(ruleApprovals, Violated, "request the promotion again with: waybill promote", "%s; too few organisations are left", detail)
	}
	return ruleResult(ruleApprovals, Unmet, fmt.Sprintf("a %s of %s can: waybill approve IMAGE --to %s", roleOf(rule), list(open), f.Stage), "%s", detail)
}

// Discount says why an approval or rejection does not count now, or "" where
// it does; outcomes are those of Snapshot. This is all that decides which
// words count: the approvals rule, the contract and the API go by it. A
// rejection neither expires nor goes stale: it is for whoever gave it to
// withdraw. A word that its organisation took back counts no more, whichever
// it was.
func Discount(p *Policy, f Facts, a Approval, now time.Time, outcomes map[string]Outcome) string {
	if why := unstaged(p, &f); why != "" {
		return why
	}
	return newJudge(p, &f, now).discount(&a, outcomes)
}

// Unheard says why the stage would not count a word whenever it is given, or
// "": its organisation or its person is excluded or no member, it is a robot's,
// or the role is not held.
func Unheard(p *Policy, f Facts, a Approval) string {
	if why := unstaged(p, &f); why != "" {
		return why
	}
	return newJudge(p, &f, time.Time{}).unheard(&a)
}

// Excluded says why a person's approval would not count whatever the person's
// role, or "".
func Excluded(p *Policy, f Facts, who Person) string {
	if why := unstaged(p, &f); why != "" {
		return why
	}
	return newJudge(p, &f, time.Time{}).excluded(who)
}

// Approving lists the organisations whose approval counts now, in order.
func Approving(p *Policy, f Facts, now time.Time) []string {
	if unstaged(p, &f) != "" {
		return nil
	}
	outcomes, orgs := Snapshot(p, f, now), map[string]bool{}
	j := newJudge(p, &f, now)
	for i := range f.Approvals {
		if a := &f.Approvals[i]; !a.Reject && j.discount(a, outcomes) == "" {
			orgs[a.By.MSP] = true
		}
	}
	return sortedKeys(orgs)
}

// unstaged says why p rules nothing about the stage that is asked for, or "".
func unstaged(p *Policy, f *Facts) string {
	switch {
	case p == nil:
		return "no active policy matches " + string(f.Host) + "/" + string(f.Repository)
	case p.stage(f.Stage) < 0:
		return fmt.Sprintf("policy %s has no stage %q", p.Metadata.Name, clip(f.Stage, 80))
	}
	return ""
}

func (j *judge) discount(a *Approval, outcomes map[string]Outcome) string {
	expires := time.Duration(j.stage.Approvals.Expires)
	if a.TakenBack != "" {
		return "taken back: " + a.TakenBack
	}
	if why := j.unheard(a); why != "" || a.Reject {
		return why
	}
	switch {
	case expires != 0 && !j.now.Before(a.At.Add(expires)):
		return "expired at " + stamp(a.At.Add(expires))
	case expires != 0 && a.At.After(j.now.Add(ClockGrace)):
		return "dated in the future: " + stamp(a.At)
	}
	if why := j.stale(a, outcomes); why != "" {
		return "stale: " + why
	}
	return ""
}

func (j *judge) unheard(a *Approval) string {
	rule := j.stage.Approvals
	if why := j.excluded(a.By); why != "" {
		return why
	}
	switch {
	case !j.members[a.By.MSP]:
		return "of no member"
	case a.Robot && !rule.Robots:
		return "robot"
	case !a.held(rule):
		return "held no role " + roleOf(rule)
	}
	return ""
}

// held tells whether the role was held. Approvals of before roles were kept
// with them have none; at that time only a release-manager could give one.
func (a *Approval) held(rule Approvals) bool {
	if a.Roles == nil {
		return roleOf(rule) == defaultRole
	}
	return slices.Contains(a.Roles, roleOf(rule)) || rule.Robots && a.Robot
}

func roleOf(rule Approvals) string {
	if rule.Role == "" {
		return defaultRole
	}
	return rule.Role
}

// excluded goes by the person, never by a role: who holds every role is one
// person still.
func (j *judge) excluded(who Person) string {
	if why := j.excludedOrg(who.MSP); why != "" {
		return why
	}
	if slices.Contains(j.stage.Approvals.Exclude, ExcludeRequester) && who == j.f.Requester {
		return fmt.Sprintf("%s requested the promotion", who)
	}
	return ""
}

func (j *judge) excludedOrg(msp string) string {
	exclude := j.stage.Approvals.Exclude
	if slices.Contains(exclude, ExcludePusher) && msp == j.f.PushedBy {
		return msp + " recorded the push, so nobody of it may approve"
	}
	if slices.Contains(exclude, ExcludeBuilder) && slices.Contains(j.builders(), msp) {
		return msp + " says it built the image, so nobody of it may approve"
	}
	return ""
}

// builders are the organisations that answer for a statement of who built the
// image, of those statements that the stage's rules accept: nobody makes
// another organisation the builder by a statement that no rule asked for.
func (j *judge) builders() []string {
	if j.built != nil {
		return j.built
	}
	j.built = []string{}
	for i := range j.stage.Evidence {
		if j.stage.Evidence[i].Type != typeProvenance {
			continue
		}
		for _, e := range j.accepted(i) {
			if !e.Superseded && !j.isWithdrawn(e) && !slices.Contains(j.built, e.Signer.MSP) {
				j.built = append(j.built, e.Signer.MSP)
			}
		}
	}
	return j.built
}

// Stale says why an approval no longer stands for what is to be released, or
// "". now is the outcomes as Snapshot gives them. Stale is: a rule whose
// outcome is worse than the approver saw, a rule the approver did not see (a
// newer policy added it), evidence the stage can use that the approver could
// see and that was withdrawn since, and a quarantine since. An approval that
// kept neither a policy nor outcomes saw no rules that could change.
func Stale(p *Policy, f Facts, a Approval, now map[string]Outcome) string {
	if why := unstaged(p, &f); why != "" {
		return why
	}
	return newJudge(p, &f, time.Time{}).stale(&a, now)
}

func (j *judge) stale(a *Approval, now map[string]Outcome) string {
	for _, rule := range sortedKeys(a.Outcomes) {
		if is, still := now[rule]; still && severity(is) > severity(a.Outcomes[rule]) {
			return fmt.Sprintf("%s was %s, is now %s", rule, a.Outcomes[rule], is)
		}
	}
	if a.Outcomes != nil || a.Policy != (Version{}) {
		for _, rule := range sortedKeys(now) {
			if _, seen := a.Outcomes[rule]; !seen {
				return fmt.Sprintf("%s is a new rule of policy %s", rule, j.p.Metadata.Name)
			}
		}
	}
	for _, e := range j.usable() {
		if !e.At.After(a.At) && e.Withdrawn.After(a.At) {
			return fmt.Sprintf("the %s by %s was withdrawn at %s", e.Type, e.Signer, stamp(e.Withdrawn))
		}
	}
	if j.f.LastHold.After(a.At) {
		return "quarantined at " + stamp(j.f.LastHold)
	}
	return ""
}

// severity orders outcomes from good to bad.
func severity(o Outcome) int {
	switch o {
	case Satisfied, Waived:
		return 0
	case Unmet:
		return 1
	}
	return 2
}

func absent(orgs []string, have map[string]bool) (missing []string) {
	for _, o := range orgs {
		if !have[o] {
			missing = append(missing, o)
		}
	}
	return missing
}

func quorum(have, want int, of string, names, missing []string) string {
	detail := fmt.Sprintf("%d of %d %s", have, want, of)
	if len(names) > 0 {
		detail += " (" + strings.Join(names, ", ") + ")"
	}
	if len(missing) > 0 {
		detail += "; missing " + strings.Join(missing, ", ")
	}
	return detail
}

func list(names []string) string {
	if len(names) == 0 {
		return "nobody"
	}
	return strings.Join(names, ", ")
}
