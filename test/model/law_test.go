package model

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	vendor, security, platform, audit = "VendorMSP", "SecurityMSP", "PlatformMSP", "AuditMSP"

	clockGrace   = 2 * time.Minute
	tick         = time.Minute
	promotionEnd = 30 * 24 * time.Hour
	majority     = 3
)

func organisations() []string { return []string{audit, platform, security, vendor} }

type person struct{ org, name string }

func (p person) String() string { return p.name + "@" + p.org }

// MarshalText implements encoding.TextMarshaler.
func (p person) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *person) UnmarshalText(b []byte) error {
	p.name, p.org, _ = strings.Cut(string(b), "@")
	return nil
}

// subject is what a promotion is about. Images are numbers of the corpus.
type subject struct {
	repo  string
	image int
	stage string
}

type place struct {
	repo  string
	image int
}

type outcome string

const (
	satisfied outcome = "satisfied"
	unmet     outcome = "unmet"
	violated  outcome = "violated"
	waived    outcome = "waived"
)

func (o outcome) bad() int {
	switch o {
	case satisfied, waived:
		return 0
	case unmet:
		return 1
	}
	return 2
}

type grant struct {
	by person
	at time.Time
}

type taken struct{ since, at time.Time }

type pushed struct {
	by              string
	at              time.Time
	deleted, proven bool
}

type held struct {
	at, set time.Time // of the last act; when it was set
	lifted  bool
}

type piece struct {
	id        string
	image     int
	by        person
	roles     []string
	at        time.Time // made or recorded, whichever is earlier
	recorded  time.Time
	critical  int
	withdrawn time.Time
	text      string // what makes two submissions the same
}

type waiver struct {
	id          string
	repo, stage string
	rule        string
	image       int // -1: the repository
	reason      string
	by          person
	at, until   time.Time
	revoked     bool
	agreed      map[string]agreement
}

type agreement struct {
	by person
	at time.Time
}

type promotion struct {
	attempt   int
	requester person
	at        time.Time
	status    string // open, released, rejected, withdrawn
}

func (p *promotion) open(now time.Time) bool {
	return p != nil && p.status == "open" && now.Before(p.at.Add(promotionEnd))
}

type word struct {
	by       person
	at       time.Time
	reject   bool
	gone     bool // withdrawn
	roles    []string
	robot    bool
	outcomes map[string]outcome
}

type debt struct {
	by       person
	at, due  time.Time
	without  []string
	reviewed *agreement
}

type release struct {
	at       time.Time // of the last act that made it current
	first    time.Time // since when it has been released without a new decision
	rests    []agreement
	debt     *debt
	tick     uint64
	latest   time.Time // when the next tick is due: it is committed by then
	realTime time.Time // when it was committed, by the clock on the wall
	hash     string    // as the ledger gives it to reviewers
}

type wordKey struct {
	subject
	attempt int
	org     string
}

type stageKey struct{ repo, stage string }

type current struct {
	image  int
	pinned bool
}

type told struct {
	at    time.Time
	value bool
}

// law is all that is known, by who said it.
type law struct {
	members []string
	grants  map[person]map[string]grant
	granted map[person]map[string]grant // ever, as it was given last
	taken   map[person]taken
	owners  map[string]string // by namespace, "" is the whole host
	changes map[string]int    // votes that changed the registry ("registry") or a policy (its name)
	places  map[place]*pushed
	tags    map[string]int // by repository and tag; -1: deleted
	holds   map[int]map[string]*held
	pieces  []*piece
	waivers []*waiver
	context map[string][]told // by organisation and name, the newest last
	saw     map[place]map[string]bool

	promotions map[subject]*promotion
	words      map[wordKey]*word
	releases   map[subject]*release
	currents   map[stageKey]current
	carriers   map[subject]int
	gates      map[subject][]string

	policies  map[string]*policy // in force, by name
	proposals []*proposal
	clock     time.Time
	ticks     uint64
	gaps      map[uint64]time.Time
	wall      time.Time // the time there really is, which no transaction knows
}

// --- who may do what ------------------------------------------------------

const robotRole = "robot"

// roles are those a person holds: admin by the certificate, others by a grant
// whose giver was not taken back before.
func (l *law) roles(p person) (roles []string, robot bool) {
	for _, r := range roleNames() {
		g, ok := l.grants[p][r]
		if ok {
			t, gone := l.taken[g.by]
			ok = !gone || g.at.Before(t.since)
		}
		if ok || r == "admin" && strings.HasPrefix(p.name, "admin") {
			roles = append(roles, r)
			robot = robot || r == robotRole || r == "gateway"
		}
	}
	return roles, robot
}

func roleNames() []string {
	return []string{"admin", "publisher", "scanner", "release-manager", "auditor", "gateway", robotRole}
}

// may: a member's person that holds one of the roles and is not taken back.
func (l *law) may(p person, roles ...string) bool {
	if _, gone := l.taken[p]; gone || !slices.Contains(l.members, p.org) {
		return false
	}
	has, _ := l.roles(p)
	return slices.ContainsFunc(roles, func(r string) bool { return slices.Contains(has, r) })
}

func (l *law) reached(p person, at time.Time) bool {
	t, gone := l.taken[p]
	return gone && !at.Before(t.since)
}

// bought: who spoke had the role from somebody who is taken back, and spoke since that
// was somebody else.
func (l *law) bought(p person, role string, at time.Time) bool {
	g, ok := l.granted[p][role]
	return ok && l.reached(g.by, g.at) && l.reached(g.by, at)
}

// owner is who records the events of a repository: by the longest namespace.
func (l *law) owner(repo string) string {
	best, who := -1, ""
	for ns, org := range l.owners {
		if (ns == "" || repo == ns || strings.HasPrefix(repo, ns+"/")) && len(ns) > best {
			best, who = len(ns), org
		}
	}
	return who
}

// governing is the policy of a repository: the most specific pattern.
func (l *law) governing(repo string) *policy {
	var found *policy
	for _, name := range slices.Sorted(maps.Keys(l.policies)) {
		if p := l.policies[name]; p.matches(repo) && (found == nil || p.specific() > found.specific()) {
			found = p
		}
	}
	return found
}

// --- facts about a subject --------------------------------------------------

// facts is what a verdict on a subject rests on.
type facts struct {
	l        *law
	s        subject
	asked    time.Time // the moment of the question
	now      time.Time // the moment that is judged
	p        *policy
	stage    *stage
	carried  []int // the index through which it was released to the stage
	holders  []int // the indexes whose quarantine it has
	recorded bool
	proven   bool
	tangled  bool
	by       string
	pushedAt time.Time
	holds    []string
	lastHold time.Time
	pieces   []*piece // about the image and about those indexes
	own      *release // that stands, to the stage
	via      bool     // and is that of an index
	promo    *promotion
	words    []*word
}

func (l *law) facts(s subject, now time.Time) *facts {
	f := &facts{l: l, s: s, asked: now, now: now, p: l.governing(s.repo), promo: l.promotions[s]}
	if f.p != nil {
		f.stage = f.p.stage(s.stage)
	}
	if index, ok := l.carriers[s]; ok {
		f.carried = []int{index}
		f.holders = f.carried
	} else if f.stage != nil && l.releases[s] == nil {
		// Not released yet: what it would be promoted from.
		if index, ok := l.carriers[subject{s.repo, s.image, f.stage.from}]; ok {
			f.holders = []int{index}
		}
	}
	at := l.places[place{s.repo, s.image}]
	if at != nil {
		f.recorded, f.proven, f.by, f.pushedAt = !at.deleted, at.proven, at.by, at.at
	}
	if through := l.standingCarrier(s); through != nil {
		if at == nil {
			f.recorded, f.by, f.pushedAt = true, through.by, through.at
		}
		f.proven = f.proven || through.proven && corpus()[s.image].children == nil // what an index lists has to be seen
	}
	f.gatherHolds()
	for _, p := range l.pieces {
		if p.image == s.image || slices.Contains(f.carried, p.image) {
			f.pieces = append(f.pieces, p)
		}
	}
	if f.promo != nil {
		for _, org := range l.members {
			if w := l.words[wordKey{s, f.promo.attempt, org}]; w != nil && !w.gone {
				f.words = append(f.words, w)
			}
		}
	}
	f.own, f.via = f.released(s.stage)
	return f
}

// standingCarrier is the place of the index through which the image was
// released to the stage, where that index is still there.
func (l *law) standingCarrier(s subject) *pushed {
	index, ok := l.carriers[s]
	if !ok {
		return nil
	}
	if at := l.places[place{s.repo, index}]; at != nil && !at.deleted {
		return at
	}
	return nil
}

const deepest = 8

// lists is all that an image lists, and what that lists, as far as it is proven;
// not ok where it is too deep, or holds an index of which nobody has seen the bytes.
func (l *law) lists(repo string, image int) (all []int, ok bool) {
	seen, ok := map[int]bool{image: true}, true
	level := l.children(repo, image)
	for depth := 1; len(level) > 0; depth++ {
		if depth > deepest {
			return nil, false
		}
		var next []int
		for _, c := range level {
			if !seen[c] {
				seen[c] = true
				all = append(all, c)
				if at := l.places[place{repo, c}]; corpus()[c].children != nil && (at == nil || !at.proven) {
					ok = false
				}
				next = append(next, l.children(repo, c)...)
			}
		}
		level = next
	}
	return all, ok
}

func (l *law) children(repo string, image int) []int {
	if at := l.places[place{repo, image}]; at != nil && at.proven {
		return corpus()[image].children
	}
	return nil
}

// gatherHolds: of the image, of all it lists, of the indexes through which it was
// released, and of those through which what it lists was.
func (f *facts) gatherHolds() {
	listed, ok := f.l.lists(f.s.repo, f.s.image)
	if !ok {
		f.tangled = true
	}
	if listed == nil {
		listed = f.l.children(f.s.repo, f.s.image)
	}
	about := append(append([]int{f.s.image}, f.holders...), listed...)
	for _, c := range listed {
		if index, ok := f.l.carriers[subject{f.s.repo, c, f.s.stage}]; ok {
			about = append(about, index)
		}
	}
	for _, image := range about {
		for org, h := range f.l.holds[image] {
			if !slices.Contains(f.l.members, org) {
				continue
			}
			if h.set.After(f.lastHold) {
				f.lastHold = h.set
			}
			if !h.lifted {
				f.holds = append(f.holds, org)
			}
		}
	}
}

// released is the release of the image to a stage, its own or else that of an
// index which is still there, where its approvals still stand.
func (f *facts) released(st string) (rel *release, via bool) {
	s := subject{f.s.repo, f.s.image, st}
	if r := f.l.releases[s]; r != nil && !f.void(r, st) {
		return r, false
	}
	if f.l.standingCarrier(s) != nil {
		if r := f.l.releases[subject{s.repo, f.l.carriers[s], st}]; r != nil && !f.void(r, st) {
			return r, true
		}
	}
	return nil, false
}

// void: somebody it rests on was taken back, and without that too few have spoken.
func (f *facts) void(r *release, st string) bool {
	if r.debt != nil && f.l.reached(r.debt.by, r.debt.at) {
		return true
	}
	if r.debt != nil && slices.Contains(r.debt.without, "approvals") {
		return false // it went without them, and rests on none
	}
	left, lost := map[string]bool{}, false
	for _, a := range r.rests {
		if f.l.reached(a.by, a.at) || f.l.bought(a.by, "release-manager", a.at) {
			lost = true
		} else {
			left[a.by.org] = true
		}
	}
	if !lost || f.p == nil {
		return lost
	}
	stage := f.p.stage(st)
	return stage == nil || len(left) < stage.min || slices.ContainsFunc(stage.orgs, func(o string) bool { return !left[o] })
}

// paid: somebody of another organisation has reviewed it, and is not taken back.
func (l *law) paid(d *debt) bool {
	return d.reviewed != nil && !l.reached(d.reviewed.by, d.reviewed.at)
}

// clockStands: what depends on time cannot be decided.
func (f *facts) clockStands() bool {
	off := f.asked.Sub(f.l.clock)
	return f.l.clock.IsZero() || off > clockGrace || off < -clockGrace
}

// --- rules --------------------------------------------------------------------

// ruled is how a rule stands, and how it does apart from the ledger's clock.
type ruled struct {
	name     string
	is, bare outcome
}

func (f *facts) timed(r ruled) ruled {
	if r.is != violated && f.clockStands() {
		r.is = unmet
	}
	return r
}

// waive lets a waiver in force stand for a rule that is not satisfied.
func (f *facts) waive(r ruled) ruled {
	if r.is == satisfied {
		return r
	}
	for _, w := range f.waiversOf(r.name) {
		if f.now.Before(w.until) {
			r.is, r.bare = waived, waived
			if f.clockStands() {
				r.is = unmet
			}
			return r
		}
	}
	return r
}

// waiversOf are those of a rule that enough organisations agreed to.
func (f *facts) waiversOf(rule string) (found []*waiver) {
	need := f.p.waivers
	if need == nil {
		return nil
	}
	for _, w := range f.l.waivers {
		about := w.image == -1 || w.image == f.s.image || slices.Contains(f.carried, w.image)
		if w.repo != f.s.repo || w.stage != f.s.stage || w.rule != rule || w.revoked || !about || !slices.Contains(f.l.members, w.by.org) {
			continue
		}
		orgs := map[string]bool{}
		for org, a := range w.agreed {
			if !f.l.reached(a.by, a.at) && slices.Contains(f.l.members, org) {
				orgs[org] = true
			}
		}
		if len(orgs) >= need.min && !slices.ContainsFunc(need.orgs, func(o string) bool { return !orgs[o] }) {
			found = append(found, w)
		}
	}
	return found
}

// lasting are evidence, conditions and witnesses: what an approver looks at.
func (f *facts) lasting() (all []ruled) {
	for i := range f.stage.evidence {
		e := &f.stage.evidence[i]
		is := f.evidence(e, f.now, false)
		r := ruled{"evidence/" + e.name, is, is}
		if e.maxAge != 0 {
			r = f.timed(r)
		}
		all = append(all, f.waive(r))
	}
	for _, c := range f.stage.conditions {
		is := f.condition(c, f.now, false)
		all = append(all, f.waive(ruled{"condition/" + c.name, is, is}))
	}
	if w := f.stage.witnesses; w != nil {
		is := f.witnessed(w)
		all = append(all, f.waive(ruled{"witnesses", is, is}))
	}
	return all
}

// condition goes by what was published last, or, of the past, by then.
func (f *facts) condition(c condition, t time.Time, past bool) outcome {
	history := f.l.context[f.p.context[c.variable]+" "+c.variable]
	for i := len(history) - 1; i >= 0; i-- {
		if !past || !history[i].at.After(t) {
			if !history[i].value {
				return satisfied
			}
			return violated
		}
	}
	return violated // nobody has said: that is no pass
}

func (f *facts) witnessed(w *quorum) outcome {
	saw := map[string]bool{f.by: true}
	for _, image := range append([]int{f.s.image}, f.carried...) {
		for org := range f.l.saw[place{f.s.repo, image}] {
			saw[org] = true
		}
	}
	if len(saw) >= w.min && !slices.ContainsFunc(w.orgs, func(o string) bool { return !saw[o] }) {
		return satisfied
	}
	return unmet
}

func newerPiece(a, b *piece) bool {
	if !a.at.Equal(b.at) {
		return a.at.After(b.at)
	}
	return a.id > b.id
}

func (f *facts) withdrawnAt(p *piece) time.Time {
	if !p.withdrawn.IsZero() {
		return p.withdrawn
	}
	if f.l.reached(p.by, p.recorded) {
		return f.l.taken[p.by].at
	}
	return time.Time{}
}

// evidence judges a rule by what was said until t. past: t is a moment of the
// past, and what was withdrawn since still stood.
func (f *facts) evidence(e *evidenceRule, t time.Time, past bool) outcome {
	type about struct {
		by    person
		image int
	}
	newest := map[about]*piece{}
	for _, p := range f.pieces {
		k := about{p.by, p.image}
		if past && p.at.After(t) {
			continue
		}
		if o := newest[k]; o == nil || newerPiece(p, o) {
			newest[k] = p
		}
	}
	passed, failed := map[person]bool{}, false
	for k, p := range newest {
		if !e.accepts(p) {
			continue
		}
		if k.image != f.s.image {
			if own := newest[about{k.by, f.s.image}]; own != nil && e.accepts(own) {
				continue // what it says of the image itself is what it says
			}
		}
		if w := f.withdrawnAt(p); !w.IsZero() && (!past || !w.After(t)) {
			continue
		}
		switch {
		case e.maxAge != 0 && (!t.Before(p.at.Add(e.maxAge)) || p.at.After(t.Add(clockGrace))):
		case p.critical > e.critical:
			failed = true
		default:
			passed[p.by] = true
		}
	}
	switch {
	case failed:
		return violated
	case len(passed) >= e.min:
		return satisfied
	}
	return unmet
}

// approvals counts organisations.
func (f *facts) approvals(now map[string]outcome) (is outcome, counted []agreement) {
	st := f.stage
	yes, no := map[string]bool{}, map[string]bool{}
	for _, w := range f.words {
		switch {
		case f.discounted(w, now):
		case w.reject:
			no[w.by.org] = true
		default:
			yes[w.by.org] = true
			counted = append(counted, agreement{w.by, w.at})
		}
	}
	open := map[string]bool{}
	for _, org := range f.l.members {
		if !yes[org] && !no[org] && !(st.excludes("pusher") && org == f.by) {
			open[org] = true
		}
	}
	lost, missing := len(yes)+len(open) < st.min, false
	for _, org := range st.orgs {
		if !yes[org] {
			missing = true
			lost = lost || !open[org]
		}
	}
	switch {
	case len(yes) >= st.min && !missing:
		return satisfied, counted
	case lost:
		return violated, counted
	}
	return unmet, counted
}

// unheard: it would never count.
func (f *facts) unheard(w *word) bool {
	st := f.stage
	return !slices.Contains(f.l.members, w.by.org) || st.excludes("pusher") && w.by.org == f.by ||
		st.excludes("requester") && f.promo != nil && w.by == f.promo.requester ||
		w.robot && !st.robots || (!slices.Contains(w.roles, "release-manager") || f.l.bought(w.by, "release-manager", w.at)) && !(w.robot && st.robots)
}

func (f *facts) discounted(w *word, now map[string]outcome) bool {
	if f.l.reached(w.by, w.at) || f.unheard(w) {
		return true
	}
	if w.reject {
		return false
	}
	if x := f.stage.expires; x != 0 && (!f.now.Before(w.at.Add(x)) || w.at.After(f.now.Add(clockGrace))) {
		return true
	}
	for rule, is := range now {
		if then, seen := w.outcomes[rule]; !seen || is.bad() > then.bad() {
			return true
		}
	}
	for i := range f.stage.evidence {
		for _, p := range f.pieces {
			if f.stage.evidence[i].accepts(p) && !f.superseded(p) && !p.at.After(w.at) && f.withdrawnAt(p).After(w.at) {
				return true
			}
		}
	}
	return f.lastHold.After(w.at)
}

func (f *facts) superseded(p *piece) bool {
	return slices.ContainsFunc(f.pieces, func(o *piece) bool { return o.by == p.by && o.image == p.image && newerPiece(o, p) })
}

// seen is what an approver agrees to have seen: the pieces that some rule can use
// and the waivers that enough agreed to.
func (f *facts) seen() string {
	var all []string
	for i := range f.stage.evidence {
		for _, p := range f.pieces {
			if f.stage.evidence[i].accepts(p) && !f.superseded(p) && f.withdrawnAt(p).IsZero() {
				all = append(all, fmt.Sprint(p.id, p.image))
			}
		}
	}
	for _, rule := range f.stage.rules() {
		for _, w := range f.waiversOf(rule) {
			all = append(all, w.id)
		}
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), "\n")
}

// --- verdict -------------------------------------------------------------------

type verdict struct {
	answer                      string
	rules                       []ruled
	bare                        map[string]outcome // of what an approver looks at
	releasable, closed, overdue bool
	counted                     []agreement
	f                           *facts
}

func (v *verdict) say(name string, is outcome) { v.rules = append(v.rules, ruled{name, is, is}) }

func (l *law) judge(s subject, now time.Time) *verdict {
	f := l.facts(s, now)
	v := &verdict{f: f}
	switch {
	case len(f.holds) > 0:
		v.answer = "quarantined"
		return v
	case !f.recorded, f.tangled, !f.proven, f.p == nil, f.stage == nil:
		v.answer = "unknown"
		return v
	}
	if f.own != nil {
		v.answer = "allowed"
		if d := f.own.debt; d != nil && !l.paid(d) && now.After(d.due) {
			v.answer, v.overdue = "quarantined", true
			return v
		}
		f.continuous(v)
		return v
	}
	f.unreleased(v)
	return v
}

// unreleased is judged within the tick that the clock is in, whatever was claimed.
func (f *facts) unreleased(v *verdict) {
	if !f.clockStands() {
		end := f.l.clock.Add(tick)
		switch {
		case f.asked.Before(f.l.clock):
			f.now = f.l.clock
		case f.asked.After(end):
			f.now = end
		}
	}
	lasting := f.lasting()
	v.bare = map[string]outcome{}
	for _, r := range lasting {
		v.bare[r.name] = r.bare
	}
	st := f.stage
	if st.from != "" {
		v.say("from", f.from())
	}
	add := func(name string, is outcome) {
		v.rules = append(v.rules, f.waive(f.timed(ruled{name, is, is})))
	}
	if st.soak != 0 {
		add("soak", f.soak())
	}
	if st.freeze != nil {
		add("freeze", f.frozen())
	}
	if st.maxAge != 0 {
		add("max-age", f.age())
	}
	is, counted := f.approvals(v.bare)
	v.closed, v.counted = is == violated, counted
	r := ruled{"approvals", is, is}
	if st.expires != 0 {
		r = f.timed(r)
	}
	v.rules = append(append(v.rules, r), lasting...)
	promoted := f.promo.open(f.asked) || f.promo != nil && f.promo.status == "released" && !f.lapsed()
	v.say("promotion", map[bool]outcome{true: satisfied, false: unmet}[promoted])
	v.answer, v.releasable = "pending", true
	for _, r := range v.rules {
		if r.is == violated {
			v.answer = "denied"
		}
		v.releasable = v.releasable && r.is.bad() == 0
	}
}

// lapsed: the image was released to the stage and that no longer counts.
func (f *facts) lapsed() bool {
	r := f.l.releases[f.s]
	if r != nil {
		return f.void(r, f.s.stage)
	}
	if f.l.standingCarrier(f.s) != nil {
		r = f.l.releases[subject{f.s.repo, f.l.carriers[f.s], f.s.stage}]
	}
	return r != nil && f.void(r, f.s.stage)
}

// --- time ------------------------------------------------------------------

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
