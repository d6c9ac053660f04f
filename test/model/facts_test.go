package model

import (
	"slices"
	"time"
)

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
