package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Diff returns what changed from policy a to policy b as lines for people, in
// the order of their paths: "+ path: value", "- path: value", "~ path: old -> new". Stages and rules are compared by name, so that one put
// between two others is one line; lists of names as sets. Equal policies have none.
func Diff(a, b Policy) []string {
	var d differ
	d.compare("", tree(a), tree(b))
	return d.lines
}

// tree returns a policy as Canonical's JSON says it.
func tree(p Policy) any {
	var v any
	_ = json.Unmarshal(p.Canonical(), &v) // what Canonical wrote: cannot fail
	return v
}

type differ struct{ lines []string }

func (d *differ) say(sign, path string, v any) {
	d.lines = append(d.lines, fmt.Sprintf("%s %s: %s", sign, path, show(v)))
}

func (d *differ) compare(path string, a, b any) {
	am, aMap := a.(map[string]any)
	bm, bMap := b.(map[string]any)
	al, aList := a.([]any)
	bl, bList := b.([]any)
	switch {
	case aMap && bMap:
		d.members(path, am, bm)
	case aList && bList:
		d.elements(path, al, bl)
	case show(a) != show(b):
		d.lines = append(d.lines, fmt.Sprintf("~ %s: %s -> %s", path, show(a), show(b)))
	}
}

func (d *differ) members(path string, a, b map[string]any) {
	names := slices.Compact(slices.Sorted(slices.Values(append(sortedKeys(a), sortedKeys(b)...))))
	for _, name := range names {
		at := strings.TrimPrefix(path+"."+name, ".")
		x, inA := a[name]
		y, inB := b[name]
		switch {
		case !inA:
			d.say("+", at, y)
		case !inB:
			d.say("-", at, x)
		default:
			d.compare(at, x, y)
		}
	}
}

// elements compares lists by the names of their elements, or as sets.
func (d *differ) elements(path string, a, b []any) {
	inA, inB := label(a), label(b)
	for i, l := range inA {
		if k := slices.Index(inB, l); k >= 0 {
			d.compare(path+"["+l+"]", a[i], b[k])
		} else {
			d.say("-", path+"["+l+"]", a[i])
		}
	}
	for k, l := range inB {
		if !slices.Contains(inA, l) {
			d.say("+", path+"["+l+"]", b[k])
		}
	}
	kept := func(list, other []string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(l string) bool { return !slices.Contains(other, l) })
	}
	if from, to := kept(inA, inB), kept(inB, inA); strings.HasSuffix(path, ".stages") && !slices.Equal(from, to) {
		d.lines = append(d.lines, fmt.Sprintf("~ %s: order %s -> %s", path, strings.Join(from, ", "), strings.Join(to, ", ")))
	}
}

// label names a list's elements: by their name, else by what they say.
func label(list []any) []string {
	labels := make([]string, len(list))
	for i, e := range list {
		m, _ := e.(map[string]any)
		name, ok := m["name"].(string)
		if !ok {
			name = show(e)
		}
		labels[i] = name
	}
	return labels
}

// show prints a value on one line, without quotes round plain text.
func show(v any) string {
	switch v := v.(type) {
	case string:
		return clip(v, maxExpression)
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = show(e)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case map[string]any:
		parts := make([]string, 0, len(v))
		for _, name := range sortedKeys(v) {
			parts = append(parts, name+": "+show(v[name]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return fmt.Sprint(v)
}
