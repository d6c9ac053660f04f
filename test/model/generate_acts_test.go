package model

import (
	"fmt"
	"slices"
	"strings"
)

// word is about a promotion that is open.
func (p *play) word(s subject) act {
	switch p.IntN(16) {
	case 0:
		return about(p.somebody("manager"), "promotion:Reject", s)
	case 1, 2:
		return p.unsay(s)
	case 3, 4:
		return about(p.somebody("gateway"), "release:Auto", s)
	case 5:
		return p.evidence(s)
	case 6:
		return about(p.somebody("manager"), "release:Release", s)
	}
	a := about(p.somebody(pick(p.Rand, "manager", "manager", "manager", "manager", "auditor", "gateway")), "promotion:Approve", s)
	a.N = p.IntN(8)
	if p.lies() || p.isRogue(a.By) && p.IntN(2) == 0 {
		a.Lie = pick(p.Rand, "saw before", "saw before", "attempt", "hash", "set", "version")
	}
	return a
}

// unsay takes a word back, or a request: mostly by who may.
func (p *play) unsay(s subject) act {
	x := p.w.promotions[s]
	if p.IntN(4) == 0 {
		by := p.somebody(pick(p.Rand, "manager", "publisher"))
		if p.IntN(2) == 0 {
			by = x.requester
		}
		return about(by, "promotion:Cancel", s)
	}
	by := p.somebody("manager")
	for _, org := range organisations() {
		if w := p.w.words[wordKey{s, x.attempt, org}]; w != nil && p.IntN(3) > 0 {
			by = w.by
			if p.IntN(3) == 0 {
				by.name = "admin"
			}
		}
	}
	return about(by, "promotion:Withdraw", s)
}

// after is about what may have been released.
func (p *play) after(s subject) act {
	if done, ok := p.released(p.IntN(2) == 0); ok && p.IntN(3) > 0 {
		s = done
	}
	do := pick(p.Rand, "release:Release", "release:Release", "release:Release", "release:BreakGlass", "release:BreakGlass", "release:Review", "release:Settle", "release:Resume", "release:Auto")
	by := p.somebody(pick(p.Rand, "manager", "manager", "manager", "auditor"))
	if do == "release:Auto" {
		by.name = "gateway"
	}
	if do == "release:BreakGlass" {
		s.stage = production
	}
	a := about(by, do, s)
	if do == "release:Review" {
		a.Stage = production
		if p.lies() {
			a.Lie = "hash"
		}
	}
	return a
}

func (p *play) push(n int) act {
	by := person{vendor, pick(p.Rand, "gateway", "gateway", "reserve-gateway")}
	if p.IntN(8) == 0 {
		by = p.somebody("gateway")
	}
	if owner := p.w.owner(twoRepo); owner != "" && p.IntN(3) == 0 {
		by.org = owner
	}
	a := act{By: by, Do: "record:Segment", Repo: pick(p.Rand, p.repos...), Image: p.image(), N: n, Text: pick(p.Rand, "", "1.0", "1.0", "2.0")}
	if n < 0 {
		a.N = pick(p.Rand, 0, 0, 0, 1, 2, 2, 3, 4, 4, 8)
		if p.liar || p.isRogue(by) {
			a.N = pick(p.Rand, 0, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9)
		}
		if p.liar && p.lies() || p.isRogue(by) && p.lies() {
			a.Lie = pick(p.Rand, "children", "children", "future", "old")
		}
	}
	return a
}

func (p *play) evidence(s subject) act {
	if p.IntN(6) == 0 {
		a := act{By: p.somebody(pick(p.Rand, "scanner", "admin")), Do: "evidence:Withdraw", N: p.IntN(8)}
		if p.IntN(6) == 0 {
			a.Lie = "another's"
		}
		return a
	}
	bad := pick(p.Rand, 0, 0, 0, 1)
	if done, ok := p.released(false); ok && p.IntN(2) == 0 {
		s, bad = done, p.IntN(2)
	}
	by := p.somebody(pick(p.Rand, "scanner", "scanner", "scanner", "scanner", "gateway"))
	if p.IntN(2) == 0 {
		by.org = pick(p.Rand, security, audit)
	}
	a := act{By: by, Do: "evidence:Submit", Repo: s.repo, Image: s.image, N: bad, Text: fmt.Sprint("scan ", p.done)}
	if p.IntN(3) == 0 {
		a.Lie = pick(p.Rand, "made before", "made later")
	}
	if p.IntN(8) == 0 {
		a.Text = "scan again"
	}
	return a
}

func (p *play) waiver(s subject) act {
	by := p.somebody(pick(p.Rand, "manager", "admin"))
	if len(p.w.waivers) > 0 && p.IntN(3) > 0 {
		return act{By: by, Do: pick(p.Rand, "waiver:Approve", "waiver:Approve", "waiver:Approve", "waiver:Revoke"), N: p.IntN(4)}
	}
	a := act{By: by, Do: "waiver:Request", Repo: s.repo, Image: s.image, Stage: production, N: p.IntN(6), Text: pick(p.Rand, "late", "urgent"), Lie: pick(p.Rand, "", "", "long", "short", "too long")}
	if st := p.w.governing(s.repo).stage(production); st != nil && p.IntN(4) > 0 {
		if rule, ok := nth(st.rules(), p.IntN(8)); ok {
			a.N = slices.Index(waivable(), rule)
		}
	} else if p.IntN(4) == 0 {
		a.N = 6 + p.IntN(2)
	}
	if p.IntN(2) == 0 {
		a.Image = -1
	}
	return a
}

func (p *play) quarantine(s subject) act {
	for range 3 {
		if p.IntN(2) == 0 {
			break
		}
		for _, image := range []int{s.image, 0, 1, 2, 5, 6} {
			for _, org := range organisations() {
				if h := p.w.holds[image][org]; h != nil && !h.lifted && p.IntN(3) == 0 {
					if p.IntN(2) == 0 {
						return act{By: p.somebody("admin"), Do: "proposal:Open", Text: "lift", Image: image, Lie: org}
					}
					return act{By: person{org, "manager"}, Do: "quarantine:Lift", Image: image}
				}
			}
		}
	}
	if p.IntN(6) == 0 {
		return act{By: p.somebody("manager"), Do: "quarantine:Lift", Image: s.image}
	}
	return act{By: p.somebody(pick(p.Rand, "scanner", "manager", "admin")), Do: "quarantine:Set", Image: s.image}
}

func (p *play) propose(s subject) act {
	by := p.somebody("admin")
	if p.IntN(3) > 0 {
		a := act{By: by, Do: "proposal:Vote", N: p.IntN(4), Text: pick(p.Rand, "yes", "yes", "yes", "no")}
		switch {
		case p.lies():
			a.Lie = pick(p.Rand, "hash", "hash", "closed")
		case p.IntN(8) == 0:
			a.Do = "proposal:Withdraw"
		}
		return a
	}
	switch p.IntN(8) {
	case 0, 1:
		return act{By: by, Do: "proposal:Open", Text: "registry", Repo: pick(p.Rand, twoRepo, "team"), Lie: pick(p.Rand, organisations()...)}
	case 2:
		return act{By: by, Do: "proposal:Open", Text: "lift", Image: s.image, Lie: p.org()}
	}
	return act{By: by, Do: "proposal:Open", Text: "policy", N: p.IntN(len(texts()))}
}

// member: those who obey take nobody back but whom they suspect, and keep an
// admin, who can grant.
func (p *play) member() act {
	by := p.somebody("admin")
	if !isAdmin(by) && !p.isRogue(by) {
		by.name = "admin"
	}
	name := pick(p.Rand, "deputy", "scanner2", "mole", "manager", "scanner", "publisher")
	if p.isRogue(by) {
		name = pick(p.Rand, "deputy", "scanner2", "mole", "manager", by.name, "admin2")
	}
	if done, ok := p.released(false); ok && p.IntN(3) == 0 { // whoever a release rests on
		rel := p.w.releases[done]
		var names []person
		for _, a := range rel.rests {
			names = append(names, a.by)
		}
		if rel.debt != nil {
			names = append(names, rel.debt.by)
		}
		if who, ok := nth(names, p.IntN(8)); ok && !strings.HasPrefix(who.name, "reserve") && (!isAdmin(who) || who.name == "admin2") {
			return act{By: person{who.org, "admin"}, Do: "member:TakeBack", Text: who.name, N: p.IntN(1200)}
		}
	}
	if p.rogue.org == by.org && by != p.rogue && p.IntN(2) == 0 {
		name = p.rogue.name
	}
	if p.IntN(3) == 0 && (name != "admin" || p.isRogue(by)) {
		return act{By: by, Do: "member:TakeBack", Text: name, N: p.IntN(1200)}
	}
	return act{By: by, Do: pick(p.Rand, "member:Grant", "member:Grant", "member:Revoke"), Text: name, Lie: pick(p.Rand, "release-manager", "release-manager", "scanner", "gateway", "robot", "auditor", "admin")}
}

// helpful is what brings a subject on, by somebody who may.
func (p *play) helpful(s subject) (act, bool) {
	v := p.w.judge(s, p.w.now)
	if v.answer == "unknown" && v.f.p != nil {
		return act{By: person{p.w.owner(s.repo), "gateway"}, Do: "record:Segment", Repo: s.repo, Image: s.image, N: 4, Text: "1.0"}, true
	}
	if v.f.own != nil || len(v.f.holds) > 0 || v.f.stage == nil {
		return act{}, false
	}
	var open []string
	for _, r := range v.rules {
		if r.is.bad() > 0 {
			open = append(open, r.name)
		}
	}
	st := v.f.stage
	if slices.Contains(open, "from") {
		return p.helpful(subject{s.repo, s.image, st.from})
	}
	if st.glass != nil && p.IntN(6) == 0 && v.f.promo.open(p.w.now) {
		return about(person{pick(p.Rand, st.glass.by...), "manager"}, "release:BreakGlass", s), true
	}
	if slices.Contains(open, "promotion") {
		return about(person{pick(p.Rand, organisations()...), pick(p.Rand, "manager", "publisher")}, "promotion:Request", s), true
	}
	rule, ok := nth(open, p.IntN(8))
	if !ok {
		if p.IntN(2) == 0 {
			return about(person{p.org(), "gateway"}, "release:Auto", s), true
		}
		return about(p.somebody("manager"), "release:Release", s), true
	}
	if p.IntN(7) == 0 && slices.Contains(st.rules(), rule) && v.f.p.waivers != nil {
		for _, x := range p.w.waivers {
			if x.rule == rule && !x.revoked && x.until.After(p.w.now) {
				return act{By: person{pick(p.Rand, organisations()...), "manager"}, Do: "waiver:Approve", N: slices.Index(p.w.waivers, x)}, true
			}
		}
		return act{By: p.somebody("manager"), Do: "waiver:Request", Repo: s.repo, Image: s.image, Stage: s.stage, N: slices.Index(waivable(), rule), Text: "late", Lie: pick(p.Rand, "", "short", "long")}, true
	}
	switch rule {
	case "approvals":
		org := pick(p.Rand, organisations()...)
		for _, o := range append(slices.Clone(st.orgs), organisations()...) {
			if !slices.ContainsFunc(v.counted, func(a agreement) bool { return a.by.org == o }) && !(st.excludes("pusher") && v.f.by == o) {
				org = o
				break
			}
		}
		return about(person{org, pick(p.Rand, "deputy", "manager", "reserve")}, "promotion:Approve", s), true
	case "evidence/scan":
		return act{By: person{pick(p.Rand, st.evidence[0].signers...), pick(p.Rand, "scanner", "scanner2")}, Do: "evidence:Submit", Repo: s.repo, Image: s.image, Text: fmt.Sprint("scan ", p.done)}, true
	case "condition/calm":
		return act{By: person{platform, "scanner"}, Do: "context:Set", Text: "false"}, true
	case "witnesses":
		return act{By: person{pick(p.Rand, st.witnesses.orgs...), "gateway"}, Do: "record:Witness", Repo: s.repo, Image: s.image}, true
	}
	return act{}, false
}
