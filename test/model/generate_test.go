package model

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// play is the cast of one sequence and its dice.
type play struct {
	*rand.Rand
	w      *world
	start  int
	rogues []string // organisations that obey nothing
	rogue  person   // one that obeys nothing, of an organisation that does
	liar   bool     // whoever may push pushes anything
	steps  int
	done   int
	repos  []string
	theme  int
	goal   subject // what is being brought to production
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func newPlay(seed uint64, with *planted) (*play, error) {
	r := rand.New(rand.NewPCG(seed, 9))
	p := &play{Rand: r, start: r.IntN(7), steps: 18 + r.IntN(25), repos: []string{oneRepo, twoRepo}}
	if p.theme = r.IntN(8); p.theme == 2 || p.theme == 3 { // where something has to stay true
		p.start = pick(r, 1, 3, 4, 6)
	}
	orgs := organisations()
	switch r.IntN(8) {
	case 0, 1, 2:
		p.rogues = []string{pick(r, orgs...)}
	case 3, 4:
		p.rogues = []string{pick(r, orgs...), pick(r, orgs...)}
	case 5:
		p.rogue = person{pick(r, orgs...), pick(r, "manager", "scanner", "admin2", "gateway")}
	case 6:
		p.liar = true
	}
	var err error
	p.w, err = newWorld(p.start, with)
	return p, err
}

func (p *play) isRogue(who person) bool { return slices.Contains(p.rogues, who.org) || who == p.rogue }

// next is the next act: of somebody who obeys, or not.
func (p *play) next() act {
	p.done++
	a := p.some()
	a.Wait = p.wait()
	a.Still = p.IntN(25) == 0 || a.Wait < time.Minute && p.IntN(8) == 0
	if !p.isRogue(a.By) {
		return a
	}
	switch p.IntN(10) {
	case 0, 1:
		a.Skew = time.Duration(p.IntN(241)-120) * time.Second
	case 2, 3:
		if a.Do != "commit" {
			a.Drawer = 1 + p.IntN(3)
		}
	case 4:
		a.Without = pick(p.Rand, organisations()...)
	}
	return a
}

func (p *play) wait() time.Duration {
	if p.theme == 2 && p.IntN(3) == 0 {
		return time.Duration(8+p.IntN(30)) * time.Minute
	}
	if p.theme == 7 && len(p.w.drawers) > 0 && p.IntN(4) > 0 { // before the clock moves
		return time.Duration(1+p.IntN(4)) * time.Second
	}
	switch n := p.IntN(40); {
	case n < 24:
		return time.Duration(1+p.IntN(15)) * time.Second
	case n < 33:
		return time.Duration(20+p.IntN(220)) * time.Second
	case n < 37:
		return time.Duration(5+p.IntN(40)) * time.Minute
	case n < 39:
		return time.Duration(1+p.IntN(9)) * time.Hour
	}
	return time.Duration(1+p.IntN(40)) * 24 * time.Hour
}

// image is one of few, so that acts meet.
func (p *play) image() int {
	switch n := p.IntN(20); {
	case n < 9:
		return p.IntN(3)
	case n < 12:
		return 3 + p.IntN(2)
	case n < 18:
		return 5 + p.IntN(3)
	case n < 19:
		return 8 + p.IntN(2)
	}
	return pick(p.Rand, swarmFrom, chainFrom+chainSize-1, chainFrom+chainSize-2)
}

func (p *play) org() string {
	if len(p.rogues) > 0 && p.IntN(3) == 0 {
		return pick(p.Rand, p.rogues...)
	}
	return pick(p.Rand, organisations()...)
}

// somebody holds a role, mostly; who obeys nothing may be anybody of the organisation.
func (p *play) somebody(role string) person {
	if p.rogue.org != "" && p.IntN(5) == 0 {
		return p.rogue
	}
	org := p.org()
	names := map[string][]string{"admin": {"admin", "admin", "admin2"}, "manager": {"manager", "manager", "deputy"}, "scanner": {"scanner", "scanner", "scanner2"}}[role]
	if names == nil {
		names = []string{role}
	}
	who := person{org, pick(p.Rand, names...)}
	if p.IntN(25) == 0 {
		who.name = pick(p.Rand, "mole", "admin", "auditor", "publisher", "gateway")
	}
	return who
}

func (p *play) lies() bool { return p.IntN(4) == 0 }

// promotions that are open, released.
func (p *play) live(status string) (subject, bool) {
	var all []subject
	for s, x := range p.w.promotions {
		if x.status == status {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, pickOrder)
	return nth(all, p.IntN(1<<20))
}

// released is a subject that was, and is no more the current one where past is said.
func (p *play) released(past bool) (subject, bool) {
	var all []subject
	for s := range p.w.releases {
		if !past || p.w.currents[stageKey{s.repo, s.stage}].image != s.image {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, pickOrder)
	return nth(all, p.IntN(1<<20))
}

func pickOrder(a, b subject) int {
	x, y := fmt.Sprint(a), fmt.Sprint(b)
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

func (p *play) subject() subject {
	return subject{pick(p.Rand, p.repos...), p.image(), pick(p.Rand, staging, staging, production)}
}

// recorded is an image that stands in a repository.
func (p *play) recorded() (subject, bool) {
	var all []place
	for k, x := range p.w.places {
		if !x.deleted && k.image < swarmFrom {
			all = append(all, k)
		}
	}
	slices.SortFunc(all, func(a, b place) int { return pickOrder(subject{a.repo, a.image, ""}, subject{b.repo, b.image, ""}) })
	k, ok := nth(all, p.IntN(1<<20))
	return subject{k.repo, k.image, pick(p.Rand, staging, staging, production)}, ok
}

func about(by person, do string, s subject) act {
	return act{By: by, Do: do, Repo: s.repo, Image: s.image, Stage: s.stage}
}

func (p *play) some() act {
	if p.theme == 4 && p.done <= 4 {
		a, _ := p.pushes(subject{pick(p.Rand, p.repos...), 0, production})
		return a
	}
	if p.done <= 2 {
		return p.push(4 + 5*p.IntN(2))
	}
	s, ok := p.recorded()
	if !ok || p.IntN(12) == 0 {
		s = p.subject()
	}
	if p.IntN(4) == 0 || p.theme == 7 && p.IntN(3) == 0 {
		if a, ok := p.themed(s); ok {
			return a
		}
	}
	switch n := p.IntN(20); {
	case n < 9:
		if p.goal.repo == "" || p.IntN(9) == 0 {
			p.goal = subject{s.repo, s.image, production}
		}
		if a, ok := p.helpful(p.goal); ok {
			return a
		}
	case n < 11 && slices.ContainsFunc(p.w.proposals, func(o *proposal) bool { return o.status == "open" && o.id != "" }):
		return p.propose(s)
	}
	if p.IntN(3) == 0 { // what is under way goes on
		if open, ok := p.live("open"); ok {
			return p.word(open)
		}
		if done, ok := p.live("released"); ok && s.stage == production && p.IntN(2) == 0 {
			s.repo, s.image = done.repo, done.image
		}
	}
	switch p.IntN(34) {
	case 0, 1, 2:
		return p.push(-1)
	case 3, 4:
		return about(p.somebody(pick(p.Rand, "manager", "publisher")), "promotion:Request", s)
	case 5, 6, 7, 8, 9, 10, 11:
		return p.after(s)
	case 12, 13, 14:
		return p.evidence(s)
	case 15, 16, 17:
		return p.waiver(s)
	case 18, 19:
		return p.quarantine(s)
	case 20, 21:
		return p.propose(s)
	case 22, 23, 24, 25:
		return p.member()
	case 26:
		return act{By: p.somebody("gateway"), Do: "record:Witness", Repo: s.repo, Image: s.image}
	case 27:
		a := act{By: p.somebody("gateway"), Do: "record:Manifest", Repo: s.repo, Image: s.image}
		if p.lies() {
			a.Lie = "another's bytes"
		}
		return a
	case 28:
		return act{By: p.somebody("gateway"), Do: "clock:Tick"}
	case 29, 30:
		return act{By: person{platform, pick(p.Rand, "manager", "scanner", "admin")}, Do: "context:Set", Text: pick(p.Rand, "true", "false", "false", "null")}
	}
	return act{By: p.somebody("manager"), Do: "commit", Drawer: 1 + p.IntN(3)}
}

// themed is what a sequence has more of than others.
func (p *play) themed(s subject) (act, bool) {
	switch p.theme {
	case 0: // theft: a role, its use, and taking back
		org := p.org()
		name := pick(p.Rand, "mole", "mole", "deputy")
		switch p.IntN(4) {
		case 0:
			return act{By: person{org, "admin"}, Do: "member:TakeBack", Text: pick(p.Rand, "admin2", "admin2", "deputy", "manager"), N: p.IntN(1200)}, true
		case 1:
			return act{By: person{org, pick(p.Rand, "admin2", "admin")}, Do: "member:Grant", Text: name, Lie: "release-manager"}, true
		}
		if open, ok := p.live("open"); ok {
			return about(person{org, name}, "promotion:Approve", open), true
		}
	case 1: // holds while something is under way
		if open, ok := p.live("open"); ok {
			return act{By: person{p.org(), "manager"}, Do: pick(p.Rand, "quarantine:Set", "quarantine:Lift", "quarantine:Lift"), Image: open.image}, true
		}
	case 2: // back to what was released, over and over
		past, ok := p.released(true)
		switch {
		case ok && p.IntN(3) > 0:
			return about(person{p.org(), "manager"}, "release:Release", past), true
		case ok && p.IntN(2) == 0:
			return act{By: person{pick(p.Rand, security, audit), "scanner"}, Do: "evidence:Submit", Repo: past.repo, Image: past.image, N: 1, Text: fmt.Sprint("scan ", p.done)}, true
		}
		if done, ok := p.released(false); ok { // to have two
			p.goal = subject{done.repo, p.IntN(8), production}
		}
	case 3: // scans of what is released
		if done, ok := p.released(false); ok {
			return p.evidence(done), true
		}
	case 4: // what registries say
		return p.pushes(s)
	case 5:
		return p.propose(s), true
	case 6:
		return p.waiver(s), true
	case 7: // endorsements in drawers, while what they rest on changes
		for n := 1; n <= 3; n++ {
			k, ok := p.w.drawers[n]
			if !ok || k.a.Stage == "" || k.a.Image < 0 || p.IntN(3) == 0 {
				continue
			}
			about := subject{k.a.Repo, k.a.Image, k.a.Stage}
			switch p.IntN(3) {
			case 0:
				return act{By: person{p.org(), "manager"}, Do: "quarantine:Set", Image: about.image}, true
			case 1:
				if p.w.promotions[about] != nil {
					return p.unsay(about), true
				}
			}
			return act{By: k.a.By, Do: "commit", Drawer: n}, true
		}
		if p.IntN(4) == 0 {
			return act{By: p.somebody("manager"), Do: "commit", Drawer: 1 + p.IntN(3)}, true
		}
		if open, ok := p.live("open"); ok && p.IntN(3) == 0 {
			switch p.IntN(3) {
			case 0:
				return act{By: person{p.org(), "manager"}, Do: pick(p.Rand, "quarantine:Set", "quarantine:Lift"), Image: open.image}, true
			default:
				return p.unsay(open), true
			}
		}
		if a, ok := p.helpful(p.goal); ok && (a.Do == "promotion:Approve" || p.IntN(3) == 0 && a.Do != "record:Segment") {
			a.Drawer = 1 + p.IntN(3)
			return a, true
		}
	}
	return act{}, false
}

// pushes are indexes that come and go over what nobody pushed, and evidence about it.
func (p *play) pushes(s subject) (act, bool) {
	by := person{p.w.owner(s.repo), "gateway"}
	a := act{By: by, Do: "record:Segment", Repo: s.repo}
	switch p.IntN(7) {
	case 0:
		a.Image, a.N = pick(p.Rand, 5, 6, 7), 1
	case 1:
		a.Image = pick(p.Rand, 5, 6, 7)
	case 2:
		a.N = pick(p.Rand, 5, 6)
	case 3:
		a.Image, a.N = pick(p.Rand, 0, 1, 5, 6), 2
	case 4:
		a.Do, a.By.name, a.Image = "record:Manifest", "gateway", pick(p.Rand, 5, 6, 7)
	default:
		a = p.evidence(subject{s.repo, pick(p.Rand, 0, 1, 2), production})
	}
	return a, true
}
