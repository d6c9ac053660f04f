package evidence

import (
	"cmp"
	"strings"
)

// sarifRules are the rules of a run: those of the tool's driver, and of its extensions.
type sarifRules struct {
	driver     []any
	extensions [][]any
	byID       map[string]any
}

func sarifRulesOf(run any) sarifRules {
	r := sarifRules{driver: list(run, "tool", "driver", "rules"), byID: map[string]any{}}
	for _, extension := range list(run, "tool", "extensions") {
		r.extensions = append(r.extensions, list(extension, "rules"))
	}
	for _, rules := range append(r.extensions[:len(r.extensions):len(r.extensions)], r.driver) { // the driver's count
		for _, rule := range rules {
			r.byID[str(rule, "id")] = rule
		}
	}
	return r
}

// of finds the rule that a result refers to (SARIF 2.1.0, sections 3.27.5 to 3.27.7 and
// 3.52): by its place in the driver or in the extension that the result names, or by its
// id, to which a result may add parts of its own after a '/'.
func (r sarifRules) of(result any) (id string, rule any) {
	id = cmp.Or(str(result, "ruleId"), str(result, "rule", "id"))
	rules := r.driver
	extension, inExtension := at(result, "rule", "toolComponent", "index").(int64)
	if inExtension && extension >= 0 && extension < int64(len(r.extensions)) {
		rules = r.extensions[extension]
	}
	if rule, known := r.byID[id]; known && !inExtension {
		return id, rule
	}
	for _, index := range []any{at(result, "ruleIndex"), at(result, "rule", "index")} {
		if i, ok := index.(int64); ok && i >= 0 && i < int64(len(rules)) {
			return cmp.Or(id, str(rules[i], "id")), rules[i]
		}
	}
	for name := id; name != ""; {
		if rule, known := r.byID[name]; known {
			return id, rule
		}
		name = name[:max(strings.LastIndexByte(name, '/'), 0)]
	}
	return id, nil
}
