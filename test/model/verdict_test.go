package model

import (
	"time"
)

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
