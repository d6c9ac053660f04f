package evidence

import (
	"cmp"
	"slices"
)

// readGrype reads anchore/grype's JSON report (grype/presenter/models).
func readGrype(m map[string]any, s *scan) error {
	s.scanner, s.version = str(m, "descriptor", "name"), str(m, "descriptor", "version")
	s.databaseAt = cmp.Or(str(m, "descriptor", "db", "status", "built"), str(m, "descriptor", "db", "built"))
	s.madeAt = claimedTime(str(m, "descriptor", "timestamp"))
	if list(m, "matches") == nil {
		return invalid("grype: matches is no list")
	}
	if has(m, "ignoredMatches") && list(m, "ignoredMatches") == nil {
		return invalid("grype: ignoredMatches is no list")
	}
	for _, match := range list(m, "matches") {
		f, err := grypeFinding(match)
		if err != nil {
			return err
		}
		if err := s.add(f); err != nil {
			return err
		}
	}
	for _, match := range list(m, "ignoredMatches") {
		if distributionsWord(match) {
			continue
		}
		f, err := grypeFinding(match)
		if err != nil {
			return err
		}
		if err := s.ignore(f); err != nil {
			return err
		}
	}
	for _, of := range list(m, "alertsByPackage") {
		for _, alert := range list(of, "alerts") {
			if str(alert, "type") == "distro-eol" {
				s.endOfLife = true
			}
		}
	}
	target := at(m, "source", "target")
	s.names.reference(str(target, "userInput"))
	s.names.manifest(str(target, "manifestDigest"))
	for _, d := range list(target, "repoDigests") {
		d, _ := d.(string)
		s.names.manifest(d)
	}
	s.names.config(str(target, "imageID"))
	return nil
}

// distributionsWord tells whether Grype itself left a match out, because the
// distribution says that its package is not affected: nobody has ignored anything.
func distributionsWord(ignored any) bool {
	rules := list(ignored, "appliedIgnoreRules")
	return len(rules) > 0 && !slices.ContainsFunc(rules, func(rule any) bool {
		switch str(rule, "reason") {
		case "Explicit APK NAK", "Distro Fixed", "Distro Not Vulnerable", "Alma Unaffected", "UnaffectedPackageEntry":
			return false
		}
		return true
	})
}

func grypeFinding(match any) (finding, error) {
	v := at(match, "vulnerability")
	f := finding{id: str(v, "id"), fixable: str(v, "fix", "state") == "fixed"}
	var ok bool
	if f.severity, ok = severity(str(v, "severity")); !ok && f.id != "" {
		return f, unrated(f.id, str(v, "severity"))
	}
	var related []string
	for _, r := range list(match, "relatedVulnerabilities") {
		related = append(related, str(r, "id"))
	}
	f.aliases = aliasesOf(f.id, related)
	if purl := purlOf(str(match, "artifact", "purl")); purl != "" {
		f.packages = []string{purl}
	}
	return f, nil
}
