package policy

import "slices"

// suppress lends the findings that satisfied vex evidence rules out to the
// other rules of the stage: those with the status not_affected or fixed, unless
// another counted statement says otherwise.
func (j *judge) suppress(statements []*Evidence) {
	out, in := map[string]bool{}, map[string]bool{}
	for _, e := range statements {
		list, _ := e.Facts["statements"].([]any)
		for _, s := range list {
			statement, _ := s.(map[string]any)
			id, _ := statement["id"].(string)
			switch status, _ := statement["status"].(string); {
			case id == "":
			case status == "not_affected" || status == "fixed":
				out[id] = true
			default:
				in[id] = true
			}
		}
	}
	// A stage may have several vex rules: what one of them denies stays denied.
	for _, id := range j.base.suppressed {
		out[id] = true
	}
	j.disputed = merge(j.disputed, in)
	j.base.suppressed = nil
	for _, id := range sortedKeys(out) {
		if !j.disputed[id] {
			j.base.suppressed = append(j.base.suppressed, id)
		}
	}
}

func merge(a, b map[string]bool) map[string]bool {
	for k := range a {
		b[k] = true
	}
	return b
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
