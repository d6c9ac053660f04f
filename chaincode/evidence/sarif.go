package evidence

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
)

// readSARIF reads SARIF 2.1.0 (OASIS): every result of a kind that fails is a
// finding. A run that did not succeed says nothing and is refused, and so is a log
// of which no run looked for vulnerabilities: the format is that of any checker.
func readSARIF(m map[string]any, s *scan) error {
	runs := list(m, "runs")
	if len(runs) == 0 {
		return invalid("sarif: no runs")
	}
	looked := false
	for _, run := range runs {
		r, err := readSARIFRun(run, s)
		if err != nil {
			return err
		}
		looked = looked || r
	}
	if !looked {
		return invalid("sarif: no run says that it looked for vulnerabilities")
	}
	return nil
}

// readSARIFRun reads a run, and tells whether it looked for vulnerabilities.
func readSARIFRun(run any, s *scan) (looked bool, err error) {
	driver := at(run, "tool", "driver")
	s.scanner = cmp.Or(s.scanner, str(driver, "name"))
	s.version = cmp.Or(s.version, str(driver, "semanticVersion"), str(driver, "version"))
	for _, invocation := range list(run, "invocations") {
		if at(invocation, "executionSuccessful") == false {
			return false, invalid("sarif: a run did not succeed")
		}
		if t := claimedTime(str(invocation, "endTimeUtc")); t.After(s.madeAt) {
			s.madeAt = t
		}
	}
	// null results: the run did not look; an empty list: it found nothing.
	results := list(run, "results")
	if results == nil {
		return false, invalid("sarif: a run without results")
	}
	s.names.reference(str(run, "properties", "imageName"))
	for _, d := range list(run, "properties", "repoDigests") {
		d, _ := d.(string)
		s.names.manifest(d)
	}
	s.names.config(str(run, "properties", "imageID"))
	rules := sarifRulesOf(run)
	looked = slices.ContainsFunc(packageScanners(), func(name string) bool {
		return strings.HasPrefix(strings.ToLower(str(driver, "name")), name)
	})
	for _, result := range results {
		switch str(result, "kind") {
		case "pass", "notApplicable", "informational":
			continue
		}
		id, rule := rules.of(result)
		if otherCheck(rule) {
			continue
		}
		f, err := sarifFinding(id, result, rule)
		if err != nil {
			return false, err
		}
		add := s.add
		if suppressed(result) {
			add = s.ignore
		}
		if err := add(f); err != nil {
			return false, err
		}
		looked = looked || perFlaw.MatchString(f.id) || distroAdvisory.MatchString(f.id) || slices.Contains(sarifTags(rule), "vulnerability")
	}
	return looked, nil
}

// suppressed tells whether somebody has set a result aside, and nobody has refused that
// or has yet to answer (SARIF 2.1.0, section 3.27.23).
func suppressed(result any) bool {
	suppressions := list(result, "suppressions")
	return len(suppressions) > 0 && !slices.ContainsFunc(suppressions, func(s any) bool {
		status := str(s, "status")
		return status != "" && status != "accepted"
	})
}

// packageScanners look for vulnerabilities in packages and for nothing else: a list
// of theirs without one says that there are none. Trivy's says nothing: whatever it
// was asked to look for, it is the same.
func packageScanners() []string {
	return []string{"grype", "snyk container", "docker scout", "osv-scanner", "clair"}
}

var distroAdvisory = regexp.MustCompile(`^(ALAS|ALASKERNEL|ALINUX|ALPINE|ALSA|BDSA|CGA|DEBIAN|DLA|DSA|ELSA|GMS|PRISMA|RHSA|RLSA|SONATYPE|SUSE|TEMP|UBUNTU|USN|VULNDB|WS|XRAY)[0-9]*-`)

// otherCheck tells whether a rule is one of a checker's that looks for other things
// than vulnerabilities as well.
func otherCheck(rule any) bool {
	switch str(rule, "name") {
	case "Misconfiguration", "Secret", "License": // Trivy's
		return true
	}
	tags := sarifTags(rule)
	return !slices.Contains(tags, "vulnerability") && slices.ContainsFunc([]string{"misconfiguration", "secret", "license"}, func(tag string) bool {
		return slices.Contains(tags, tag)
	})
}

func sarifTags(of any) (tags []string) {
	for _, tag := range list(of, "properties", "tags") {
		if tag, ok := tag.(string); ok {
			tags = append(tags, strings.ToLower(tag))
		}
	}
	return tags
}

// helpText is how Trivy's and Grype's help begins. Grype's rules are named after
// the vulnerability and the package.
var helpText = regexp.MustCompile(`^Vulnerability (\S+)\nSeverity: ([A-Za-z]+)\n`)

func sarifFinding(id string, result, rule any) (finding, error) {
	f := finding{id: id}
	if help := helpText.FindStringSubmatch(str(rule, "help", "text")); help != nil {
		f.id = help[1]
	} else if name := advisory.FindStringSubmatch(id); name != nil && len(flawNames.FindAllString(id, 2)) == 1 {
		f.id = name[2]
	}
	var related []string
	for _, name := range list(rule, "deprecatedIds") { // osv-scanner's
		name, _ := name.(string)
		related = append(related, name)
	}
	f.aliases = aliasesOf(f.id, related)
	f.packages = sarifPackages(rule, result)
	var err error
	f.severity, err = sarifSeverity(f.id, result, rule)
	return f, err
}

// sarifPackages returns the package URLs that a rule and a result hold, as Grype's
// and Docker Scout's do; nil where there is none, or one that cannot be read.
func sarifPackages(of ...any) (packages []string) {
	for _, o := range of {
		for _, p := range list(o, "properties", "purls") {
			name, _ := p.(string)
			purl := purlOf(name)
			if purl == "" {
				return nil
			}
			packages = append(packages, purl)
		}
	}
	return packages
}

// sarifLevels are the levels of a result, as indexes of severities.
var sarifLevels = map[string]int{"error": 1, "warning": 2, "note": 3} //nolint:gochecknoglobals // a constant table

var (
	severityPhrase = regexp.MustCompile(`(?i)^([a-z]+) severity - `)               // Snyk's title
	clairMessage   = regexp.MustCompile(`^\[[^\]\n]* - [^\]\n]* - ([A-Za-z]+)\] `) // clair-action's message
)

// sarifSeverity is how the scanner itself rates the finding, where it says so by a
// name: security-severity is a base score, often another's. Without one it is that
// score, and at least high where the level is error; without a score, the level. What
// calls itself a severity and cannot be read refuses the report.
func sarifSeverity(id string, result, rule any) (int, error) {
	var named []string
	var scores []any
	for _, of := range []any{result, rule} {
		named = append(named, sarifTags(of)...)
		for _, name := range []string{"severity", "cvssV3_severity"} {
			given := at(of, "properties", name)
			text, isText := given.(string)
			_, isName := severity(text)
			_, isScore := score(given)
			level, isLevel := sarifLevels[strings.ToLower(text)]
			switch {
			case given == nil || isText && text == "":
			case isName:
				named = append(named, text)
			case isLevel:
				named = append(named, severities[level])
			case isScore:
				scores = append(scores, given)
			default:
				return 0, unrated(id, text)
			}
		}
	}
	if help := helpText.FindStringSubmatch(str(rule, "help", "text")); help != nil {
		named = append(named, help[2])
	}
	if title := severityPhrase.FindStringSubmatch(str(rule, "shortDescription", "text")); title != nil {
		named = append(named, title[1])
	}
	if message := clairMessage.FindStringSubmatch(str(result, "message", "text")); message != nil {
		named = append(named, message[1])
	}
	worst, unknown := unknownSeverity, false
	for _, name := range named {
		if s, ok := severity(name); ok {
			worst, unknown = min(worst, s), unknown || s == unknownSeverity
		}
	}
	if worst != unknownSeverity {
		return worst, nil
	}
	for _, name := range []string{"security-severity", "cvssv3_baseScore"} {
		scores = append(scores, at(result, "properties", name), at(rule, "properties", name))
	}
	scored := false
	for _, given := range scores {
		if given == nil || given == "" || scored {
			continue
		}
		s, ok := rating(given)
		if !ok {
			text, _ := given.(string)
			return 0, unrated(id, text)
		}
		worst, scored = s, true
	}
	level := cmp.Or(str(result, "level"), str(rule, "defaultConfiguration", "level"), "warning")
	switch at, known := sarifLevels[level]; {
	case worst != unknownSeverity && level == "error":
		return min(worst, at), nil
	case worst != unknownSeverity, unknown:
		return worst, nil
	case known:
		return at, nil
	case scored:
		return unknownSeverity, nil
	}
	return 0, unrated(id, level)
}
