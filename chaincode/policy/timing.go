package policy

import (
	"slices"
	"time"
)

// toTick brings the moment of a question into the tick that the clock is in,
// where the two are as near as they have to be.
func toTick(now, clock time.Time) time.Time {
	switch off := now.Sub(clock); {
	case clock.IsZero() || off > ClockGrace || off < -ClockGrace:
		return now
	case off < 0:
		return clock
	case off > ClockTick:
		return clock.Add(ClockTick)
	}
	return now
}

// set makes t the moment that is judged.
func (j *judge) set(t time.Time) { j.now, j.minute = t, t.UTC().Truncate(time.Minute) }

// clockProblem says why nothing that depends on time can be decided now, or "".
// The moment of a question is the asker's; that of the ledger's clock is not.
func (j *judge) clockProblem() string {
	off := j.asked.Sub(j.f.Clock)
	switch {
	case j.timeless:
		return ""
	case j.f.Clock.IsZero():
		return "the ledger's clock has not begun"
	case off > ClockGrace:
		return "the ledger's clock stands still since " + stamp(j.f.Clock)
	case off < -ClockGrace:
		return "this is asked for " + stamp(j.asked) + ", and the ledger's clock is at " + stamp(j.f.Clock)
	}
	return ""
}

// clockFix is what to do where the ledger's clock stands still.
const clockFix = "a gateway of any member moves it; is one running?"

// timed makes a rule that time decides unmet while the ledger's clock stands
// still; what is violated stays so. How it stands apart from the clock is
// kept, so that approvals do not go stale by a clock that waits.
func (j *judge) timed(r result) result {
	why := j.clockProblem()
	switch {
	case why == "" || r.Outcome == Violated:
	case r.Outcome == Unmet:
		r.Detail, r.Fix = r.Detail+"; "+why, r.Fix+"; "+clockFix
	default:
		r.apart, r.Outcome, r.Detail, r.Fix = r.Outcome, Unmet, why+" ("+r.Detail+")", clockFix
	}
	return r
}

// releasedTo tells when the image was last released to a stage. What was
// released by break-glass and not reviewed yet does not count: unreviewed.
func (j *judge) releasedTo(stage string) (at time.Time, ok, unreviewed bool) {
	for _, r := range j.f.ReleasedTo {
		switch {
		case r.Stage != stage:
		case r.Unreviewed:
			unreviewed = true
		default:
			ok = true
			if r.At.After(at) {
				at = r.At
			}
		}
	}
	return at, ok, unreviewed
}

func (j *judge) from() result {
	_, ok, unreviewed := j.releasedTo(j.stage.From)
	switch {
	case ok:
		return ruleResult(ruleFrom, Satisfied, "", "released to %s", j.stage.From)
	case unreviewed:
		return ruleResult(ruleFrom, Unmet, reviewFix(j.stage.From), "released to %s by break-glass only, which nobody has reviewed", j.stage.From)
	}
	return ruleResult(ruleFrom, Unmet, "release it to "+j.stage.From+" first", "not released to %s", j.stage.From)
}

func reviewFix(stage string) string {
	return "another organisation can: waybill review IMAGE --to " + stage
}

// soak counts from the last release to the earlier stage: a rollback starts it again.
func (j *judge) soak() result {
	at, ok, unreviewed := j.releasedTo(j.stage.From)
	switch {
	case !ok && unreviewed:
		return ruleResult(ruleSoak, Unmet, reviewFix(j.stage.From), "%s in %s have not begun: released there by break-glass only, which nobody has reviewed", j.stage.Soak, j.stage.From)
	case !ok:
		return ruleResult(ruleSoak, Unmet, "release it to "+j.stage.From+" first", "%s in %s have not begun: not released there", j.stage.Soak, j.stage.From)
	case at.IsZero():
		return ruleResult(ruleSoak, Unmet, "release it to "+j.stage.From+" again", "the release to %s has no time on the ledger", j.stage.From)
	}
	if end := at.Add(time.Duration(j.stage.Soak)); j.now.Before(end) {
		return ruleResult(ruleSoak, Unmet, "wait until "+stamp(end), "%s in %s end at %s", j.stage.Soak, j.stage.From, stamp(end))
	}
	return ruleResult(ruleSoak, Satisfied, "", "in %s since %s", j.stage.From, stamp(at))
}

// maxAge goes by the registry's clock; a push without a time is too old, and
// one of the future would never be.
func (j *judge) maxAge() result {
	const fix = "build and push it anew"
	switch at := j.f.PushedAt; {
	case at.IsZero():
		return ruleResult(ruleMaxAge, Violated, fix, "the push has no time on the ledger; at most %s old", j.stage.MaxAge)
	case at.After(j.now.Add(ClockGrace)):
		return ruleResult(ruleMaxAge, Violated, fix, "the push is dated in the future: %s", stamp(at))
	case at.Add(time.Duration(j.stage.MaxAge)).Before(j.now):
		return ruleResult(ruleMaxAge, Violated, fix, "pushed at %s; at most %s old", stamp(at), j.stage.MaxAge)
	default:
		return ruleResult(ruleMaxAge, Satisfied, "", "pushed at %s; at most %s old", stamp(at), j.stage.MaxAge)
	}
}

const (
	dayMinutes  = 24 * 60
	weekMinutes = 7 * dayMinutes
)

func (j *judge) freeze() result {
	at := j.now.UTC()
	minute := int(at.Weekday())*dayMinutes + at.Hour()*60 + at.Minute()
	wait, open := thaw(j.stage.Freeze, minute)
	switch {
	case !open:
		return ruleResult(ruleFreeze, Unmet, "change the policy", "frozen the whole week")
	case wait == 0:
		return ruleResult(ruleFreeze, Satisfied, "", "outside every freeze window")
	}
	end := stamp(at.Truncate(time.Minute).Add(time.Duration(wait) * time.Minute))
	return ruleResult(ruleFreeze, Unmet, "wait until "+end, "frozen until %s", end)
}

// thaw tells in how many minutes the windows that hold a minute of the week
// (0 is Sunday 00:00 UTC) let go; open is false when they never do.
func thaw(windows []Window, minute int) (wait int, open bool) {
	for wait < weekMinutes {
		longest := 0
		for _, w := range windows {
			longest = max(longest, w.left((minute+wait)%weekMinutes))
		}
		if longest == 0 {
			return wait, true
		}
		wait += longest
	}
	return wait, false
}

// left tells for how many more minutes the window holds a minute of the week.
func (w Window) left(minute int) int {
	from, _ := clock(w.From)
	to, _ := clock(w.To)
	length := to - from
	if length <= 0 {
		length += dayMinutes
	}
	longest := 0
	for _, day := range w.Days {
		since := (minute - slices.Index(weekdays(), day)*dayMinutes - from + 2*weekMinutes) % weekMinutes
		if since < length {
			longest = max(longest, length-since)
		}
	}
	return longest
}

func weekdays() []string { return []string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"} }

// clock reads "HH:MM" as minutes of the day.
func clock(s string) (int, bool) {
	if len(s) != 5 || s[2] != ':' {
		return 0, false
	}
	for _, i := range []int{0, 1, 3, 4} {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	h, m := int(s[0]-'0')*10+int(s[1]-'0'), int(s[3]-'0')*10+int(s[4]-'0')
	return h*60 + m, h < 24 && m < 60
}

func (w Window) check(no refuse) error {
	if len(w.Days) == 0 {
		return no("days is empty")
	}
	for i, day := range w.Days {
		if !slices.Contains(weekdays(), day) || slices.Contains(w.Days[:i], day) {
			return no("day %q: want Mon, Tue, Wed, Thu, Fri, Sat or Sun, each once", clip(day, 80))
		}
	}
	if _, ok := clock(w.From); !ok {
		return no("from %q: want HH:MM, 00:00 to 23:59 UTC", clip(w.From, 80))
	}
	if _, ok := clock(w.To); !ok {
		return no("to %q: want HH:MM, 00:00 to 23:59 UTC", clip(w.To, 80))
	}
	return nil
}
