package model

import (
	"slices"
	"time"
)

// proposal is a change that organisations vote on.
type proposal struct {
	id, hash string // as the ledger names it, and its text
	kind     string // policy, registry, lift
	name     string
	body     string // by which the model tells changes apart
	base     int
	round    int
	status   string
	by       person
	ballots  map[string]ballot
	policy   *policy
	repo     string // namespace of a registry
	to       string
	image    int
}

type ballot struct {
	yes bool
	by  person
	at  time.Time
}

// base is the version of what a change changes.
func (l *law) base(p *proposal) int {
	switch p.kind {
	case "policy":
		if q := l.policies[p.name]; q != nil {
			return q.version
		}
		return 0
	case "registry":
		return l.changes["registry"]
	}
	if h := l.holds[p.image][p.to]; h != nil && !h.lifted {
		return int(h.at.Unix())
	}
	return 0
}

// possible tells whether a change can be made now.
func (l *law) possible(p *proposal) bool {
	switch p.kind {
	case "registry":
		return slices.Contains(l.members, p.to) && l.owners[p.repo] != p.to
	case "lift":
		h := l.holds[p.image][p.to]
		return h != nil && !h.lifted
	}
	return true
}

// last is the newest proposal of a change to a version.
func (l *law) last(p *proposal, base int) (found *proposal) {
	for _, o := range l.proposals {
		if o.kind == p.kind && o.name == p.name && o.body == p.body && o.base == base && (found == nil || o.round > found.round) {
			found = o
		}
	}
	return found
}

func (l *law) ballots(p *proposal) (yes, no []string) {
	for org, b := range p.ballots {
		switch {
		case l.reached(b.by, b.at) || !slices.Contains(l.members, org):
		case b.yes:
			yes = append(yes, org)
		default:
			no = append(no, org)
		}
	}
	return yes, no
}

// open proposes a change. nil means that it is refused; what it does is done by
// calling the answer.
func (l *law) open(by person, p proposal, at time.Time) func() *proposal {
	if !l.may(by, "admin") {
		return nil
	}
	base := l.base(&p)
	if base > 0 {
		if o := l.last(&p, base-1); o != nil && o.status == "accepted" {
			return func() *proposal { return o } // it is in force by the last change
		}
	}
	if !l.possible(&p) {
		return nil
	}
	old := l.last(&p, base)
	if old != nil && old.status == "open" {
		return l.ballot(by, old, true, at)
	}
	return func() *proposal {
		p.base, p.round, p.status, p.by, p.ballots = base, 1, "open", by, map[string]ballot{}
		if old != nil {
			p.round = old.round + 1
		}
		l.proposals = append(l.proposals, &p)
		if done := l.ballot(by, &p, true, at); done != nil {
			done()
		}
		return &p
	}
}

// ballot casts one, and brings into force what enough have agreed to.
func (l *law) ballot(by person, p *proposal, yes bool, at time.Time) func() *proposal {
	if !l.may(by, "admin") {
		return nil
	}
	b, cast := p.ballots[by.org]
	counts := cast && !l.reached(b.by, b.at)
	if p.status != "open" {
		if counts && b.yes == yes {
			return func() *proposal { return p }
		}
		return nil
	}
	if l.base(p) != p.base {
		return nil
	}
	if counts && b.yes == yes {
		return func() *proposal { return p }
	}
	would, not := l.ballots(p)
	for _, list := range []*[]string{&would, &not} {
		*list = slices.DeleteFunc(*list, func(o string) bool { return o == by.org })
	}
	if yes {
		would = append(would, by.org)
	} else {
		not = append(not, by.org)
	}
	if len(would) >= majority && !l.possible(p) {
		return nil
	}
	return func() *proposal {
		p.ballots[by.org] = ballot{yes, by, at}
		switch {
		case len(would) >= majority:
			p.status = "accepted"
			l.enact(p, at)
		case len(l.members)-len(not) < majority:
			p.status = "rejected"
		}
		return p
	}
}

func (l *law) enact(p *proposal, at time.Time) {
	switch p.kind {
	case "policy":
		q := *p.policy
		q.version = p.base + 1
		l.policies[q.name] = &q
	case "registry":
		l.owners[p.repo] = p.to
		l.changes["registry"]++
	case "lift":
		h := l.holds[p.image][p.to]
		h.lifted, h.at = true, at
	}
}

func (l *law) withdrawProposal(by person, p *proposal) func() {
	if !l.may(by, "admin") || p.by.org != by.org {
		return nil
	}
	switch p.status {
	case "withdrawn":
		return func() {}
	case "open":
	default:
		return nil
	}
	return func() { p.status = "withdrawn" }
}
