package model

import (
	"time"
)

// push is an event. Bytes that hash to the digest are what proves it; what it
// says beside them decides nothing.
type event struct {
	do    string // push, delete, untag
	image int
	tag   string
	bytes bool
	at    time.Time
}

func (l *law) record(by person, repo string, events []event, at time.Time) func() {
	if !l.may(by, "gateway") || l.owner(repo) != by.org {
		return nil
	}
	for _, e := range events {
		if e.at.After(at.Add(clockGrace)) {
			return nil
		}
	}
	return func() {
		for _, e := range events {
			l.event(by.org, repo, e)
		}
	}
}

func (l *law) event(org, repo string, e event) {
	k := place{repo, e.image}
	switch e.do {
	case "push":
		if l.places[k] == nil {
			l.places[k] = &pushed{by: org, at: e.at}
		}
		p := l.places[k]
		p.deleted, p.proven = false, p.proven || e.bytes
		if e.tag != "" {
			l.tags[repo+":"+e.tag] = e.image
		}
	case "delete":
		if p := l.places[k]; p != nil {
			p.deleted = true
		}
	case "untag":
		if _, known := l.tags[repo+":"+e.tag]; known {
			l.tags[repo+":"+e.tag] = -1
		}
	}
}

func (l *law) prove(by person, k place) func() {
	p := l.places[k]
	if !l.may(by, "gateway") || p == nil {
		return nil
	}
	return func() { p.proven = true }
}

func (l *law) witness(by person, k place) func() {
	p := l.places[k]
	if !l.may(by, "gateway") || p == nil || p.deleted {
		return nil
	}
	return func() {
		if l.saw[k] == nil {
			l.saw[k] = map[string]bool{}
		}
		l.saw[k][by.org] = true
	}
}
