package evidence

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/strictjson"
)

// severities, worst first. Unknown is last: it cannot be compared, and rules
// that fear it count it by its own fact.
var severities = [...]string{"critical", "high", "medium", "low", "negligible", "unknown"} //nolint:gochecknoglobals // a constant list

const unknownSeverity = len(severities) - 1

// scan gathers a scanner's findings, one per vulnerability id: what a report
// says of several packages is counted once, at its worst, so that the counts,
// the list of findings and what a VEX document suppresses speak of the same.
type scan struct {
	findings   map[string]finding
	scanner    string
	version    string
	databaseAt string
	madeAt     time.Time
}

type finding struct {
	id       string
	severity int // index of severities
	fixable  bool
}

func (s *scan) add(id string, severity int, fixable bool) error {
	if id == "" || len(id) > maxText || !printable(id) {
		return invalid("scan: finding with id %q", clip(id))
	}
	f, known := s.findings[id]
	if !known {
		f = finding{id: id, severity: severity}
	}
	f.severity = min(f.severity, severity)
	f.fixable = f.fixable || fixable
	if s.findings == nil {
		s.findings = map[string]finding{}
	}
	s.findings[id] = f
	return nil
}

func (s *scan) facts() (map[string]any, error) {
	counts := [len(severities)]int64{}
	fixable := int64(0)
	sorted := slices.SortedFunc(maps.Values(s.findings), func(a, b finding) int {
		return cmp.Or(cmp.Compare(a.severity, b.severity), cmp.Compare(a.id, b.id))
	})
	listed := []any{}
	for _, f := range sorted {
		counts[f.severity]++
		if f.fixable {
			fixable++
		}
		if len(listed) < maxListed {
			listed = append(listed, map[string]any{"id": f.id, "severity": severities[f.severity], "fixable": f.fixable})
		}
	}
	facts := map[string]any{
		"total":          int64(len(sorted)),
		"fixable":        fixable,
		"findings":       listed,
		"truncated":      len(listed) < len(sorted),
		"scanner":        text(s.scanner),
		"scannerVersion": text(s.version),
		"databaseAt":     rfc3339(s.databaseAt),
	}
	for i, name := range severities {
		facts[name] = counts[i]
	}
	return truncate(facts, "findings")
}

// rfc3339 is a claimed time in one spelling, "" when it is none.
func rfc3339(s string) string {
	if t := claimedTime(s); !t.IsZero() {
		return t.Format(time.RFC3339)
	}
	return ""
}

func scanFacts(m map[string]any) (extracted, error) {
	read := scanFormat(m)
	if read == nil {
		return extracted{}, invalid("scan: neither Trivy, Grype nor SARIF 2.1 JSON, nor a cosign or in-toto vulnerability predicate")
	}
	s := scan{}
	if err := read(m, &s); err != nil {
		return extracted{}, err
	}
	facts, err := s.facts()
	return extracted{facts: facts, predicateType: ownPredicate + TypeScan + ownVersion, madeAt: s.madeAt}, err
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
	case list(m, "scanner", "result") != nil:
		return readInTotoVulns
	case object(m, "scanner", "result") != nil:
		return readCosignVuln
	}
	return nil
}

// readTrivy reads aquasecurity/trivy's JSON report (pkg/types/report.go). An
// image without packages has no Results.
func readTrivy(m map[string]any, s *scan) error {
	s.scanner, s.version = "trivy", str(m, "Trivy", "Version")
	s.madeAt = claimedTime(str(m, "CreatedAt"))
	if has(m, "Results") && list(m, "Results") == nil {
		return invalid("trivy: Results is no list")
	}
	for _, r := range list(m, "Results") {
		if has(r, "Vulnerabilities") && list(r, "Vulnerabilities") == nil {
			return invalid("trivy: Vulnerabilities is no list")
		}
		for _, v := range list(r, "Vulnerabilities") {
			if err := s.add(str(v, "VulnerabilityID"), severity(str(v, "Severity")), str(v, "FixedVersion") != ""); err != nil {
				return err
			}
		}
	}
	return nil
}

// readGrype reads anchore/grype's JSON report (grype/presenter/models).
func readGrype(m map[string]any, s *scan) error {
	s.scanner, s.version = str(m, "descriptor", "name"), str(m, "descriptor", "version")
	s.databaseAt = cmp.Or(str(m, "descriptor", "db", "status", "built"), str(m, "descriptor", "db", "built"))
	s.madeAt = claimedTime(str(m, "descriptor", "timestamp"))
	if list(m, "matches") == nil {
		return invalid("grype: matches is no list")
	}
	for _, match := range list(m, "matches") {
		v := at(match, "vulnerability")
		if err := s.add(str(v, "id"), severity(str(v, "severity")), str(v, "fix", "state") == "fixed"); err != nil {
			return err
		}
	}
	return nil
}

// readCosignVuln reads cosign's vulnerability predicate (specs/
// COSIGN_VULN_ATTESTATION_SPEC.md), which holds a scanner's own report.
func readCosignVuln(m map[string]any, s *scan) error {
	result := object(m, "scanner", "result")
	read := scanFormat(result)
	if read == nil || has(result, "scanner") {
		return invalid("scan: scanner.result is neither Trivy, Grype nor SARIF 2.1 JSON")
	}
	if err := read(result, s); err != nil {
		return err
	}
	s.version = cmp.Or(str(m, "scanner", "version"), s.version)
	s.databaseAt = cmp.Or(str(m, "scanner", "db", "lastUpdate"), s.databaseAt)
	if t := claimedTime(str(m, "metadata", "scanFinishedOn")); !t.IsZero() {
		s.madeAt = t
	}
	return nil
}

// readInTotoVulns reads in-toto/attestation's vulns predicate, v0.1 and v0.2.
func readInTotoVulns(m map[string]any, s *scan) error {
	s.scanner, s.version = str(m, "scanner", "uri"), str(m, "scanner", "version")
	s.databaseAt = str(m, "scanner", "db", "lastUpdate")
	s.madeAt = claimedTime(str(m, "metadata", "scanFinishedOn"))
	for _, r := range list(m, "scanner", "result") {
		worst := unknownSeverity
		for _, sev := range list(r, "severity") {
			worst = min(worst, severity(str(sev, "score")), score(at(sev, "score")))
		}
		if err := s.add(str(r, "id"), worst, false); err != nil {
			return err
		}
	}
	return nil
}

// severity reads a severity's name; one it does not know is unknown.
func severity(name string) int {
	if i := slices.Index(severities[:], strings.ToLower(name)); i >= 0 {
		return i
	}
	return unknownSeverity
}

// score reads a CVSS base score, a number or a text, by the bands of the CVSS
// v3.1 specification, section 5. Zero is how scanners write "none known".
func score(v any) int {
	literal := ""
	switch x := v.(type) {
	case string:
		literal = x
	case int64:
		literal = strconv.FormatInt(x, 10)
	case strictjson.Number:
		literal = string(x)
	}
	whole, fraction, _ := strings.Cut(literal, ".")
	n, err := strconv.Atoi(whole)
	if err != nil || n < 0 || n > 10 || strings.Trim(fraction, "0123456789") != "" {
		return unknownSeverity
	}
	switch {
	case n >= 9:
		return 0
	case n >= 7:
		return 1
	case n >= 4:
		return 2
	case n > 0 || strings.Trim(fraction, "0") != "":
		return 3
	}
	return unknownSeverity
}
