package policy

import "time"

// MaxVerdictCost is what the expressions of a verdict may cost in all, the
// last one's own limit included.
const MaxVerdictCost = maxVerdictCost + maxCost

// Cost returns what all expressions of a verdict cost.
func Cost(p *Policy, f Facts, now time.Time) uint64 {
	j := newJudge(p, &f, now)
	j.rules()
	return j.spent
}

// CostThen returns what the expressions cost that look back at what is released.
func CostThen(p *Policy, f Facts, now time.Time) uint64 {
	j := newJudge(p, &f, now)
	j.released(&Verdict{})
	if j.spentThen == nil {
		return 0
	}
	return *j.spentThen
}
