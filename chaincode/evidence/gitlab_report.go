package evidence

import (
	"cmp"
	"strings"
)

// isGitLab tells a security report of GitLab (security-report-schemas).
func isGitLab(m map[string]any) bool {
	return has(m, "scan", "type") && has(m, "scan", "scanner") && has(m, "vulnerabilities") && str(m, "version") != ""
}

// readGitLab reads GitLab's container scanning report. Its reports of other scans
// have the same form: they are about sources, or about what runs in a cluster, and
// none of them is a scan of the image.
func readGitLab(m map[string]any, s *scan) error {
	scanned := at(m, "scan")
	if kind := str(scanned, "type"); kind != "container_scanning" {
		return invalid("gitlab: a report of a %q is no scan of an image", clip(kind))
	}
	if status := str(scanned, "status"); status != "success" {
		return invalid("gitlab: the scan ended with %q", clip(status))
	}
	if list(m, "vulnerabilities") == nil {
		return invalid("gitlab: vulnerabilities is no list")
	}
	s.scanner = cmp.Or(str(scanned, "scanner", "id"), str(scanned, "scanner", "name"))
	s.version = str(scanned, "scanner", "version")
	if s.scanner == "" {
		return invalid("gitlab: no scanner is named")
	}
	// The schema writes times without a zone, and means UTC.
	end := str(scanned, "end_time")
	s.madeAt = claimedTime(end)
	if s.madeAt.IsZero() {
		s.madeAt = claimedTime(end + "Z")
	}
	for _, v := range list(m, "vulnerabilities") {
		s.names.manifest(str(v, "location", "image"))
		if err := readGitLabVulnerability(v, s); err != nil {
			return err
		}
	}
	return nil
}

func readGitLabVulnerability(v any, s *scan) error {
	f := finding{}
	var ok bool
	var cves, others []string
	for _, i := range list(v, "identifiers") {
		switch name := cmp.Or(str(i, "value"), str(i, "name")); str(i, "type") {
		case "cve":
			cves = append(cves, name)
		case "cwe", "owasp": // a class of flaws
		default:
			others = append(others, name)
		}
	}
	ids := append(cves, others...)
	if len(ids) == 0 {
		return invalid("gitlab: a vulnerability without an identifier")
	}
	if f.severity, ok = severity(str(v, "severity")); !ok {
		return unrated(ids[0], str(v, "severity"))
	}
	if solution := str(v, "solution"); solution != "" && solution != "No solution provided" {
		f.fixable = true
	}
	family, _, _ := strings.Cut(str(v, "location", "operating_system"), " ")
	if p := trivyPURL(strings.ToLower(family), str(v, "location", "dependency", "package", "name"), str(v, "location", "dependency", "version")); p != "" {
		f.packages = []string{p}
	}
	if len(cves) == 0 {
		cves = others[:1]
	}
	for _, id := range cves {
		f.id, f.aliases = id, aliasesOf(id, ids)
		if err := s.add(f); err != nil {
			return err
		}
	}
	return nil
}
