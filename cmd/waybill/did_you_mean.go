package main

import (
	"slices"
	"strings"
)

// suggest returns the name closest to what was typed, or "" when none is near
// enough to be meant.
func suggest(typed string, names []string) string {
	best, at := 3, ""
	for _, name := range names {
		if d := distance(strings.ToLower(typed), strings.ToLower(name)); d < best && d < len(name) {
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

// distance is Levenshtein's, over bytes. Names are short; a long one is
// nobody's typing error.
func distance(a, b string) int {
	if len(a) > 128 || len(b) > 128 {
		return len(a) + len(b)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
