package policy

import (
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// CheckPattern tells whether a pattern may stand in spec.match: the host is
// literal, so that no policy reaches over every registry by accident.
func CheckPattern(pattern string) error {
	segments := strings.Split(pattern, "/")
	if len(segments) < 2 {
		return provenance.Errorf(provenance.Invalid, "pattern %q: want host/path, as in reg.example/team/**", pattern)
	}
	if _, err := provenance.ParseHost(segments[0]); err != nil {
		return err
	}
	for i, s := range segments[1:] {
		switch {
		case s == "*", s == "**" && i == len(segments)-2:
		default:
			if _, err := provenance.ParseRepository(s); err != nil {
				return provenance.Errorf(provenance.Invalid, "pattern %q: segment %q is not a name, '*' or a closing '**'", pattern, s)
			}
		}
	}
	return nil
}

// Match tells how specifically a pattern matches host/repository: the number
// of literal segments, or -1 where it does not match. Segments are compared
// whole: team/a never matches team/ab.
func Match(pattern string, host provenance.Host, repo provenance.Repository) int {
	want := strings.Split(pattern, "/")
	have := append([]string{string(host)}, strings.Split(string(repo), "/")...)
	literal := 0
	for i, w := range want {
		if w == "**" && i == len(want)-1 {
			if len(have) > i {
				return literal
			}
			return -1
		}
		if i >= len(have) || (w != "*" && w != have[i]) {
			return -1
		}
		if w != "*" {
			literal++
		}
	}
	if len(have) != len(want) {
		return -1
	}
	// An exact pattern is more specific than one of as many literals ending in "**".
	return literal + 1
}

// Select returns the index of the most specific pattern list for a repository,
// or -1. Ties go to the first; Overlap keeps ties from being accepted.
func Select(patterns [][]string, host provenance.Host, repo provenance.Repository) int {
	best, at := -1, -1
	for i, list := range patterns {
		for _, p := range list {
			if m := Match(p, host, repo); m > best {
				best, at = m, i
			}
		}
	}
	return at
}

// Overlap returns a pattern of a that some repository would match as
// specifically as a pattern of b, or "". It errs on the side of refusing.
func Overlap(a, b []string) string {
	for _, p := range a {
		for _, q := range b {
			if unify(strings.Split(p, "/"), strings.Split(q, "/")) {
				return p
			}
		}
	}
	return ""
}

// unify tells whether two patterns of equal specificity match a common name.
func unify(p, q []string) bool {
	if weight(p) != weight(q) {
		return false
	}
	for i := 0; ; i++ {
		switch {
		case i >= len(p) || i >= len(q):
			return len(p) == len(q)
		case p[i] == "**" && i == len(p)-1, q[i] == "**" && i == len(q)-1:
			return true
		case p[i] != q[i] && p[i] != "*" && q[i] != "*":
			return false
		}
	}
}

func weight(p []string) int {
	n := 0
	for _, s := range p {
		if s != "*" && s != "**" {
			n++
		}
	}
	if p[len(p)-1] != "**" {
		n++
	}
	return n
}
