package evidence

import "cmp"

// readSARIF reads SARIF 2.1.0 (OASIS): every result of a kind that fails is a
// finding, named by its rule. Its severity is the property security-severity
// of the result or of its rule, else the level: error is high, warning medium,
// note low. A run that did not succeed says nothing and is refused.
func readSARIF(m map[string]any, s *scan) error {
	runs := list(m, "runs")
	if len(runs) == 0 {
		return invalid("sarif: no runs")
	}
	for _, run := range runs {
		driver := at(run, "tool", "driver")
		s.scanner = cmp.Or(s.scanner, str(driver, "name"))
		s.version = cmp.Or(s.version, str(driver, "semanticVersion"), str(driver, "version"))
		for _, invocation := range list(run, "invocations") {
			if at(invocation, "executionSuccessful") == false {
				return invalid("sarif: a run did not succeed")
			}
			if t := claimedTime(str(invocation, "endTimeUtc")); t.After(s.madeAt) {
				s.madeAt = t
			}
		}
		// null results: the run did not look; an empty list: it found nothing.
		if list(run, "results") == nil {
			return invalid("sarif: a run without results")
		}
		rules := list(driver, "rules")
		byID := map[string]any{}
		for _, rule := range rules {
			byID[str(rule, "id")] = rule
		}
		for _, result := range list(run, "results") {
			switch str(result, "kind") {
			case "pass", "notApplicable", "informational":
				continue
			}
			id := cmp.Or(str(result, "ruleId"), str(result, "rule", "id"))
			rule, known := byID[id]
			if i, ok := at(result, "ruleIndex").(int64); !known && ok && i >= 0 && i < int64(len(rules)) {
				rule = rules[i]
				id = cmp.Or(id, str(rule, "id"))
			}
			if err := s.add(id, sarifSeverity(result, rule), false); err != nil {
				return err
			}
		}
	}
	return nil
}

func sarifSeverity(result, rule any) int {
	for _, v := range []any{result, rule} {
		if given := at(v, "properties", "security-severity"); given != nil {
			return score(given)
		}
	}
	switch cmp.Or(str(result, "level"), str(rule, "defaultConfiguration", "level"), "warning") {
	case "error":
		return severity("high")
	case "warning":
		return severity("medium")
	case "note":
		return severity("low")
	}
	return unknownSeverity
}
