package evidence

import (
	"cmp"
	"strings"
)

// readCosignVuln reads cosign's vulnerability predicate (specs/
// COSIGN_VULN_ATTESTATION_SPEC.md), which holds a scanner's own report.
func readCosignVuln(m map[string]any, s *scan) error {
	result := object(m, "scanner", "result")
	read := scanFormat(result)
	if read == nil || has(result, "scanner") {
		return invalid("scan: scanner.result is no report of a known format")
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
	if has(m, "invocation") { // cosign's
		return invalid("scan: scanner.result is a list, and no report of a known format")
	}
	s.scanner, s.version = str(m, "scanner", "uri"), str(m, "scanner", "version")
	if s.scanner == "" && len(list(m, "scanner", "result")) == 0 {
		return invalid("scan: no scanner is named, and nothing was found")
	}
	s.databaseAt = str(m, "scanner", "db", "lastUpdate")
	s.madeAt = claimedTime(str(m, "metadata", "scanFinishedOn"))
	for _, r := range list(m, "scanner", "result") {
		if has(r, "vulnerability") { // version 0.1
			r = at(r, "vulnerability")
		}
		f := finding{id: str(r, "id")}
		var err error
		if f.severity, err = inTotoSeverity(f.id, at(r, "severity")); err != nil {
			return err
		}
		if err := s.add(f); err != nil {
			return err
		}
	}
	return nil
}

// inTotoSeverity reads one or several ratings: {"method":"nvd","score":"9.8"}, as
// an object or in a list, or the score alone. The worst counts. A CVSS vector is
// left out beside a rating that can be read, and is none by itself or beside "unknown".
func inTotoSeverity(id string, given any) (int, error) {
	ratings, ok := given.([]any)
	if !ok {
		ratings = []any{given}
	}
	worst, rated, vectors := unknownSeverity, false, ""
	for _, r := range ratings {
		value := r
		if o, ok := r.(map[string]any); ok {
			value = o["score"]
		}
		if s, ok := rating(value); ok {
			worst, rated = min(worst, s), true
		} else if vector, _ := value.(string); strings.HasPrefix(vector, "CVSS:") {
			vectors = vector
		} else {
			return 0, unrated(id, vector)
		}
	}
	if !rated || worst == unknownSeverity && vectors != "" {
		return 0, unrated(id, vectors)
	}
	return worst, nil
}
