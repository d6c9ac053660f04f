package main

import (
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// maxTypo is the most letters by which a typing error is from what was meant,
// and maxName the longest name that is compared at all.
const (
	maxTypo = 2
	maxName = 128
)

// suggest returns the name closest to what was typed, or "" when none is near
// enough to be meant.
func suggest(typed string, names []string) string {
	if len(typed) > maxName {
		return ""
	}
	best, at := maxTypo+1, ""
	for _, name := range names {
		if d := levenshtein.ComputeDistance(strings.ToLower(typed), strings.ToLower(name)); d < best && d < len(name) {
			best, at = d, name
		}
	}
	if at == "" && len(typed) >= 2 {
		if i := slices.IndexFunc(names, func(n string) bool { return strings.HasPrefix(n, typed) }); i >= 0 {
			return names[i]
		}
	}
	return at
}

// didYouMean is the hint for a name that is not among names.
func didYouMean(typed string, names []string) string {
	if near := suggest(typed, names); near != "" {
		return "did you mean " + near + "?"
	}
	if len(names) == 0 {
		return ""
	}
	return "there are: " + strings.Join(names, ", ")
}
