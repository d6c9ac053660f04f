package check

import (
	"fmt"
	"slices"
	"strings"
)

// Kind is what is wrong.
type Kind string

// The kinds of finding.
const (
	Lost     Kind = "lost"     // promised, and neither recorded nor set aside
	Twice    Kind = "twice"    // recorded more often than it happened, or recorded and set aside
	Stranger Kind = "stranger" // recorded, and nobody said so, or whoever did was refused
	Waiting  Kind = "waiting"  // in no final state
	Fork     Kind = "fork"     // peers disagree, or a chain is broken
	Resent   Kind = "resent"   // a recorded segment was sent in a second transaction
	Skewed   Kind = "skewed"   // an index says something else than the blocks
	Unswept  Kind = "unswept"  // a sweep looked and did not find
)

// Finding is one thing that is wrong.
type Finding struct {
	Kind Kind
	Text string
}

// Report is a judgement. Without findings the run kept its promises.
type Report struct {
	Findings []Finding
	// ToSweep are the things that happened unheard and do not stand on the ledger.
	ToSweep []string
	// Counts of the run.
	Promised, Recorded, SetAside, Unheard, Refused, Open int
	Blocks, Transactions, Invalid                        int
}

// Has tells whether there is a finding of the kind.
func (r Report) Has(k Kind) bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Kind == k })
}

// Count returns the number of findings of a kind.
func (r Report) Count(k Kind) int {
	n := 0
	for _, f := range r.Findings {
		if f.Kind == k {
			n++
		}
	}
	return n
}

// shown bounds what String prints of each kind.
const shown = 10

// String prints the counts, and of each kind the first findings.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "promised %d (and %d without a final answer, %d refused): recorded %d, set aside %d, lost %d, twice %d; unheard %d, of them to be swept %d\n",
		r.Promised, r.Open, r.Refused, r.Recorded, r.SetAside, r.Count(Lost), r.Count(Twice), r.Unheard, len(r.ToSweep))
	fmt.Fprintf(&b, "chain: %d blocks, %d transactions, %d of them invalid\n", r.Blocks, r.Transactions, r.Invalid)
	seen := map[Kind]int{}
	for _, f := range r.Findings {
		if seen[f.Kind]++; seen[f.Kind] <= shown {
			fmt.Fprintf(&b, "%s: %s\n", strings.ToUpper(string(f.Kind)), f.Text)
		}
	}
	for _, k := range []Kind{Lost, Twice, Stranger, Waiting, Fork, Resent, Skewed, Unswept} {
		if more := seen[k] - shown; more > 0 {
			fmt.Fprintf(&b, "%s: and %d more\n", strings.ToUpper(string(k)), more)
		}
	}
	return b.String()
}

func (r *Report) sort() {
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return strings.Compare(string(a.Kind), string(b.Kind)) })
	slices.Sort(r.ToSweep)
}
