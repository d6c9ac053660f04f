package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// The rules as reasons name them; evidence and conditions add their own name.
const (
	ruleRecorded   = "recorded"
	rulePolicy     = "policy"
	ruleStage      = "stage"
	ruleQuarantine = "quarantine"
	ruleRelease    = "release"
	ruleFrom       = "from"
	ruleSoak       = "soak"
	ruleFreeze     = "freeze"
	ruleMaxAge     = "max-age"
	ruleApprovals  = "approvals"
	ruleEvidence   = "evidence/"
	ruleCondition  = "condition/"
	ruleWitnesses  = "witnesses"
	rulePromotion  = "promotion"
	ruleBreakGlass = "break-glass"
)

// Evaluate decides. version is the policy's version on the ledger; p is nil
// when no policy matches the repository. now is an argument for rules with
// time in them. No evidence is never a pass: whatever is missing denies.
//
// A hold decides first, then whether the push is recorded, then whether there
// is a policy with the stage, then an unpaid break-glass release. A released
// image is allowed unless a continuous rule stopped being satisfied longer ago
// than the stage's grace. Everything else goes by every rule of the stage.
func Evaluate(p *Policy, version int, f Facts, now time.Time) Verdict {
	v := Verdict{
		Image:  string(f.Host) + "/" + string(f.Repository) + "@" + f.Digest.String(),
		Digest: f.Digest, Stage: f.Stage, Reasons: []Reason{},
	}
	if p != nil {
		v.Policy = &Version{Name: p.Metadata.Name, Version: version}
	}
	if answer := before(p, version, &f, &v); answer != "" {
		v.Verdict = answer
		return v
	}
	j := newJudge(p, &f, now)
	v.EvidenceSet = EvidenceSet(f)
	if f.Released {
		j.released(&v)
		return v
	}
	j.unreleased(&v)
	return v
}

// before decides what no rule of a stage can change, or returns "".
func before(p *Policy, version int, f *Facts, v *Verdict) Answer {
	for _, h := range f.Holds {
		v.say(ruleQuarantine, Violated, "an admin of "+h.MSP+" can lift it with: waybill unquarantine", "quarantined by %s: %s", h.By, h.Reason)
	}
	if len(f.Holds) > 0 {
		return Quarantined
	}
	if !f.Recorded {
		v.say(ruleRecorded, Violated, "push it to the registry, or wait for its gateway to record the push", "no push of this image to %s/%s is on the ledger", f.Host, f.Repository)
		return Unknown
	}
	v.say(ruleRecorded, Satisfied, "", "pushed; recorded by %s", f.PushedBy)
	if p == nil {
		v.say(rulePolicy, Violated, "admins of a majority of organisations can: waybill policy propose", "no active policy matches %s/%s", f.Host, f.Repository)
		return Unknown
	}
	if p.stage(f.Stage) < 0 {
		v.say(ruleStage, Violated, "use one of the policy's stages: "+strings.Join(stageNames(p), ", "), "policy %s version %d has no stage %q", p.Metadata.Name, version, f.Stage)
		return Unknown
	}
	return ""
}

func (v *Verdict) say(rule string, outcome Outcome, fix, format string, args ...any) {
	v.Reasons = append(v.Reasons, Reason{Rule: rule, Outcome: outcome, Detail: fmt.Sprintf(format, args...), Fix: fix})
}

// judge is one evaluation of one stage.
type judge struct {
	p        *Policy
	f        *Facts
	stage    *Stage
	programs stagePrograms
	now      time.Time
	minute   time.Time       // now for expressions: peers' clocks differ by seconds
	members  map[string]bool // nobody else's word counts
	base     *activation     // what all expressions see
	spent    uint64          // cost of the expressions so far
	disputed map[string]bool // findings that a counted vex does not suppress
}

// newJudge prepares an evaluation; p has the stage.
func newJudge(p *Policy, f *Facts, now time.Time) *judge {
	compiled := p.programs
	if compiled == nil { // built otherwise than by Parse
		compiled = compile(p)
	}
	i := p.stage(f.Stage)
	j := &judge{p: p, f: f, stage: &p.Spec.Stages[i], programs: compiled.stages[i], now: now, minute: now.UTC().Truncate(time.Minute)}
	j.members = make(map[string]bool, len(f.Members))
	for _, m := range f.Members {
		j.members[m] = true
	}
	j.base = &activation{j: j}
	return j
}

// result is how one rule stands.
type result struct {
	Reason
	since time.Time // when it stopped being satisfied, where a continuous rule asks; zero is "never was"
}

func (r *result) met() bool { return r.Outcome == Satisfied || r.Outcome == Waived }

func ruling(rule string, outcome Outcome, fix, format string, args ...any) result {
	return result{Reason: Reason{Rule: rule, Outcome: outcome, Detail: fmt.Sprintf(format, args...), Fix: fix}}
}

// lasting judges the rules an approver has seen: evidence, conditions and
// witnesses, waivers applied. continuous leaves the others out.
func (j *judge) lasting(continuous bool) []result {
	results := make([]result, 0, len(j.stage.Evidence)+len(j.stage.Conditions)+1)
	order := make([]int, len(j.stage.Evidence)) // vex first: others read what it suppresses
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(rank(j.stage.Evidence[a]), rank(j.stage.Evidence[b]))
	})
	found := make([]*result, len(order))
	for _, i := range order {
		if rule := &j.stage.Evidence[i]; !continuous || rule.Continuous || rule.Type == typeVEX {
			r := j.evidence(i)
			found[i] = &r
		}
	}
	for i, r := range found {
		if r != nil && (!continuous || j.stage.Evidence[i].Continuous) {
			results = append(results, j.waive(*r))
		}
	}
	for i, c := range j.stage.Conditions {
		if !continuous || c.Continuous {
			results = append(results, j.waive(j.condition(i)))
		}
	}
	if w := j.stage.Witnesses; w != nil && !continuous {
		results = append(results, j.waive(j.witnesses(w)))
	}
	return results
}

func rank(e EvidenceRule) int {
	if e.Type == typeVEX {
		return 0
	}
	return 1
}

// rules judges every rule of the stage but the promotion, in the order of
// their reasons. closed: too few organisations are left to approve.
func (j *judge) rules() (results []result, closed bool) {
	lasting := j.lasting(false)
	results = make([]result, 0, len(lasting)+6)
	if j.stage.From != "" {
		results = append(results, j.from())
	}
	if j.stage.Soak != 0 {
		results = append(results, j.waive(j.soak()))
	}
	if len(j.stage.Freeze) > 0 {
		results = append(results, j.waive(j.freeze()))
	}
	if j.stage.MaxAge != 0 {
		results = append(results, j.waive(j.maxAge()))
	}
	approvals := j.approvals(outcomes(lasting))
	results = append(results, approvals)
	return append(results, lasting...), approvals.Outcome == Violated
}

func (j *judge) promotion() result {
	if j.f.Promoted {
		return ruling(rulePromotion, Satisfied, "", "requested by %s", j.f.Requester)
	}
	return ruling(rulePromotion, Unmet, "a release-manager can: waybill promote IMAGE --to "+j.f.Stage, "no open promotion to %s", j.f.Stage)
}

func (j *judge) unreleased(v *Verdict) {
	results, closed := j.rules()
	results = append(results, j.promotion())
	v.Verdict, v.Releasable, v.Closed = Pending, true, closed
	for i := range results {
		r := &results[i]
		v.Reasons = append(v.Reasons, r.Reason)
		if r.Outcome == Violated {
			v.Verdict = Denied
		}
		v.Releasable = v.Releasable && r.met()
	}
}

func outcomes(results []result) map[string]Outcome {
	m := make(map[string]Outcome, len(results))
	for i := range results {
		m[results[i].Rule] = results[i].Outcome
	}
	return m
}

// Snapshot returns the outcomes of the rules an approver looks at: evidence,
// conditions and witnesses. Rules about time are left out, as time alone must
// not make an approval stale. It is nil where the stage is not in p.
func Snapshot(p *Policy, f Facts, now time.Time) map[string]Outcome {
	if p == nil || p.stage(f.Stage) < 0 {
		return nil
	}
	return outcomes(newJudge(p, &f, now).lasting(false))
}

func stageNames(p *Policy) []string {
	names := make([]string, len(p.Spec.Stages))
	for i, s := range p.Spec.Stages {
		names[i] = s.Name
	}
	return names
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// stamp prints a moment for people, in UTC to the minute.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
