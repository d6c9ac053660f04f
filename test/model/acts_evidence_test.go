package model

import (
	"slices"
	"time"
)

// known: the image was pushed, or nothing is known of itself and an index that
// lists it was once.
func (l *law) known(k place) bool {
	if p := l.places[k]; p != nil {
		return !p.deleted
	}
	for index, it := range corpus() {
		if p := l.places[place{k.repo, index}]; p != nil && p.proven && slices.Contains(it.children, k.image) {
			return true
		}
	}
	return false
}

func (l *law) submit(by person, k place, critical int, made, at time.Time, text string) func(id string) {
	if !l.may(by, "scanner", "publisher", "release-manager", "auditor", "admin", "gateway") || !l.known(k) {
		return nil
	}
	roles, _ := l.roles(by)
	roles = slices.DeleteFunc(roles, func(r string) bool { return r == "gateway" || r == robotRole })
	if len(roles) == 0 {
		return nil // a gateway vouches for nothing
	}
	return func(id string) {
		if slices.ContainsFunc(l.pieces, func(p *piece) bool { return p.by == by && p.image == k.image && p.text == text }) {
			return
		}
		p := &piece{id: id, image: k.image, by: by, roles: roles, at: at, recorded: at, critical: critical, text: text}
		if !made.IsZero() && made.Before(at) {
			p.at = made
		}
		l.pieces = append(l.pieces, p)
	}
}

func (l *law) takeBackPiece(by person, p *piece, at time.Time) func() {
	if !l.may(by, "scanner", "publisher", "release-manager", "auditor", "admin") || p.by.org != by.org || p.by != by && !l.may(by, "admin") && p.withdrawn.IsZero() {
		return nil
	}
	return func() {
		if p.withdrawn.IsZero() {
			p.withdrawn = at
		}
	}
}

func (l *law) tell(by person, name string, value *bool, at time.Time) func() {
	if !l.may(by, "admin", "release-manager", "scanner", "gateway") {
		return nil
	}
	k := by.org + " " + name
	return func() {
		history := l.context[k]
		switch {
		case value == nil:
			delete(l.context, k)
		case len(history) > 0 && history[len(history)-1].value == *value:
		default:
			l.context[k] = append(history, told{at, *value})
		}
	}
}

func (l *law) askWaiver(by person, w waiver, at time.Time) func(id string) {
	p := l.governing(w.repo)
	st := p.stage(w.stage)
	if !l.may(by, "release-manager", "admin") || st == nil || !slices.Contains(st.rules(), w.rule) || p.waivers == nil || !w.until.After(at) || w.until.After(at.Add(p.waivers.max)) {
		return nil
	}
	return func(id string) {
		for _, o := range l.waivers {
			if !o.revoked && o.repo == w.repo && o.stage == w.stage && o.rule == w.rule && o.image == w.image && o.reason == w.reason && o.until.Equal(w.until) && o.by == by {
				return
			}
		}
		w.id, w.by, w.at, w.agreed = id, by, at, map[string]agreement{by.org: {by, at}}
		l.waivers = append(l.waivers, &w)
	}
}

func (l *law) agreeWaiver(by person, w *waiver, at time.Time) func() {
	if !l.may(by, "release-manager", "admin") || w.revoked || !w.until.After(at) {
		return nil
	}
	return func() {
		if a, has := w.agreed[by.org]; !has || l.reached(a.by, a.at) {
			w.agreed[by.org] = agreement{by, at}
		}
	}
}

func (l *law) revokeWaiver(by person, w *waiver, at time.Time) func() {
	_, agreed := w.agreed[by.org]
	if !l.may(by, "release-manager", "admin") || w.by.org != by.org && !agreed || !w.until.After(at) {
		return nil
	}
	return func() { w.revoked = true }
}
