package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Outcome is how one rule stands.
type Outcome string

// The outcomes.
const (
	Satisfied Outcome = "satisfied"
	Unmet     Outcome = "unmet"    // can still be met
	Violated  Outcome = "violated" // cannot be met any more
)

// Answer is the answer to "may this image run in this stage?".
type Answer string

// The answers.
const (
	Allowed     Answer = "allowed"
	Pending     Answer = "pending"
	Denied      Answer = "denied"
	Quarantined Answer = "quarantined"
	Unknown     Answer = "unknown"
)

// Reason is one rule's part of a verdict.
type Reason struct {
	Rule    string  `json:"rule"`
	Outcome Outcome `json:"outcome"`
	Detail  string  `json:"detail"`
	// Fix says who can do what about it; empty when nothing is needed.
	Fix string `json:"fix,omitempty"`
}

// Version names a version of a policy.
type Version struct {
	Name    string `json:"name"`
	Version int    `json:"version"`
}

// Verdict is an answer with its reasons, one per rule.
type Verdict struct {
	Image   string            `json:"image"`
	Digest  provenance.Digest `json:"digest"`
	Stage   string            `json:"stage"`
	Verdict Answer            `json:"verdict"`
	// Height is the block height the verdict is true at; the contract leaves
	// it 0, the gateway fills it in.
	Height  uint64   `json:"height"`
	Policy  *Version `json:"policy,omitempty"`
	Reasons []Reason `json:"reasons"`
	// Releasable: every rule is satisfied, so a release may be written now.
	Releasable bool `json:"-"`
}

// Person is a member's person or robot: counted as (MSP id, enrolment id),
// never by certificate, so that a renewed certificate is the same person.
type Person struct {
	MSP  string `json:"msp"`
	Name string `json:"name"`
}

// String returns "name@MSP".
func (p Person) String() string { return p.Name + "@" + p.MSP }

// Approval is one person's word on one promotion.
type Approval struct {
	By     Person    `json:"by"`
	Reject bool      `json:"reject,omitempty"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
}

// Hold is one organisation's quarantine of an image.
type Hold struct {
	MSP    string `json:"msp"`
	By     Person `json:"by"`
	Reason string `json:"reason"`
}

// Facts is everything a verdict may depend on.
type Facts struct {
	Host       provenance.Host
	Repository provenance.Repository
	Digest     provenance.Digest
	Stage      string

	Recorded bool   // the image was pushed to this repository
	PushedBy string // MSP id of the organisation that recorded the push
	Members  []string
	Holds    []Hold

	Promoted  bool // a promotion to Stage is open
	Requester Person
	Approvals []Approval // of the open or last promotion

	Released     bool     // this image has a release to Stage
	Current      bool     // and it is the stage's current one
	ReleasedTo   []string // all stages this image has a release to
	ReleasedWith Version  // the policy version of the release to Stage
	ViaIndex     provenance.Digest
}

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
		if slices.Contains(f.ReleasedTo, stage.From) {
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
