package model

import (
	"slices"
	"strings"
	"time"
)

// releasing is release:Release: a refusal is an answer, and no error.
func (l *law) releasing(by person, s subject, at time.Time) func() {
	v := l.judge(s, at)
	_, robot := l.roles(by)
	f := v.f
	switch {
	case !l.may(by, "release-manager"):
		return nil
	case v.overdue:
		return l.settling(v, at)
	case f.own != nil && v.answer == "allowed" && f.isCurrent():
		return func() {}
	case f.own != nil && v.answer == "allowed" && f.via:
		return nil
	case f.own != nil && v.answer == "allowed":
		return l.releaser(v, false, true, f.own.debt, at)
	case v.releasable && f.promo.open(at):
		return l.releaser(v, robot, false, nil, at)
	}
	return func() {}
}

// isCurrent: the release that the image has is the stage's current one.
func (f *facts) isCurrent() bool {
	image := f.s.image
	if f.via {
		image = f.l.carriers[f.s]
	}
	c, ok := f.l.currents[stageKey{f.s.repo, f.s.stage}]
	return ok && c.image == image
}

func (s *stage) names() (orgs []string) {
	orgs = slices.Clone(s.orgs)
	for _, e := range s.evidence {
		orgs = append(orgs, e.signers...)
	}
	if s.witnesses != nil {
		orgs = append(orgs, s.witnesses.orgs...)
	}
	return orgs
}

func (l *law) auto(by person, s subject, at time.Time) func() {
	v := l.judge(s, at)
	f := v.f
	switch {
	case !l.may(by, "gateway"):
		return nil
	case v.overdue:
		return l.settling(v, at)
	case !promotable(v):
		return nil
	}
	if orgs := f.stage.names(); len(orgs) > 0 && !slices.Contains(orgs, by.org) {
		return nil
	}
	switch {
	case f.own != nil:
		return func() {}
	case l.currents[stageKey{s.repo, s.stage}].pinned, !f.promo.open(at), !v.releasable:
		return nil
	}
	return l.releaser(v, true, false, nil, at)
}

func (l *law) resume(by person, k stageKey) func() {
	c, ok := l.currents[k]
	if !l.may(by, "release-manager", "admin") || !ok {
		return nil
	}
	return func() { c.pinned = false; l.currents[k] = c }
}

func (l *law) breakGlass(by person, s subject, at time.Time) func() {
	v := l.judge(s, at)
	f := v.f
	switch {
	case !l.may(by, "release-manager", "scanner", "publisher", "auditor", "admin"):
		return nil
	case v.overdue:
		return l.settling(v, at)
	case !promotable(v):
		return func() {}
	case f.own != nil && v.answer == "allowed" && f.isCurrent():
		return func() {}
	case f.own != nil:
		return nil
	}
	roles, robot := l.roles(by)
	manager := slices.Contains(roles, "release-manager")
	if v.releasable && f.promo.open(at) && manager {
		return l.releaser(v, robot, false, nil, at)
	}
	g := f.stage.glass
	if g == nil || !slices.Contains(g.by, by.org) || !manager {
		return func() {}
	}
	var without []string
	for _, r := range v.rules {
		switch {
		case r.name == "promotion" || r.is.bad() == 0:
		case slices.Contains(g.without, r.name):
			without = append(without, r.name)
		default:
			return func() {}
		}
	}
	if len(without) == 0 {
		return func() {}
	}
	return l.releaser(v, false, false, &debt{by: by, at: at, due: at.Add(g.review), without: without}, at)
}

func (l *law) review(by person, s subject, hash string, at time.Time) func() {
	v := l.judge(s, at)
	f := v.f
	if !l.may(by, "release-manager", "admin", "auditor") || f.own == nil || f.own.debt == nil || f.via || f.own.debt.by.org == by.org {
		return nil
	}
	if f.stage != nil && f.stage.glass != nil && f.stage.glass.who != nil && !slices.Contains(f.stage.glass.who, by.org) {
		return nil
	}
	if hash != f.own.hash {
		return nil
	}
	settled := l.settling(v, at)
	return func() {
		if l.paid(f.own.debt) {
			return
		}
		if settled != nil {
			settled()
		}
		f.own.debt.reviewed = &agreement{by, at}
	}
}

func (l *law) settle(by person, s subject, at time.Time) func() {
	if !l.may(by, roleNames()...) {
		return nil
	}
	if done := l.settling(l.judge(s, at), at); done != nil {
		return done
	}
	return func() {}
}

func (l *law) tick(by person, at time.Time) func() {
	if !l.may(by, "gateway") {
		return nil
	}
	return func() {
		to := at.Truncate(time.Minute)
		if !to.After(l.clock) {
			return
		}
		if to.Sub(l.clock) > tick {
			l.gaps[l.ticks] = to
		}
		l.clock, l.ticks = to, l.ticks+1
	}
}

func isAdmin(p person) bool { return strings.HasPrefix(p.name, "admin") }
