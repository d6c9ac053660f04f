package model

import (
	"maps"
	"slices"
	"strings"
	"time"
)

const robotRole = "robot"

// roles are those a person holds: admin by the certificate, others by a grant
// whose giver was not taken back before.
func (l *law) roles(p person) (roles []string, robot bool) {
	for _, r := range roleNames() {
		g, ok := l.grants[p][r]
		if ok {
			t, gone := l.taken[g.by]
			ok = !gone || g.at.Before(t.since)
		}
		if ok || r == "admin" && strings.HasPrefix(p.name, "admin") {
			roles = append(roles, r)
			robot = robot || r == robotRole || r == "gateway"
		}
	}
	return roles, robot
}

func roleNames() []string {
	return []string{"admin", "publisher", "scanner", "release-manager", "auditor", "gateway", robotRole}
}

// may: a member's person that holds one of the roles and is not taken back.
func (l *law) may(p person, roles ...string) bool {
	if _, gone := l.taken[p]; gone || !slices.Contains(l.members, p.org) {
		return false
	}
	has, _ := l.roles(p)
	return slices.ContainsFunc(roles, func(r string) bool { return slices.Contains(has, r) })
}

func (l *law) reached(p person, at time.Time) bool {
	t, gone := l.taken[p]
	return gone && !at.Before(t.since)
}

// bought: who spoke had the role from somebody who is taken back, and spoke since that
// was somebody else.
func (l *law) bought(p person, role string, at time.Time) bool {
	g, ok := l.granted[p][role]
	return ok && l.reached(g.by, g.at) && l.reached(g.by, at)
}

// owner is who records the events of a repository: by the longest namespace.
func (l *law) owner(repo string) string {
	best, who := -1, ""
	for ns, org := range l.owners {
		if (ns == "" || repo == ns || strings.HasPrefix(repo, ns+"/")) && len(ns) > best {
			best, who = len(ns), org
		}
	}
	return who
}

// governing is the policy of a repository: the most specific pattern.
func (l *law) governing(repo string) *policy {
	var found *policy
	for _, name := range slices.Sorted(maps.Keys(l.policies)) {
		if p := l.policies[name]; p.matches(repo) && (found == nil || p.specific() > found.specific()) {
			found = p
		}
	}
	return found
}
