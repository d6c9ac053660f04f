package model

import (
	"slices"
	"time"
)

// since is when it was last released to a stage in a way that counts for a later one.
func (f *facts) since(st string) (at time.Time, ok bool) {
	s := subject{f.s.repo, f.s.image, st}
	consider := func(r *release) {
		if r == nil || f.void(r, st) || r.debt != nil && !f.l.paid(r.debt) {
			return
		}
		t := r.at
		if r.latest.After(t) {
			t = r.latest
		}
		if gap := f.l.gaps[r.tick]; gap.After(t) {
			t = gap
		}
		if ok = true; t.After(at) {
			at = t
		}
	}
	consider(f.l.releases[s])
	if f.l.standingCarrier(s) != nil {
		consider(f.l.releases[subject{s.repo, f.l.carriers[s], st}])
	}
	return at, ok
}

func (f *facts) from() outcome {
	if _, ok := f.since(f.stage.from); ok {
		return satisfied
	}
	return unmet
}

func (f *facts) soak() outcome {
	if at, ok := f.since(f.stage.from); ok && !f.now.Before(at.Add(f.stage.soak)) {
		return satisfied
	}
	return unmet
}

// frozen: the model knows windows of every day only.
func (f *facts) frozen() outcome {
	if f.stage.freeze.holds(f.now) {
		return unmet
	}
	return satisfied
}

func (f *facts) age() outcome {
	if f.pushedAt.After(f.now.Add(clockGrace)) || f.pushedAt.Add(f.stage.maxAge).Before(f.now) {
		return violated
	}
	return satisfied
}

// continuous asks of what is released again what has to stay true. A rule that
// fails is forgiven for the stage's grace, from when it was last satisfied or
// waived, or from the release.
func (f *facts) continuous(v *verdict) {
	v.bare = map[string]outcome{}
	ask := func(name string, moments []time.Time, met func(t time.Time, past bool) bool) {
		since, fails := f.failing(name, moments, met)
		glass := f.own.debt != nil && slices.Contains(f.own.debt.without, name)
		if fails && !glass && !f.now.Before(since.Add(f.stage.grace)) {
			v.answer = "denied"
		}
	}
	for i := range f.stage.evidence {
		e := &f.stage.evidence[i]
		if !e.continuous {
			continue
		}
		var moments []time.Time
		for _, p := range f.pieces {
			if moments = append(moments, p.at, f.withdrawnAt(p)); e.maxAge != 0 {
				moments = append(moments, p.at.Add(e.maxAge))
			}
		}
		ask("evidence/"+e.name, moments, func(t time.Time, past bool) bool { return f.evidence(e, t, past) == satisfied })
	}
	for _, c := range f.stage.conditions {
		if !c.continuous {
			continue
		}
		var moments []time.Time
		for _, x := range f.l.context[f.p.context[c.variable]+" "+c.variable] {
			moments = append(moments, x.at)
		}
		ask("condition/"+c.name, moments, func(t time.Time, past bool) bool { return f.condition(c, t, past) == satisfied })
	}
}

// failing tells since when a rule fails, if it does.
func (f *facts) failing(name string, moments []time.Time, met func(t time.Time, past bool) bool) (since time.Time, fails bool) {
	if met(f.now, false) {
		return since, false
	}
	since = f.own.first
	for _, w := range f.waiversOf(name) {
		if f.now.Before(w.until) {
			return since, false
		}
		if w.until.After(since) {
			since = w.until
		}
	}
	moments = append(slices.Clone(moments), f.own.first)
	slices.SortFunc(moments, func(a, b time.Time) int { return b.Compare(a) })
	end := f.now
	for _, t := range moments { // between two of them nothing changes
		if t.Before(f.own.first) || !t.Before(f.now) {
			continue
		}
		if met(t, true) {
			if end.After(since) {
				since = end
			}
			break
		}
		end = t
	}
	return since, true
}
