package policy

import "slices"

// exemptions are what the satisfied vex evidence of a stage says, by each name of
// a vulnerability.
type exemptions struct {
	out map[string]*exemption // not_affected or fixed
	in  map[string]*exemption // affected, or not known yet
}

// exemption is what is said under one name, in all statements together.
type exemption struct {
	names map[string]bool // all names of the statements
	whole bool            // of the product, whichever the package
	parts map[string][]purl
	odd   bool // of a subcomponent that is no package URL
}

// suppress lends the findings that satisfied vex evidence rules out to the other
// rules of the stage: those with the status not_affected or fixed, unless another
// counted statement says otherwise. What is said of one subcomponent goes for a
// finding in that package alone.
func (j *judge) suppress(statements []*Evidence) {
	// A stage may have several vex rules: what one of them denies stays denied.
	for _, e := range statements {
		list, _ := e.Facts["statements"].([]any)
		for _, s := range list {
			j.vex.add(s)
		}
	}
	j.base.suppressed = nil
	for _, id := range sortedKeys(j.vex.out) {
		if e := j.vex.out[id]; e.whole && !j.vex.disputes(e.names, nil) {
			j.base.suppressed = append(j.base.suppressed, id)
		}
	}
}

func (x *exemptions) add(statement any) {
	s, _ := statement.(map[string]any)
	id, _ := s["id"].(string)
	if id == "" {
		return
	}
	names := append(texts(s["aliases"]), id)
	into := &x.in
	if status := s["status"]; status == "not_affected" || status == "fixed" {
		into = &x.out
	}
	if *into == nil {
		*into = map[string]*exemption{}
	}
	parts, _ := s["subcomponents"].([]any)
	for _, name := range names {
		e := (*into)[name]
		if e == nil {
			e = &exemption{names: map[string]bool{}, parts: map[string][]purl{}}
			(*into)[name] = e
		}
		for _, n := range names {
			e.names[n] = true
		}
		e.whole = e.whole || len(parts) == 0
		for _, text := range parts {
			text, _ := text.(string)
			if p, ok := parsePURL(text); ok {
				e.parts[p.base] = append(e.parts[p.base], p)
			} else {
				e.odd = true
			}
		}
	}
}

// over returns the ids that are suppressed for one piece of evidence: of its own
// findings those that are ruled out in every package that has them, and of what it
// does not list what is ruled out for the product.
func (x *exemptions) over(facts map[string]any, general []string) []string {
	if len(x.out) == 0 {
		return general
	}
	findings, _ := facts["findings"].([]any)
	ruledOut := map[string]bool{}
	for _, f := range findings {
		f, _ := f.(map[string]any)
		if id, _ := f["id"].(string); id != "" {
			before, again := ruledOut[id]
			ruledOut[id] = (before || !again) && x.coversFinding(id, f)
		}
	}
	var ids []string
	for _, id := range general {
		if _, listed := ruledOut[id]; !listed {
			ids = append(ids, id)
		}
	}
	for _, id := range sortedKeys(ruledOut) {
		if ruledOut[id] {
			ids = append(ids, id)
		}
	}
	return ids
}

// coversFinding tells whether a finding is ruled out in all its packages and
// nothing disputes it. A finding whose packages are not known is in any.
func (x *exemptions) coversFinding(id string, finding map[string]any) bool {
	names := map[string]bool{id: true}
	for _, alias := range texts(finding["aliases"]) {
		names[alias] = true
	}
	all := map[string]bool{}
	var by []*exemption
	for _, name := range sortedKeys(names) {
		all[name] = true
		if e := x.out[name]; e != nil {
			by = append(by, e)
			for n := range e.names {
				all[n] = true
			}
		}
	}
	if len(by) == 0 {
		return false
	}
	packages := texts(finding["packages"])
	each := len(packages) > 0 // of them is named by a statement
	for _, text := range packages {
		p, ok := parsePURL(text)
		each = each && ok && slices.ContainsFunc(by, func(e *exemption) bool { return e.covers(p) })
	}
	switch whole := slices.ContainsFunc(by, func(e *exemption) bool { return e.whole }); {
	case each:
		return !x.disputes(all, packages)
	case whole: // what is stated of any part of the product disputes it
		return !x.disputes(all, nil)
	}
	return false
}

// disputes tells whether a statement that a product is affected goes for a finding
// of any of these names in any of these packages, or may go for it; without
// packages, whether there is such a statement.
func (x *exemptions) disputes(names map[string]bool, packages []string) bool {
	for name := range names {
		e := x.in[name]
		if e == nil {
			continue
		}
		if e.whole || e.odd || len(packages) == 0 {
			return true
		}
		for _, text := range packages {
			if p, ok := parsePURL(text); !ok || e.mayName(p) {
				return true
			}
		}
	}
	return false
}

func texts(v any) []string {
	list, _ := v.([]any)
	out := make([]string, 0, len(list))
	for _, x := range list {
		if s, ok := x.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

func severities() []string {
	return []string{"critical", "high", "medium", "low", "negligible", "unknown"}
}

// counts returns a scan's findings by severity without the suppressed ones. A
// severity that the scan does not count is left out, so that a rule about it
// denies. The list of findings may be shorter than their number, so suppressed
// findings are taken off the scan's own count, each as often as it is listed;
// of a list that is longer than the count says nothing is believed.
func counts(facts map[string]any, suppressed []string) map[string]any {
	m := map[string]any{}
	findings, _ := facts["findings"].([]any)
	listed, off := map[string]int64{}, map[string]int64{}
	for _, x := range findings {
		finding, _ := x.(map[string]any)
		id, _ := finding["id"].(string)
		severity, _ := finding["severity"].(string)
		listed[severity]++
		if id != "" && slices.Contains(suppressed, id) {
			off[severity]++
		}
	}
	for _, s := range severities() {
		n, ok := facts[s].(int64)
		if !ok {
			continue
		}
		if listed[s] <= n {
			n -= off[s]
		}
		m[s] = n
	}
	return m
}
