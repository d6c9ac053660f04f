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
		if why := j.discount(rule, a, now); why != "" {
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
		if !approved[msp] && !rejecting[msp] && excludedOrg(rule, f, msp) == "" {
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
		return ruling(ruleApprovals, Satisfied, "", "%s", detail)
	}
	lost := len(approved)+len(open) < rule.Min
	for _, org := range missing {
		lost = lost || !slices.Contains(open, org)
	}
	if lost {
		return ruling(ruleApprovals, Violated, "request the promotion again with: waybill promote", "%s; too few organisations are left", detail)
	}
	return ruling(ruleApprovals, Unmet, fmt.Sprintf("a %s of %s can: waybill approve IMAGE --to %s", roleOf(rule), list(open), f.Stage), "%s", detail)
}

// discount says why a word does not count, or "". A rejection neither expires
// nor goes stale: it is for whoever gave it to withdraw.
func (j *judge) discount(rule Approvals, a *Approval, now map[string]Outcome) string {
	if why := Excluded(rule, *j.f, a.By); why != "" {
		return why
	}
	switch {
	case !j.members[a.By.MSP]:
		return "of no member"
	case a.Robot && !rule.Robots:
		return "robot"
	case !a.held(rule):
		return "held no role " + roleOf(rule)
	case a.Reject:
		return ""
	case rule.Expires != 0 && !j.now.Before(a.At.Add(time.Duration(rule.Expires))):
		return "expired at " + stamp(a.At.Add(time.Duration(rule.Expires)))
	}
	if why := Stale(j.p, *j.f, *a, now); why != "" {
		return "stale: " + why
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

// Excluded says why a person's approval would not count whatever the person's
// role, or "".
func Excluded(rule Approvals, f Facts, who Person) string {
	if why := excludedOrg(rule, &f, who.MSP); why != "" {
		return why
	}
	if slices.Contains(rule.Exclude, ExcludeRequester) && who == f.Requester {
		return fmt.Sprintf("%s requested the promotion", who)
	}
	return ""
}

func excludedOrg(rule Approvals, f *Facts, msp string) string {
	if slices.Contains(rule.Exclude, ExcludePusher) && msp == f.PushedBy {
		return msp + " recorded the push, so nobody of it may approve"
	}
	if slices.Contains(rule.Exclude, ExcludeBuilder) {
		for i := range f.Evidence {
			if e := &f.Evidence[i]; e.Type == typeProvenance && e.Signer.MSP == msp && e.Withdrawn.IsZero() {
				return msp + " says it built the image, so nobody of it may approve"
			}
		}
	}
	return ""
}

// Stale says why an approval no longer stands for what is to be released, or
// "". now is the outcomes as Snapshot gives them. Stale is: a rule whose
// outcome is worse than the approver saw, a rule the approver did not see (a
// newer policy added it), evidence the approver could see that was withdrawn
// since, and a quarantine since. An approval that kept neither a policy nor
// outcomes saw no rules that could change.
func Stale(p *Policy, f Facts, a Approval, now map[string]Outcome) string {
	for _, rule := range sortedKeys(a.Outcomes) {
		if is, still := now[rule]; still && severity(is) > severity(a.Outcomes[rule]) {
			return fmt.Sprintf("%s was %s, is now %s", rule, a.Outcomes[rule], is)
		}
	}
	if a.Outcomes != nil || a.Policy != (Version{}) {
		for _, rule := range sortedKeys(now) {
			if _, seen := a.Outcomes[rule]; !seen {
				return fmt.Sprintf("%s is a new rule of policy %s", rule, p.Metadata.Name)
			}
		}
	}
	for i := range f.Evidence {
		if e := &f.Evidence[i]; !e.At.After(a.At) && e.Withdrawn.After(a.At) {
			return fmt.Sprintf("the %s by %s was withdrawn at %s", e.Type, e.Signer, stamp(e.Withdrawn))
		}
	}
	if f.LastHold.After(a.At) {
		return "quarantined at " + stamp(f.LastHold)
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
