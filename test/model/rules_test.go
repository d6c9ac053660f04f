package model

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

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
