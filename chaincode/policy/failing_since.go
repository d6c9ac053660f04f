package policy

import (
	"slices"
	"time"
)

// failingSince tells since when a continuous rule has failed without a pass
// between; it fails now. moments are when anything it goes by changed, floats
// whether it also changes between them, as what reads the clock does. It walks
// back from now and no further than matters: to the release, or to where the
// stage's grace is over. What cannot be known any more never counts as a pass.
// Zero is "all the time that matters".
func (j *judge) failingSince(moments []time.Time, floats bool, met func(*judge) bool) time.Time {
	if j.held == nil {
		j.held, j.spentThen = map[heldKey]string{}, new(uint64)
	}
	floor := j.now.Add(-time.Duration(j.stage.Grace))
	if floor.Before(j.f.ReleasedAt) {
		floor = j.f.ReleasedAt
	}
	moments = slices.DeleteFunc(moments, func(t time.Time) bool { return !t.After(floor) || t.After(j.now) })
	moments = append(moments, floor)
	slices.SortFunc(moments, func(a, b time.Time) int { return b.Compare(a) })
	moments = slices.CompactFunc(moments, time.Time.Equal)
	end := j.now
	for _, start := range moments {
		switch {
		case !start.Before(end):
		case floats && met(j.at(end.Add(-1))), !floats && met(j.at(start)):
			return end
		case floats && met(j.at(start)):
			return j.turningPoint(start, end, met)
		}
		end = start
	}
	return time.Time{}
}

// turningPoint finds the minute at which a rule that passed at lo and failed at hi
// turned; where it turned more than once, one that is not the last.
func (j *judge) turningPoint(lo, hi time.Time, met func(*judge) bool) time.Time {
	for hi.Sub(lo) > time.Minute {
		if mid := lo.Add(hi.Sub(lo) / 2); met(j.at(mid)) {
			lo = mid
		} else {
			hi = mid
		}
	}
	if minute := hi.Truncate(time.Minute); minute.After(lo) {
		return minute
	}
	return lo
}

// at returns a judge who judges as one did at a moment of the past: by what was
// said until then. Tags and labels have no past; they are taken as they are.
func (j *judge) at(t time.Time) *judge {
	k := *j
	k.then, k.timeless = true, true
	k.set(t)
	k.vex = exemptions{}
	k.base = &activation{j: &k}
	// What looking back costs is not charged to the rules that are still to be
	// judged; once it is spent, nothing more passes.
	k.spent = *j.spentThen
	return &k
}

// evidenceSince is since when an evidence rule has failed.
func (j *judge) evidenceSince(i int) time.Time {
	prg := j.programs.evidence[i]
	rules := []int{i} // a vex rule decides what a later rule counts
	if prg != nil && prg.vex {
		for k := range j.stage.Evidence {
			if k != i && j.stage.Evidence[k].Type == typeVEX {
				rules = append(rules, k)
			}
		}
	}
	var moments []time.Time
	floats := false
	for _, k := range rules {
		moments = append(moments, j.moments(k)...)
		if p := j.programs.evidence[k]; p != nil {
			moments, floats = append(moments, j.inputs(p)...), floats || p.now
		}
	}
	return j.failingSince(moments, floats, func(then *judge) bool {
		for _, k := range rules[1:] {
			if k < i || j.stage.Evidence[i].Type != typeVEX { // in the order in which they are judged
				then.evidence(k)
			}
		}
		r := then.evidence(i)
		*j.spentThen = then.spent
		return r.Outcome == Satisfied
	})
}

// conditionSince is since when a condition has failed.
func (j *judge) conditionSince(i int) time.Time {
	p := j.programs.conditions[i]
	if p == nil {
		return time.Time{}
	}
	return j.failingSince(j.inputs(p), p.now, func(then *judge) bool {
		r := then.condition(i)
		*j.spentThen = then.spent
		return r.Outcome == Satisfied
	})
}

// moments are when the evidence that a rule accepts was made, lapsed and was withdrawn.
func (j *judge) moments(i int) []time.Time {
	var out []time.Time
	for _, e := range j.accepted(i) {
		out = append(out, e.At)
		if !e.Withdrawn.IsZero() {
			out = append(out, e.Withdrawn)
		}
		if age := j.stage.Evidence[i].MaxAge; age != 0 {
			out = append(out, e.At.Add(time.Duration(age)))
		}
	}
	return out
}

// inputs are when what a program reads changed: context variables and the
// number of signers.
func (j *judge) inputs(p *program) []time.Time {
	var out []time.Time
	for _, name := range p.reads(j.p) {
		if msp := j.p.Spec.Context[name]; j.members[msp] {
			v := j.f.Context[msp][name]
			out = append(out, v.At)
			for _, old := range v.Past {
				out = append(out, old.At)
			}
		}
	}
	if p.evidence {
		for i := range j.f.Evidence {
			e := &j.f.Evidence[i]
			out = append(out, e.At)
			if !e.Withdrawn.IsZero() {
				out = append(out, e.Withdrawn)
			}
		}
	}
	return out
}

// reads lists the context variables a program reads.
func (p *program) reads(in *Policy) []string {
	if p.all {
		return sortedKeys(in.Spec.Context)
	}
	return p.context
}

// unknown says why what a program reads is not known, or "": too many tags, or
// a moment before what is kept of a context variable or of the evidence.
func (j *judge) unknown(p *program) string {
	if p.tags && j.f.TagsCut {
		return "it looks at tags, and the image has more of them than the ledger lists"
	}
	if !j.then {
		return ""
	}
	for _, name := range p.reads(j.p) {
		if v := j.f.Context[j.p.Spec.Context[name]][name]; len(v.Past) >= MaxPast && j.now.Before(v.Past[len(v.Past)-1].At) {
			return "what context." + name + " was then is not kept"
		}
	}
	if p.evidence && slices.ContainsFunc(j.f.Evidence, func(e Evidence) bool { return e.Cut && e.At.After(j.now) }) {
		return "the evidence of then is not kept"
	}
	return ""
}
