package evidence

import "strings"

// Kind is one kind of document that facts are read from. docs/evidence.md has a
// row for each.
type Kind struct {
	Name string // of the document, as its makers call it
	Type string // of evidence
	// Predicates are the predicateTypes of statements that carry it; one that ends in
	// "/*" has versions below it, or none. A kind without any is read as a plain
	// document only.
	Predicates []string

	// is tells a bare document by the members that identify it; nil where it has none
	// of its own: its type has to be named.
	is func(m map[string]any) bool
}

// Kinds returns the kinds of documents, in the order in which a bare one is
// compared with them. Of a predicateType that several name, the content tells
// them apart (typeOfStatement).
func Kinds() []Kind {
	return []Kind{
		{"cosign signature in a statement", TypeSignature, []string{cosignSignPredicate}, nil},
		{"SPDX 2.2 and 2.3 JSON", TypeSBOM, []string{"https://spdx.dev/Document/*"}, func(m map[string]any) bool { return has(m, "spdxVersion") }},
		{"SPDX 3.0 JSON-LD", TypeSBOM, []string{"https://spdx.dev/Document/*"}, isSPDX3},
		{"CycloneDX VEX, 1.4 and later", TypeVEX, []string{"https://cyclonedx.org/bom/*"}, isCycloneVEX},
		{"CycloneDX 1.2 and later", TypeSBOM, []string{"https://cyclonedx.org/bom/*"}, isCycloneDX},
		{"CycloneDX 1.4 and later with vulnerabilities", TypeScan, nil, nil},
		{"Trivy JSON", TypeScan, nil, nil},
		{"Grype JSON", TypeScan, nil, nil},
		{"SARIF 2.1.0", TypeScan, nil, nil},
		{"GitLab container scanning report", TypeScan, nil, isGitLab},
		{"AWS Security Finding Format", TypeScan, nil, isASFF},
		{"cosign vulnerability predicate", TypeScan, []string{"https://cosign.sigstore.dev/attestation/vuln/v1"}, nil},
		{"in-toto vulnerability predicate", TypeScan, []string{"https://in-toto.io/attestation/vulns/*"}, func(m map[string]any) bool { return scanFormat(m) != nil }},
		{"OpenVEX", TypeVEX, []string{"https://openvex.dev/ns/*"}, func(m map[string]any) bool {
			return strings.HasPrefix(str(m, "@context"), "https://openvex.dev/ns")
		}},
		{"CSAF 2.0 VEX", TypeVEX, nil, isCSAF},
		{"SLSA provenance v1", TypeProvenance, []string{"https://slsa.dev/provenance/v1"}, func(m map[string]any) bool { return has(m, "buildDefinition") }},
		{"SLSA provenance v0.2", TypeProvenance, []string{"https://slsa.dev/provenance/v0.2"}, func(m map[string]any) bool {
			return has(m, "builder", "id") && has(m, "buildType")
		}},
		{"in-toto test result", TypeTest, []string{"https://in-toto.io/attestation/test-result/*"}, func(m map[string]any) bool {
			return has(m, "result") && has(m, "configuration")
		}},
		{"SLSA verification summary v1", TypeVSA, []string{vsaPredicate}, func(m map[string]any) bool { return has(m, "verificationResult") }},
		{"in-toto simple verification result", TypeSVR, []string{svrPredicate + "v0.1", svrPredicate + "v0.2"}, func(m map[string]any) bool {
			return has(m, "verifier", "id") && has(m, "properties") && has(m, "timeCreated")
		}},
		{"review", TypeReview, nil, func(m map[string]any) bool { return has(m, "approved") && has(m, "reviewers") }},
	}
}

func isCycloneDX(m map[string]any) bool { return str(m, "bomFormat") == "CycloneDX" }

// carries tells whether statements of the predicateType uri carry this kind.
func (k Kind) carries(uri string) bool {
	for _, p := range k.Predicates {
		if base, versions := strings.CutSuffix(p, "/*"); uri == p || versions && below(uri, base) {
			return true
		}
	}
	return false
}

// typeOfPredicate says which type of evidence a signed predicateType is. One
// that is not known is custom, under a name made from its URI.
func typeOfPredicate(uri string) string {
	if rest, ok := strings.CutPrefix(uri, ownPredicate); ok {
		if typ, ok := strings.CutSuffix(rest, ownVersion); ok && CheckType(typ) == nil {
			return typ
		}
	}
	for _, k := range Kinds() {
		if k.carries(uri) {
			return k.Type
		}
	}
	return CustomPrefix + customNameOf(uri)
}

// typeOfStatement is typeOfPredicate, where the content tells what kind of document
// it is of those that the predicateType names: what was signed decides, and never
// whoever hands it in.
func typeOfStatement(uri string, predicate map[string]any) string {
	for _, k := range Kinds() {
		if k.carries(uri) && k.is != nil && k.is(predicate) {
			return k.Type
		}
	}
	return typeOfPredicate(uri)
}

// sniff finds the type of a bare document by the members that identify its
// format; "" when none does.
func sniff(m map[string]any) string {
	for _, k := range Kinds() {
		if k.is != nil && k.is(m) {
			return k.Type
		}
	}
	return ""
}
