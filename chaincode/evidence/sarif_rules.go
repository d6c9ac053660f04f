package evidence

import (
	"cmp"
	"strings"
)

// sarifRules are the rules of a run: those of the tool's driver, and of its extensions.
type sarifRules struct {
	driver     any
	extensions []any
	byID       map[string]any
}

func sarifRulesOf(run any) sarifRules {
	r := sarifRules{driver: at(run, "tool", "driver"), extensions: list(run, "tool", "extensions"), byID: map[string]any{}}
	for _, component := range append(r.extensions[:len(r.extensions):len(r.extensions)], r.driver) { // the driver's count
		for _, rule := range list(component, "rules") {
			r.byID[str(rule, "id")] = rule
		}
	}
	return r
}

// of finds the rule that a result refers to (SARIF 2.1.0, sections 3.27.5 to 3.27.7 and
// 3.52): by its place in the driver or in the component that the result names, or by its
// id, to which a result may add parts of its own after a '/'.
func (r sarifRules) of(result any) (id string, rule any) {
	id = cmp.Or(str(result, "ruleId"), str(result, "rule", "id"))
	component := r.driver
	if named := object(result, "rule", "toolComponent"); len(named) > 0 {
		component = r.component(named)
	} else if rule, known := r.byID[id]; known {
		return id, rule
	}
	rules := list(component, "rules")
	for _, index := range []any{at(result, "ruleIndex"), at(result, "rule", "index")} {
		if i, ok := index.(int64); ok && i >= 0 && i < int64(len(rules)) {
			return cmp.Or(id, str(rules[i], "id")), rules[i]
		}
	}
	for name := id; name != "" && len(id) <= maxText; { // a longer one is no finding's
		if rule, known := r.byID[name]; known {
			return id, rule
		}
		name = name[:max(strings.LastIndexByte(name, '/'), 0)]
	}
	return id, nil
}

// component is the part of the tool that a reference names (section 3.54); nil where
// there is none of that place, guid or name.
func (r sarifRules) component(reference map[string]any) any {
	if i, ok := reference["index"].(int64); ok && i >= 0 {
		if i < int64(len(r.extensions)) {
			return r.extensions[i]
		}
		return nil
	}
	for _, by := range []string{"guid", "name"} {
		for _, c := range append(r.extensions[:len(r.extensions):len(r.extensions)], r.driver) {
			if name := str(reference, by); name != "" && name == str(c, by) {
				return c
			}
		}
	}
	return nil
}
