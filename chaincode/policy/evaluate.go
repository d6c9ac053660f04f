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

// ClockGrace is how far the moment of a question may be from the ledger's
// clock, either way. Further, what depends on time is not met: an answer that
// was made at another time must not be handed in now.
const ClockGrace = 2 * time.Minute

// ClockTick is the grain of the ledger's clock. Rules that time decides are
// judged at a moment within the tick that the clock is in, whatever moment a
// question claims: a claim within the grace would else shorten every wait by as
// much. A release counts from the end of the tick it was made in.
const ClockTick = time.Minute

// Evaluate decides. version is the policy's version on the ledger; p is nil
// when no policy matches the repository. now is an argument for rules with
// time in them. No evidence is never a pass: whatever is missing denies.
//
// A hold decides first, then whether the push is recorded and proven, then
// whether there is a policy with the stage, then an unpaid break-glass release. A released
// image is allowed unless a continuous rule stopped being satisfied longer ago
// than the stage's grace. Everything else goes by every rule of the stage.
func Evaluate(p *Policy, version int, f Facts, now time.Time) Verdict {
	v := Verdict{
		Image:  string(f.Host) + "/" + string(f.Repository) + "@" + f.Digest.String(),
		Digest: f.Digest, Stage: f.Stage, Reasons: []Reason{}, Attempt: f.Attempt,
	}
	if p != nil {
		v.Policy = &Version{Name: p.Metadata.Name, Version: version, Hash: p.Hash()}
	}
	if f.Promoted {
		who := f.Requester
		v.Requester = &who
	}
	if answer := before(p, version, &f, &v); answer != "" {
		v.Verdict = answer
		return v
	}
	j := newJudge(p, &f, now)
	v.EvidenceSet = j.evidenceSet()
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
	if f.Tangled {
		v.say(ruleRecorded, Violated, "push an index that lists its images itself, or have a gateway prove what it lists: record:Manifest", "the index lists indexes more or deeper than is looked at, or one of which no peer has seen the manifest")
		return Unknown
	}
	if !f.Proven {
		v.say(ruleRecorded, Violated, "its registry's gateway reads the manifest back, or any member's gateway proves it", "recorded by its digest alone: no peer has seen its manifest")
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
	asked    time.Time       // the moment of the question
	now      time.Time       // the moment that is judged
	minute   time.Time       // now for expressions: peers' clocks differ by seconds
	members  map[string]bool // nobody else's word counts
	base     *activation     // what all expressions see
	spent    uint64          // cost of the expressions so far
	vex      exemptions      // what satisfied vex evidence says

	built     []string           // builders; nil where nobody asked
	use       []*Evidence        // usable; nil where nobody asked
	accepts   [][]*Evidence      // by evidence rule, what it accepts; nil where nobody asked
	held      map[heldKey]string // what conditions that never change say of a piece
	then      bool               // a moment of the past is judged (since.go)
	timeless  bool               // what the ledger's clock says makes no difference
	spentThen *uint64            // cost of the expressions over the past; nil before one is asked
}

// newJudge prepares an evaluation; p has the stage.
func newJudge(p *Policy, f *Facts, now time.Time) *judge {
	compiled := p.programs
	if compiled == nil { // built otherwise than by Parse
		compiled = compile(p)
	}
	i := p.stage(f.Stage)
	j := &judge{p: p, f: f, stage: &p.Spec.Stages[i], programs: compiled.stages[i], asked: now}
	j.set(toTick(now, f.Clock))
	j.members = make(map[string]bool, len(f.Members))
	for _, m := range f.Members {
		j.members[m] = true
	}
	j.base = &activation{j: j}
	j.accepts = make([][]*Evidence, len(j.stage.Evidence))
	return j
}

// result is how one rule stands.
type result struct {
	Reason
	apart Outcome   // how it stands apart from the ledger's clock, where that decides
	since time.Time // when it stopped being satisfied, where a continuous rule asks; zero is longer ago than matters
}

func (r *result) met() bool { return r.Outcome == Satisfied || r.Outcome == Waived }

func ruleResult(rule string, outcome Outcome, fix, format string, args ...any) result {
	return result{Reason: Reason{Rule: rule, Outcome: outcome, Detail: fmt.Sprintf(format, args...), Fix: fix}}
}

// lasting judges the rules an approver has seen: evidence, conditions and
// witnesses, waivers applied. continuous leaves the others out, and finds since
// when those fail that do.
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
			if rule.MaxAge != 0 || j.readsNow(j.programs.evidence[i]) {
				r = j.timed(r)
			}
			found[i] = &r
		}
	}
	for i, r := range found {
		if r != nil && (!continuous || j.stage.Evidence[i].Continuous) {
			if continuous && !r.met() {
				r.since = j.evidenceSince(i)
			}
			results = append(results, j.waive(*r))
		}
	}
	for i, c := range j.stage.Conditions {
		if !continuous || c.Continuous {
			r := j.condition(i)
			if j.readsNow(j.programs.conditions[i]) {
				r = j.timed(r)
			}
			if continuous && !r.met() {
				r.since = j.conditionSince(i)
			}
			results = append(results, j.waive(r))
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
		results = append(results, j.waive(j.timed(j.soak())))
	}
	if len(j.stage.Freeze) > 0 {
		results = append(results, j.waive(j.timed(j.freeze())))
	}
	if j.stage.MaxAge != 0 {
		results = append(results, j.waive(j.timed(j.maxAge())))
	}
	approvals := j.approvals(outcomes(lasting))
	if j.stage.Approvals.Expires != 0 {
		approvals = j.timed(approvals)
	}
	results = append(results, approvals)
	return append(results, lasting...), approvals.Outcome == Violated
}

func (j *judge) promotion() result {
	if j.f.Promoted {
		return ruleResult(rulePromotion, Satisfied, "", "requested by %s", j.f.Requester)
	}
	r := ruleResult(rulePromotion, Unmet, "a release-manager can: waybill promote IMAGE --to "+j.f.Stage, "no open promotion to %s", j.f.Stage)
	if j.f.Lapsed != "" {
		r.Detail += "; " + j.f.Lapsed
	}
	return r
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
		r := &results[i]
		if m[r.Rule] = r.Outcome; r.apart != "" {
			m[r.Rule] = r.apart
		}
	}
	return m
}

// Snapshot returns the outcomes of the rules an approver looks at: evidence,
// conditions and witnesses, apart from a ledger's clock that stands still.
// Rules about time are left out, as time alone must not make an approval
// stale. It is nil where the stage is not in p.
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
