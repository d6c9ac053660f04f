package evidence

import (
	"cmp"
	"slices"
	"strings"
)

const (
	asffVersion         = "2018-10-08"
	asffVulnerabilities = "Software and Configuration Checks/Vulnerabilities"
)

// isASFF tells findings in the AWS Security Finding Format, as Security Hub
// exports and imports them.
func isASFF(m map[string]any) bool { return has(m, "Findings") }

// readASFF reads findings in the AWS Security Finding Format (Security Hub user
// guide, "ASFF syntax"). The format has no place for "scanned, and found nothing": a
// document without a vulnerability is no scan. All findings must be about one image.
func readASFF(m map[string]any, s *scan) error {
	findings, err := members(m, "Findings")
	if err != nil {
		return err
	}
	for _, f := range findings {
		if version := str(f, "SchemaVersion"); version != asffVersion {
			return invalid("asff: SchemaVersion %q: want %s", clip(version), asffVersion)
		}
		vulnerabilities, err := members(f, "Vulnerabilities")
		if err != nil {
			return err
		}
		if len(vulnerabilities) == 0 && !namesVulnerability(f) {
			continue // a secret, a configuration
		}
		if kind := asffMachine(f); kind != "" {
			return invalid("asff: a finding is about a %s, no image", clip(kind))
		}
		s.scanner = cmp.Or(s.scanner, str(f, "ProductName"), str(f, "ProductFields", "aws/securityhub/ProductName"), str(f, "ProductFields", "Product Name"))
		if t := claimedTime(str(f, "UpdatedAt")); t.After(s.madeAt) {
			s.madeAt = t
		}
		for _, r := range list(f, "Resources") {
			asffNames(r, s)
		}
		if err := readASFFFinding(f, vulnerabilities, s); err != nil {
			return err
		}
	}
	switch {
	case len(s.findings)+len(s.ignored) == 0:
		return invalid("asff: no finding about a vulnerability: it does not say that an image was scanned")
	case len(s.names.Manifests) > 1:
		return invalid("asff: the findings are about %d images", len(s.names.Manifests))
	}
	return nil
}

// namesVulnerability tells a finding about a vulnerability by its types, or by the
// name of one in its texts.
func namesVulnerability(f any) bool {
	return slices.ContainsFunc(several(at(f, "Types")), func(t any) bool {
		kind, _ := t.(string)
		return strings.HasPrefix(kind, asffVulnerabilities)
	}) || slices.ContainsFunc([]string{"GeneratorId", "Title", "Id"}, func(where string) bool { return advisory.MatchString(str(f, where)) })
}

// asffMachine is what a finding is about where that is a machine or a function: the same
// scanners look at those.
func asffMachine(f any) string {
	for _, r := range list(f, "Resources") {
		if kind := str(r, "Type"); kind == "AwsEc2Instance" || kind == "AwsLambdaFunction" {
			return kind
		}
	}
	return ""
}

// asffNames notes the digest of the image that a resource is: its own, or the end of
// its ARN.
func asffNames(r any, s *scan) {
	id := str(r, "Id")
	s.names.manifest(str(r, "Details", "AwsEcrContainerImage", "ImageDigest"), str(r, "Details", "Container", "ImageName"), id[strings.LastIndexByte(id, '/')+1:])
	s.names.config(str(r, "Details", "Container", "ImageId"))
}

func readASFFFinding(f any, vulnerabilities []any, s *scan) error {
	severity, err := asffSeverity(f)
	if err != nil {
		return err
	}
	add := s.add
	if status := str(f, "Workflow", "Status"); str(f, "RecordState") == "ARCHIVED" || status == "SUPPRESSED" || status == "RESOLVED" {
		add = s.ignore
	}
	for _, v := range vulnerabilities {
		fix := str(v, "FixAvailable")
		one := finding{id: str(v, "Id"), severity: severity, fixable: fix == "YES" || fix == "PARTIAL"}
		var related []string
		for _, name := range list(v, "RelatedVulnerabilities") {
			name, _ := name.(string)
			related = append(related, name)
		}
		one.aliases = aliasesOf(one.id, related)
		if err := add(one); err != nil {
			return err
		}
	}
	if len(vulnerabilities) > 0 {
		return nil
	}
	// Trivy's template has the id among what it says of the resource, others in texts.
	for _, r := range list(f, "Resources") {
		if other := at(r, "Details", "Other"); has(other, "CVE ID") {
			return add(finding{id: str(other, "CVE ID"), severity: severity, fixable: str(other, "Patched Package") != ""})
		}
	}
	for _, where := range []string{"GeneratorId", "Title", "Id"} {
		found := map[string]any{}
		for _, name := range flawNames.FindAllString(str(f, where), -1) {
			found[nameOfFlaw(name)] = true
		}
		if names := sortedNames(found); len(names) == 1 && advisory.MatchString(str(f, where)) {
			return add(finding{id: names[0], severity: severity})
		}
	}
	return invalid("asff: the finding %q names no vulnerability", clip(str(f, "Title")))
}

// asffSeverity is the worse of the label that the hub shows, which its users may
// change, and of the one that the scanner gave.
func asffSeverity(f any) (int, error) {
	worst, rated := unknownSeverity, false
	for _, given := range []any{at(f, "Severity"), at(f, "FindingProviderFields", "Severity")} {
		label := str(given, "Label")
		normalized, ok := at(given, "Normalized").(int64)
		switch {
		case label != "":
			s, known := severity(label)
			if !known {
				return 0, unrated(str(f, "Id"), label)
			}
			worst, rated = min(worst, s), true
		case ok && normalized >= 0 && normalized <= 100:
			worst, rated = min(worst, asffBand(normalized)), true
		}
	}
	if !rated {
		return 0, unrated(str(f, "Id"), "")
	}
	return worst, nil
}

// asffBand reads Severity.Normalized by the bands of the format.
func asffBand(n int64) int {
	switch {
	case n >= 90:
		return 0
	case n >= 70:
		return 1
	case n >= 40:
		return 2
	case n > 0:
		return 3
	}
	return slices.Index(severities[:], "negligible")
}
