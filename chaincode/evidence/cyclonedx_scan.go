package evidence

import "strings"

// readCycloneScan reads the vulnerabilities that scanners write into a CycloneDX
// document. Plain SBOMs have an empty list of them, so a document without any is no
// scan; of several ratings the worst counts, for each is another database's.
func readCycloneScan(m map[string]any, s *scan) error {
	bom, err := readCycloneBOM(m)
	if err != nil {
		return err
	}
	vulnerabilities, err := members(m, "vulnerabilities")
	if err != nil {
		return err
	}
	if len(vulnerabilities) == 0 {
		return invalid("cyclonedx: no vulnerability: it does not say that an image was scanned")
	}
	// Without what was looked at and by which tool it is a list of vulnerabilities, as
	// VEX and advisories are.
	if s.scanner, s.version = cycloneTool(m); s.scanner == "" || len(list(m, "components")) == 0 {
		return invalid("cyclonedx: a list of vulnerabilities without a tool or without components is no scan")
	}
	s.madeAt = claimedTime(str(m, "metadata", "timestamp"))
	s.names = cycloneNames(bom.root)
	for _, v := range vulnerabilities {
		f := finding{id: str(v, "id"), fixable: str(v, "recommendation") != "", aliases: cycloneAliases(str(v, "id"), v)}
		if f.severity, err = cycloneSeverity(v); err != nil {
			return err
		}
		known := true
		for _, a := range list(v, "affects") {
			name := bom.name(str(a, "ref"))
			known = known && purlOf(name) != ""
			f.packages = append(f.packages, name)
		}
		if !known {
			f.packages = nil
		}
		add := s.add
		if state := cycloneStates[str(v, "analysis", "state")]; state == "not_affected" || state == "fixed" {
			add = s.ignore
		}
		if err := add(f); err != nil {
			return err
		}
	}
	return nil
}

// cycloneSeverity is the worst of the ratings: of each its name, and where that says
// nothing its CVSS score. Nobody has rated what has no rating; one by its vector or on
// another's scale alone cannot be read.
func cycloneSeverity(v any) (int, error) {
	worst, unread := unknownSeverity, false
	for _, r := range list(v, "ratings") {
		name, method := str(r, "severity"), str(r, "method")
		scored := has(r, "score") && (method == "" || strings.HasPrefix(method, "CVSS"))
		s, ok := severity(name)
		if scored && (name == "" || ok && s == unknownSeverity) {
			s, ok = score(at(r, "score"))
		}
		switch {
		case ok:
			worst = min(worst, s)
		case name == "" && !scored:
			unread = true
		default:
			return 0, unrated(str(v, "id"), name)
		}
	}
	if worst == unknownSeverity && unread {
		return 0, unrated(str(v, "id"), "")
	}
	return worst, nil
}

// cycloneTool is the scanner: tools are a list until 1.4, and components since 1.5.
func cycloneTool(m map[string]any) (name, version string) {
	tools := list(m, "metadata", "tools")
	if tools == nil {
		tools = list(m, "metadata", "tools", "components")
	}
	if len(tools) == 0 {
		return "", ""
	}
	return str(tools[0], "name"), str(tools[0], "version")
}
