package model

import (
	"slices"
	"strings"
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
	yes, _ := l.ballots(p)
	switch {
	case p.status == "withdrawn":
		return func() {}
	case p.status != "open", slices.ContainsFunc(yes, func(o string) bool { return o != by.org }):
		return nil
	}
	return func() { p.status = "withdrawn" }
}

// --- members -------------------------------------------------------------------

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

// --- holds ---------------------------------------------------------------------

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

// --- what registries say ----------------------------------------------------------

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

// --- evidence ----------------------------------------------------------------------

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

// --- waivers ------------------------------------------------------------------------

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

// --- promotions -----------------------------------------------------------------------

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
	case v.f.promo.open(at) || v.f.own != nil:
		return func() {}
	}
	_, robot := l.roles(by)
	old := v.f.promo
	opened := &promotion{1, by, at, "open"}
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
	case p == nil || p.requester.org != by.org || p.requester != by && !l.may(by, "admin") || attempt != p.attempt:
		return nil
	case p.status == "withdrawn":
		return func() {}
	case !p.open(at):
		return nil
	}
	return func() { p.status = "withdrawn" }
}

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
