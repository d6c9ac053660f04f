package evidence

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Statuses of OpenVEX (openvex/spec, OPENVEX-SPEC.md) and the facts that count them.
var vexStatuses = map[string]string{ //nolint:gochecknoglobals // a constant table
	"not_affected":        "notAffected",
	"affected":            "affected",
	"fixed":               "fixed",
	"under_investigation": "underInvestigation",
}

// Bounds of one statement.
const (
	maxAliases       = 8
	maxSubcomponents = 100
)

// vexStatement is what a VEX document of any format says of one vulnerability in
// one product.
type vexStatement struct {
	id            string
	aliases       []string // its other names, sorted
	status        string   // a key of vexStatuses
	justification string
	product       string   // "" where it is the subject
	subcomponents []string // of the product, canonical package URLs or other names; nil: all of it
	at            time.Time
}

// setsAside tells whether a statement says that a finding is none.
func (s vexStatement) setsAside() bool { return s.status == "not_affected" || s.status == "fixed" }

// vexStatementFacts makes the facts of statements in the document's order. Of what
// is said of one vulnerability, product and subcomponent again, the latest counts,
// by its time, and of the same time the later in the document.
func vexStatementFacts(all []vexStatement) (map[string]any, error) {
	for i := range all {
		all[i].spell()
	}
	all, err := latestStatements(all)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(all, func(a, b vexStatement) int { return cmp.Compare(a.id, b.id) })
	counts := map[string]int64{}
	cut := false
	for i := range all {
		counts[vexStatuses[all[i].status]]++
		cut = all[i].bound() || cut
	}
	facts, err := listStatements(all, cut, counts)
	if err != nil || facts["truncated"] == false {
		return facts, err
	}
	// What has no room may be a statement that sets something aside, never one by
	// which a finding stands.
	slices.SortStableFunc(all, func(a, b vexStatement) int {
		switch {
		case a.setsAside() == b.setsAside():
			return 0
		case b.setsAside():
			return -1
		}
		return 1
	})
	return listStatements(all, cut, counts)
}

// spell spells the names of a statement's flaw.
func (s *vexStatement) spell() {
	s.id = spelled(s.id)
	var aliases []string
	for _, alias := range s.aliases {
		if name := spelled(alias); name != s.id {
			aliases = append(aliases, name)
		}
	}
	slices.Sort(aliases)
	s.aliases = slices.Compact(aliases)
}

// spelled is a name of a flaw as its database spells it: scanners and databases differ
// in case alone, and some name a flaw by its page.
func spelled(id string) string {
	name := id
	if strings.HasPrefix(id, "https://") {
		name = id[strings.LastIndexByte(id, '/')+1:]
	}
	if flaw := nameOfFlaw(name); strings.EqualFold(flaw, name) && flawNames.MatchString(flaw) {
		return flaw
	}
	return id
}

func listStatements(all []vexStatement, cut bool, counts map[string]int64) (map[string]any, error) {
	listed := []any{}
	for _, s := range all[:min(len(all), maxListed)] {
		listed = append(listed, s.fact())
	}
	facts := map[string]any{
		"statements": listed, "total": int64(len(all)), "truncated": cut || len(listed) < len(all),
	}
	for _, name := range vexStatuses {
		facts[name] = counts[name]
	}
	return truncate(facts, "statements")
}

// bound sorts the subcomponents and bounds their number: of too many, one that
// sets aside keeps some, and another is about the whole product.
func (s *vexStatement) bound() (cut bool) {
	slices.Sort(s.subcomponents)
	s.subcomponents = slices.Compact(s.subcomponents)
	if len(s.subcomponents) <= maxSubcomponents {
		return false
	}
	if s.setsAside() {
		s.subcomponents = s.subcomponents[:maxSubcomponents]
	} else {
		s.subcomponents = nil
	}
	return true
}

func (s vexStatement) fact() map[string]any {
	fact := map[string]any{"id": s.id, "status": s.status, "justification": s.justification}
	for name, texts := range map[string][]string{"aliases": s.aliases, "subcomponents": s.subcomponents} {
		if len(texts) > 0 {
			fact[name] = anyList(texts)
		}
	}
	return fact
}

func anyList(texts []string) []any {
	out := make([]any, len(texts))
	for i, s := range texts {
		out[i] = s
	}
	return out
}

// wholeProduct stands for a statement without subcomponents; no name is empty.
const wholeProduct = ""

// latestStatements leaves out what a later statement replaces, subcomponent by
// subcomponent. Where two are at odds and one has no time, nobody can tell which
// is the later.
func latestStatements(all []vexStatement) ([]vexStatement, error) {
	type about struct{ id, product, part string }
	latest := map[about]int{}
	for i, s := range all {
		for _, part := range s.parts() {
			k := about{s.id, s.product, part}
			j, known := latest[k]
			switch {
			case !known:
				latest[k] = i
			case (s.at.IsZero() || all[j].at.IsZero()) && s.status != all[j].status:
				return nil, invalid("vex: two statements on %q, and no time says which is the later", clip(s.id))
			case !s.at.Before(all[j].at):
				latest[k] = i
			}
		}
	}
	var kept []vexStatement
	for i, s := range all {
		parts := slices.DeleteFunc(slices.Clone(s.parts()), func(part string) bool { return latest[about{s.id, s.product, part}] != i })
		if len(parts) == 0 {
			continue
		}
		if s.subcomponents != nil {
			s.subcomponents = parts
		}
		kept = append(kept, s)
	}
	return kept, nil
}

func (s vexStatement) parts() []string {
	if s.subcomponents == nil {
		return []string{wholeProduct}
	}
	return s.subcomponents
}
