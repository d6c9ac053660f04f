package model

import (
	"time"
)

func (l *law) grant(by person, name, role string, revoke bool, at time.Time) func() {
	if !l.may(by, "admin") {
		return nil
	}
	who := person{by.org, name}
	old, has := l.grants[who][role]
	if has {
		has = !l.reached(old.by, old.at)
	}
	if _, ever := l.granted[who][role]; revoke && !ever {
		return nil
	}
	if revoke {
		return func() { delete(l.grants[who], role) }
	}
	if has {
		return func() {}
	}
	return func() {
		if l.grants[who] == nil {
			l.grants[who], l.granted[who] = map[string]grant{}, map[string]grant{}
		}
		l.grants[who][role], l.granted[who][role] = grant{by, at}, grant{by, at}
	}
}

func (l *law) takeBack(by person, name string, since, at time.Time) func() {
	if !l.may(by, "admin") || since.After(at) || name == by.name {
		return nil
	}
	who := person{by.org, name}
	if old, gone := l.taken[who]; gone && !since.Before(old.since) {
		return func() {}
	}
	return func() { l.taken[who] = taken{since, at} }
}

func (l *law) hold(by person, image int, lift bool, at time.Time) func() {
	roles := []string{"admin", "release-manager", "scanner"}
	if lift {
		roles = roles[:2]
	}
	if !l.may(by, roles...) {
		return nil
	}
	h := l.holds[image][by.org]
	stands := h != nil && !h.lifted
	switch {
	case lift && !stands:
		return nil
	case !lift && stands:
		return func() {}
	}
	return func() {
		if lift {
			h.lifted, h.at = true, at
			return
		}
		l.put(image, by.org, at)
	}
}

func (l *law) put(image int, org string, at time.Time) {
	if l.holds[image] == nil {
		l.holds[image] = map[string]*held{}
	}
	l.holds[image][org] = &held{at: at, set: at}
}
