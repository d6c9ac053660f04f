package evidence

import (
	"cmp"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"
)

// scan gathers a scanner's findings, one per vulnerability: what a report says of
// several packages, and under several names of one flaw, is counted once, at its
// worst, so that the counts, the list of findings and what a VEX document
// suppresses speak of the same.
type scan struct {
	findings   []finding
	ignored    []finding // found, and set aside by the scanner's own configuration
	endOfLife  any       // bool: of the image's OS; nil where the report does not say
	scanner    string
	version    string
	databaseAt string
	madeAt     time.Time
	names      ImageNames
}

// finding is one vulnerability as a report has it.
type finding struct {
	id       string
	aliases  []string
	severity int // index of severities
	fixable  bool
	packages []string // canonical package URLs; nil where one is not known
}

// suffixed is the name of a flaw in what some tools write behind it, as that of a package.
var suffixed = regexp.MustCompile(`(?i)^(?:(CVE-[0-9]{4}-[0-9]+)|GHSA((?:-[0-9a-z]{4}){3}))(?:$|[^0-9a-z])`)

// flawNames finds names of flaws wherever they stand, to tell one from several.
var flawNames = regexp.MustCompile(`(?i)CVE-[0-9]{4}-[0-9]+|GHSA(-[0-9a-z]{4}){3}`)

// nameOfFlaw is an id without what stands behind the one name in it.
func nameOfFlaw(id string) string {
	if name := suffixed.FindStringSubmatch(id); name == nil || len(flawNames.FindAllString(id, 2)) > 1 {
		return id
	} else if name[1] != "" {
		return strings.ToUpper(name[1])
	} else {
		return "GHSA" + strings.ToLower(name[2])
	}
}

func (s *scan) add(f finding) error {
	f.id = nameOfFlaw(f.id)
	for _, id := range append([]string{f.id}, f.aliases...) {
		if id == "" || text(id) != id || !printable(id) {
			return invalid("scan: finding with id %q", clip(id))
		}
	}
	s.findings = append(s.findings, f)
	return nil
}

func (s *scan) ignore(f finding) error {
	f.id = nameOfFlaw(f.id)
	if f.id == "" || text(f.id) != f.id || !printable(f.id) {
		return invalid("scan: finding with id %q", clip(f.id))
	}
	s.ignored = append(s.ignored, f)
	return nil
}

// maxPackages bounds the packages that one finding keeps.
const maxPackages = 32

func (s *scan) facts() (map[string]any, error) {
	ignored := byFlaw(s.ignored)
	findings := s.findings
	if len(findings) == 0 {
		// A report that was emptied is no empty report.
		findings = s.ignored
	}
	sorted := byFlaw(findings)
	slices.SortFunc(sorted, func(a, b finding) int {
		return cmp.Or(cmp.Compare(a.severity, b.severity), cmp.Compare(a.id, b.id))
	})
	counts := [len(severities)]int64{}
	fixable := int64(0)
	listed := []any{}
	for _, f := range sorted {
		counts[f.severity]++
		if f.fixable {
			fixable++
		}
		if len(listed) < maxListed {
			listed = append(listed, f.fact())
		}
	}
	facts := map[string]any{
		"total":          int64(len(sorted)),
		"fixable":        fixable,
		"ignored":        int64(len(ignored)),
		"findings":       listed,
		"truncated":      len(listed) < len(sorted),
		"scanner":        text(s.scanner),
		"scannerVersion": text(s.version),
		"databaseAt":     rfc3339(s.databaseAt),
	}
	if s.endOfLife != nil {
		facts["endOfLife"] = s.endOfLife
	}
	for i, name := range severities {
		facts[name] = counts[i]
	}
	if err := forgetPackages(facts, listed); err != nil {
		return nil, err
	}
	return truncate(facts, "findings")
}

func (f finding) fact() map[string]any {
	fact := map[string]any{"id": f.id, "severity": severities[f.severity], "fixable": f.fixable}
	if len(f.aliases) > 0 {
		fact["aliases"] = anyList(f.aliases)
	}
	if len(f.packages) > 0 {
		fact["packages"] = anyList(f.packages)
	}
	return fact
}

// forgetPackages takes the packages off the findings from the last, until the
// facts are within MaxFacts: a finding without them stands, whatever is said of a
// package.
func forgetPackages(facts map[string]any, listed []any) error {
	b, err := marshal(facts)
	if err != nil {
		return err
	}
	for i, over := len(listed)-1, len(b)-MaxFacts; i >= 0 && over > 0; i-- {
		f, _ := listed[i].(map[string]any)
		packages, known := f["packages"]
		if !known {
			continue
		}
		b, err := json.Marshal(packages)
		if err != nil {
			return invalid("facts: %v", err)
		}
		over -= len(b) + len(`,"packages":`)
		delete(f, "packages")
	}
	return nil
}

// rfc3339 is a claimed time in one spelling, "" when it is none.
func rfc3339(s string) string {
	if t := claimedTime(s); !t.IsZero() {
		return t.Format(time.RFC3339)
	}
	return ""
}

var (
	cve = regexp.MustCompile(`^CVE-[0-9]{4}-[0-9]+$`)
	// perFlaw are databases that give each flaw a name of its own; a distribution's
	// advisory names an update, which fixes several.
	perFlaw  = regexp.MustCompile(`^(CVE|GHSA|GO|PYSEC|RUSTSEC|OSV|GSD|EUVD|MAL|SNYK)-`)
	advisory = regexp.MustCompile(`(?i)(^|[^a-z0-9])(CVE-[0-9]{4}-[0-9]+|GHSA(-[0-9a-z]{4}){3})($|[^a-z0-9])`)
)

// aliasesOf returns those of the related names that are names of the same flaw.
// Where there is more than one CVE among the names, none is another's alias.
func aliasesOf(id string, related []string) []string {
	var aliases []string
	cves := map[string]bool{}
	for _, name := range append([]string{id}, related...) {
		if cve.MatchString(name) {
			cves[name] = true
		}
		if perFlaw.MatchString(name) && name != id && text(name) == name && printable(name) {
			aliases = append(aliases, name)
		}
	}
	if len(cves) > 1 {
		return nil
	}
	return aliases
}

func scanFacts(m map[string]any) (extracted, error) {
	read := scanFormat(m)
	if read == nil {
		return extracted{}, invalid("scan: neither Trivy, Grype, SARIF 2.1, GitLab, ASFF nor CycloneDX JSON, nor a cosign or in-toto vulnerability predicate")
	}
	s := scan{}
	if err := read(m, &s); err != nil {
		return extracted{}, err
	}
	facts, err := s.facts()
	return extracted{facts: facts, predicateType: ownPredicate + TypeScan + ownVersion, madeAt: s.madeAt, names: s.names}, err
}

// scanFormat finds a report's format by the members that identify it.
func scanFormat(m map[string]any) func(map[string]any, *scan) error {
	switch {
	case at(m, "SchemaVersion") == int64(2) && has(m, "ArtifactName"):
		return readTrivy
	case has(m, "matches") && has(m, "descriptor"):
		return readGrype
	case str(m, "version") == "2.1.0" && has(m, "runs"):
		return readSARIF
	case isGitLab(m):
		return readGitLab
	case isASFF(m):
		return readASFF
	case isCycloneDX(m):
		return readCycloneScan
	case list(m, "scanner", "result") != nil:
		return readInTotoVulns
	case object(m, "scanner", "result") != nil:
		return readCosignVuln
	}
	return nil
}
