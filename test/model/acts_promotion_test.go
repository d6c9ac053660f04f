package model

import (
	"slices"
	"time"
)

// settling: somebody acts on a break-glass release whose review is overdue; the
// quarantine is all that comes of the act.
func (l *law) settling(v *verdict, at time.Time) func() {
	if !v.overdue {
		return nil
	}
	image := v.f.s.image
	if v.f.via {
		image = l.carriers[v.f.s]
	}
	return func() { l.put(image, v.f.own.debt.by.org, at) }
}

// promotable: what no promotion may be about is refused.
func promotable(v *verdict) bool { return v.answer != "quarantined" && v.answer != "unknown" }

func (f *facts) keepers() (orgs []string) {
	orgs = slices.Clone(f.stage.orgs)
	if f.stage.witnesses != nil {
		orgs = append(orgs, f.stage.witnesses.orgs...)
	}
	return slices.DeleteFunc(orgs, func(o string) bool { return !slices.Contains(f.l.members, o) })
}

func (l *law) request(by person, s subject, at time.Time) func() {
	v := l.judge(s, at)
	switch {
	case !l.may(by, "release-manager", "publisher"):
		return nil
	case v.overdue:
		return l.settling(v, at)
	case !promotable(v):
		return nil
	case v.f.own != nil || v.f.promo.open(at) && v.f.promo.askedBy(by.org) >= 0:
		return func() {}
	case v.f.promo.open(at):
		p := v.f.promo
		return func() { p.also = append(slices.Clone(p.also), by) }
	}
	_, robot := l.roles(by)
	old := v.f.promo
	opened := &promotion{attempt: 1, requester: by, at: at, status: "open"}
	if old != nil {
		opened.attempt = old.attempt + 1
	}
	done := l.concluding(s, robot, at, func() { l.promotions[s] = opened }, func() { restore(l.promotions, s, old) })
	if done == nil {
		return nil
	}
	return func() { done(); l.gates[s] = v.f.keepers() }
}

// concluding makes a change, and what follows from it: the release where every
// rule is met, a closed promotion where the quorum is lost. A release that is
// dated before what the clock allows is refused, and the change with it.
func (l *law) concluding(s subject, robot bool, at time.Time, change, undo func()) func() {
	change()
	v := l.judge(s, at)
	late := !v.closed && v.releasable && !l.timely(at)
	undo()
	if late {
		return nil
	}
	return func() {
		change()
		switch v := l.judge(s, at); {
		case v.closed:
			l.promotions[s].status = "rejected"
		case v.releasable:
			l.release(v, robot, false, nil, at)
		}
	}
}

// restore puts back what was there, or nothing.
func restore[K comparable, V any](m map[K]*V, k K, old *V) {
	if m[k] = old; old == nil {
		delete(m, k)
	}
}

// releaser is release for an act that does nothing else.
func (l *law) releaser(v *verdict, robot, rollback bool, d *debt, at time.Time) func() {
	if !l.timely(at) {
		return nil
	}
	return func() { l.release(v, robot, rollback, d, at) }
}

// release is written where the gate lets it pass and no rollback holds robots off.
func (l *law) release(v *verdict, robot, rollback bool, d *debt, at time.Time) {
	s, f := v.f.s, v.f
	where := stageKey{s.repo, s.stage}
	if robot && l.currents[where].pinned {
		return
	}
	set := l.gates[s]
	l.gates[s] = f.keepers()
	if slices.ContainsFunc(f.keepers(), func(o string) bool { return !slices.Contains(set, o) }) {
		return // it has only set the gate
	}
	rel := &release{at: at, first: at, realTime: l.wall, rests: v.counted, debt: d, tick: l.ticks}
	if !l.clock.IsZero() {
		rel.latest = l.clock.Add(time.Minute)
	}
	if rollback {
		rel.first, rel.rests = f.own.first, f.own.rests
	}
	l.releases[s] = rel
	for _, c := range l.children(s.repo, s.image) {
		l.carriers[subject{s.repo, c, s.stage}] = s.image
	}
	l.currents[where] = current{s.image, rollback}
	if f.promo.open(at) {
		f.promo.status = "released"
	}
}

// approving is what an approver says it has seen.
type approving struct {
	attempt, version int
	policy           string // its text
	set              string
}

func (l *law) timely(at time.Time) bool { return l.clock.IsZero() || l.clock.Sub(at) <= clockGrace }

func (l *law) approve(by person, s subject, a approving, at time.Time) func() {
	v := l.judge(s, at)
	f := v.f
	switch {
	case !l.may(by, "release-manager", "scanner", "auditor", "admin"):
		return nil
	case v.overdue:
		return l.settling(v, at)
	case !promotable(v):
		return nil
	}
	if f.promo != nil && f.promo.status == "released" && f.own != nil && slices.ContainsFunc(f.words, func(w *word) bool { return w.by.org == by.org && !w.reject }) {
		return func() {}
	}
	attempt := 0
	if f.promo != nil {
		attempt = f.promo.attempt
	}
	if a.attempt != attempt || a.policy != f.p.text || a.version != f.p.version || a.set != f.seen() {
		return nil
	}
	return l.say(by, f, false, at)
}

func (l *law) reject(by person, s subject, attempt int, at time.Time) func() {
	v := l.judge(s, at)
	switch {
	case !l.may(by, "release-manager", "scanner", "auditor", "admin"):
		return nil
	case v.overdue:
		return l.settling(v, at)
	case !promotable(v), v.f.promo == nil && attempt != 0, v.f.promo != nil && v.f.promo.attempt != attempt:
		return nil
	}
	return l.say(by, v.f, true, at)
}

func (l *law) say(by person, f *facts, reject bool, at time.Time) func() {
	if !f.promo.open(at) {
		return nil
	}
	roles, robot := l.roles(by)
	bare := map[string]outcome{}
	for _, r := range f.lasting() {
		bare[r.name] = r.bare
	}
	w := &word{by: by, at: at, reject: reject, roles: roles, robot: robot, outcomes: bare}
	if f.unheard(w) {
		return nil
	}
	// The same again waits for nothing but what may have come since.
	again := slices.ContainsFunc(f.words, func(o *word) bool {
		return o.by.org == by.org && o.reject == reject && !f.discounted(o, bare)
	})
	if again && reject {
		return func() {}
	}
	k := wordKey{f.s, f.promo.attempt, by.org}
	old := l.words[k]
	if reject { // it releases nothing
		return func() {
			if l.words[k] = w; l.judge(f.s, at).closed {
				f.promo.status = "rejected"
			}
		}
	}
	return l.concluding(f.s, robot, at, func() {
		if !again {
			l.words[k] = w
		}
	}, func() { restore(l.words, k, old) })
}

func (l *law) withdrawWord(by person, s subject, at time.Time) func() {
	v := l.judge(s, at)
	if !l.may(by, "release-manager", "scanner", "auditor", "admin") {
		return nil
	}
	if v.overdue {
		return l.settling(v, at)
	}
	if !v.f.promo.open(at) {
		return nil
	}
	w := l.words[wordKey{s, v.f.promo.attempt, by.org}]
	if w == nil || w.by != by && !w.gone && !l.may(by, "admin") {
		return nil
	}
	return func() { w.gone = true }
}

func (l *law) cancel(by person, s subject, attempt int, at time.Time) func() {
	v := l.judge(s, at)
	p := v.f.promo
	switch {
	case !l.may(by, "release-manager", "publisher", "admin"):
		return nil
	case v.overdue:
		return l.settling(v, at)
	case p == nil || p.askedBy(by.org) < 0 || p.asked()[p.askedBy(by.org)] != by && !l.may(by, "admin") || attempt != p.attempt:
		return nil
	case p.status == "withdrawn":
		return func() {}
	case !p.open(at):
		return nil
	}
	asked := p.asked()
	if len(asked) == 1 {
		return func() { p.status = "withdrawn" }
	}
	asked = slices.Delete(asked, p.askedBy(by.org), p.askedBy(by.org)+1)
	return func() { p.requester, p.also = asked[0], asked[1:] }
}
