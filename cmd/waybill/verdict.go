package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
)

// banner says how an answer looks: the symbol and the word carry it, the
// colour only helps.
type banner struct{ symbol, word, colour string }

func bannerOf(a policy.Answer) banner {
	switch a {
	case policy.Allowed:
		return banner{"✓", "ALLOWED", "32"}
	case policy.Pending:
		return banner{"…", "PENDING", "33"}
	case policy.Denied:
		return banner{"✗", "DENIED", "31"}
	case policy.Quarantined:
		return banner{"■", "QUARANTINED", "35"}
	case policy.Unknown:
		return banner{"?", "UNKNOWN", "36"}
	default:
		return banner{"?", strings.ToUpper(sanitize(string(a))), "31"}
	}
}

// paint colours s on a terminal, and nowhere else.
func (a *app) paint(colour, s string) string {
	if !a.colour {
		return s
	}
	return "\x1b[1;" + colour + "m" + s + "\x1b[0m"
}

// printVerdict prints a verdict in the format that was asked for.
func (a *app) printVerdict(v policy.Verdict) error {
	return a.emit(v, func(w io.Writer) { a.writeVerdict(w, v) })
}

// writeVerdict prints a verdict for people: the answer first, then what it is
// about, then each rule, then for everything unmet who can fix it.
func (a *app) writeVerdict(w io.Writer, v policy.Verdict) {
	a.writeVerdictHead(w, v)
	rules := table("RULE", "OUTCOME", "DETAIL")
	for _, r := range v.Reasons {
		rules.row(r.Rule, string(r.Outcome), r.Detail)
	}
	fmt.Fprintln(w)
	rules.write(w, "no rule was consulted")
	open := unmet(v)
	if len(open) == 0 {
		return
	}
	fmt.Fprintln(w)
	for _, r := range open {
		fmt.Fprintf(w, "%s -> %s -> %s\n", sanitize(r.Rule), sanitize(r.Detail), sanitize(fixFor(v, r)))
	}
}

func (a *app) writeVerdictHead(w io.Writer, v policy.Verdict) {
	b := bannerOf(v.Verdict)
	fmt.Fprintln(w, a.paint(b.colour, b.symbol+" "+b.word))
	fmt.Fprintln(w)
	head := table()
	head.row("image", v.Image)
	head.row("stage", v.Stage)
	if v.Height > 0 {
		head.row("height", strconv.FormatUint(v.Height, 10))
	}
	if v.Policy != nil {
		head.row("policy", fmt.Sprintf("%s version %d", v.Policy.Name, v.Policy.Version))
	}
	if v.EvidenceSet != "" {
		head.row("evidence", shortHash(v.EvidenceSet))
	}
	if v.Warning != "" {
		warning := v.Warning
		if v.Until != nil {
			warning += "; denied from " + v.Until.Format(time.DateTime)
		}
		head.row("warning", warning)
	}
	for _, c := range v.Children {
		head.row("platform", c.Digest.Short()+" "+string(c.Verdict))
	}
	head.write(w, "")
}

// unmet returns the reasons that keep a verdict from being allowed.
func unmet(v policy.Verdict) []policy.Reason {
	var open []policy.Reason
	for _, r := range v.Reasons {
		if r.Outcome != policy.Satisfied && r.Outcome != policy.Waived {
			open = append(open, r)
		}
	}
	return open
}

// fixFor is a reason's advice with the image filled in, ready to paste.
func fixFor(v policy.Verdict, r policy.Reason) string {
	if r.Fix == "" {
		return "nobody can change this"
	}
	switch {
	case strings.HasSuffix(r.Fix, "waybill unquarantine"):
		return r.Fix + " " + v.Image + " --reason REASON"
	case strings.HasSuffix(r.Fix, "waybill promote"):
		return r.Fix + " " + v.Image + " --to " + v.Stage
	}
	return strings.ReplaceAll(r.Fix, " IMAGE ", " "+v.Image+" ")
}

// writeExplanation prints every rule at length.
func (a *app) writeExplanation(w io.Writer, v policy.Verdict) {
	a.writeVerdictHead(w, v)
	for _, r := range v.Reasons {
		fmt.Fprintf(w, "\n%s: %s\n", sanitize(r.Rule), sanitize(string(r.Outcome)))
		fmt.Fprintf(w, "  finding: %s\n", sanitize(r.Detail))
		if r.Outcome != policy.Satisfied && r.Outcome != policy.Waived {
			fmt.Fprintf(w, "  who can fix it: %s\n", sanitize(fixFor(v, r)))
		}
	}
}
