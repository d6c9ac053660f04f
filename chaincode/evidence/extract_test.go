package evidence

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// TestExtract reads a document of each format (NAME.TYPE.json), named and
// found out, and holds the facts to golden files.
func TestExtract(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "documents", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			document, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			typ := string(formatOf(file))
			facts, predicateType, madeAt, err := Extract(typ, document, 0)
			if err != nil {
				t.Fatal(err)
			}
			found, _, _, err := Extract("", document, 0)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(facts, found); diff != "" {
				t.Errorf("as found:\n%s", diff)
			}
			golden(t, strings.TrimSuffix(file, ".json")+".golden", map[string]any{
				"facts": facts, "predicateType": predicateType, "madeAt": madeAt,
			})
			if shape := factSchemas()[typ]; CheckSchema(json.RawMessage(shape)) != nil {
				t.Errorf("the shape of %s is no schema", typ)
			} else if encoded, err := encodeFacts(facts); err != nil || ValidateSchema(json.RawMessage(shape), encoded) != nil {
				t.Errorf("facts do not keep their shape: %v", ValidateSchema(json.RawMessage(shape), encoded))
			}
			if len(document) > 300 {
				if _, _, _, err := Extract(typ, document, 300); provenance.CodeOf(err) != provenance.Invalid {
					t.Errorf("the limit does not hold: %v", err)
				}
			}
		})
	}
}

func TestExtractRefuses(t *testing.T) {
	vex := func(s string) string { return `{"@context":"https://openvex.dev/ns/v0.2.0","statements":[` + s + `]}` }
	deep := strings.Repeat(`{"a":`, 70) + "1" + strings.Repeat("}", 70)
	for name, c := range map[string]struct{ typ, document, want string }{
		"unknown kind":            {"", `{"a":1}`, "unknown kind"},
		"unknown type":            {"scan", `{"a":1}`, "want one of"},
		"custom without name":     {"custom/", `{"a":1}`, "want one of"},
		"custom upper case":       {"custom/X", `{"a":1}`, "want one of"},
		"not JSON":                {"", `<?xml version="1.0"?><!DOCTYPE x [<!ENTITY y "z">]>`, "byte 0"},
		"YAML":                    {"sbom", `spdxVersion: SPDX-2.3`, "byte 0"},
		"list":                    {"sbom", `[]`, "want an object"},
		"deep":                    {"custom/x", deep, "nested deeper"},
		"duplicate":               {"sbom", `{"spdxVersion":"SPDX-2.3","SpdxVersion":"SPDX-2.2"}`, "again"},
		"signature":               {"signature", `{}`, "no plain document"},
		"type of statement":       {"sbom", `{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://slsa.dev/provenance/v1","predicate":{"buildDefinition":{"buildType":"t"},"runDetails":{"builder":{"id":"b"}}}}`, "is a slsa-provenance, not sbom"},
		"SPDX 3":                  {"sbom", `{"spdxVersion":"SPDX-3.0"}`, "want SPDX-2.3"},
		"SPDX packages":           {"sbom", `{"spdxVersion":"SPDX-2.3","packages":{}}`, "packages is no list"},
		"CycloneDX 1.1":           {"sbom", `{"bomFormat":"CycloneDX","specVersion":"1.1"}`, "1.2"},
		"CycloneDX components":    {"sbom", `{"bomFormat":"CycloneDX","specVersion":"1.6","components":{}}`, "components is no list"},
		"neither":                 {"sbom", `{"SPDXID":"x"}`, "neither"},
		"no scan":                 {"vuln-scan", `{"SchemaVersion":1,"ArtifactName":"x"}`, "neither Trivy"},
		"Trivy results":           {"vuln-scan", `{"SchemaVersion":2,"ArtifactName":"x","Results":{}}`, "Results is no list"},
		"Trivy vulnerabilities":   {"vuln-scan", `{"SchemaVersion":2,"ArtifactName":"x","Results":[{"Vulnerabilities":"none"}]}`, "Vulnerabilities is no list"},
		"Trivy without id":        {"vuln-scan", `{"SchemaVersion":2,"ArtifactName":"x","Results":[{"Class":"os-pkgs","Vulnerabilities":[{"Severity":"LOW"}]}]}`, "finding with id"},
		"Grype matches":           {"vuln-scan", `{"matches":{},"descriptor":{}}`, "matches is no list"},
		"SARIF failed":            {"vuln-scan", `{"version":"2.1.0","runs":[{"invocations":[{"executionSuccessful":false}],"results":[]}]}`, "did not succeed"},
		"SARIF did not look":      {"vuln-scan", `{"version":"2.1.0","runs":[{"tool":{}}]}`, "without results"},
		"SARIF no runs":           {"vuln-scan", `{"version":"2.1.0","runs":[]}`, "no runs"},
		"cosign of cosign":        {"vuln-scan", `{"scanner":{"result":{"scanner":{"result":[]}}}}`, "scanner.result"},
		"provenance of nobody":    {"slsa-provenance", `{"buildDefinition":{"buildType":"t"}}`, "are missing"},
		"provenance long builder": {"slsa-provenance", `{"builder":{"id":"` + strings.Repeat("b", 257) + `"},"buildType":"t"}`, "builder is longer"},
		"vex context":             {"vex", `{"@context":"https://openvex.evil/ns"}`, "@context"},
		"vex empty":               {"vex", vex(""), "no statement"},
		"vex status":              {"vex", vex(`{"vulnerability":{"name":"CVE-1"},"status":"fine"}`), "status"},
		"vex no id":               {"vex", vex(`{"status":"fixed"}`), "vulnerability"},
		"vex unjustified":         {"vex", vex(`{"vulnerability":{"name":"CVE-1"},"status":"not_affected"}`), "justification"},
		"vex twice":               {"vex", vex(`{"vulnerability":{"name":"CVE-1"},"status":"affected"},{"vulnerability":{"name":"CVE-1"},"status":"fixed"}`), "two statements"},
		"test result":             {"test-result", `{"result":"passed","configuration":[]}`, "PASSED"},
		"test result at odds":     {"test-result", `{"result":"PASSED","configuration":[],"failedTests":["a"]}`, "PASSED with failed"},
		"review by nobody":        {"review", `{"approved":true,"reviewers":[]}`, "reviewers"},
		"review no answer":        {"review", `{"approved":"yes","reviewers":["a"]}`, "approved"},
		"review of numbers":       {"review", `{"approved":true,"reviewers":[1]}`, "texts"},
		"custom float":            {"custom/x", `{"a":{"b":[1.5]}}`, "facts.a.b[]"},
		"custom null":             {"custom/x", `{"a":null}`, "null"},
		"custom large":            {"custom/x", `{"a":"` + strings.Repeat("x", MaxFacts) + `"}`, "facts of"},
		"custom deep":             {"custom/x", strings.Repeat(`{"a":`, 12) + "1" + strings.Repeat("}", 12), "nested deeper"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, _, err := Extract(c.typ, []byte(c.document), 0)
			if provenance.CodeOf(err) != provenance.Invalid || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestLarge: a document far larger than facts may be keeps its counts; its
// lists are cut, and it says so.
func TestLarge(t *testing.T) {
	var matches, packages []any
	for i := range 3000 {
		severity := severities[i%len(severities)]
		matches = append(matches, m{"vulnerability": m{"id": fmt.Sprintf("CVE-2026-%06d", i), "severity": severity, "fix": m{"state": "fixed"}}})
		packages = append(packages, m{"name": "p", "licenseDeclared": fmt.Sprintf("LicenseRef-%d", i), "externalRefs": []any{m{
			"referenceType": "purl", "referenceLocator": fmt.Sprintf("pkg:generic/%s%d@1", strings.Repeat("long", 40), i),
		}}})
	}
	scan := toJSON(t, m{"matches": matches, "descriptor": m{"name": "grype"}})
	facts, _, _, err := Extract("", scan, 0)
	if err != nil {
		t.Fatal(err)
	}
	listed := facts["findings"].([]any)
	if facts["total"] != int64(3000) || facts["critical"] != int64(500) || facts["truncated"] != true || len(listed) != maxListed ||
		str(listed[0], "severity") != "critical" {
		t.Errorf("%v total, %v critical, truncated %v, %d listed", facts["total"], facts["critical"], facts["truncated"], len(listed))
	}
	bom := toJSON(t, m{"spdxVersion": "SPDX-2.3", "packages": packages})
	facts, _, _, err = Extract("", bom, 0)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := encodeFacts(facts)
	if err != nil || facts["components"] != int64(3000) || facts["truncated"] != true {
		t.Errorf("%v: %v components, truncated %v", err, facts["components"], facts["truncated"])
	}
	t.Logf("%d bytes of facts, %d packages, %d licences", len(encoded), len(facts["packages"].([]any)), len(facts["licences"].([]any)))

	// Too large for an envelope, so it travels as a statement over its hash.
	if len(scan) <= MaxEnvelope {
		t.Fatal("not large")
	}
	refused(t, request(FormatPlain, scan), nil, "envelope of")
	statement, err := Statement(scan, "", image)
	if err != nil {
		t.Fatal(err)
	}
	got := accepted(t, request(FormatPlain, statement), nil)
	if got.Type != TypeScan || got.Document != hash(scan) || got.PredicateType != ownPredicate+"vuln-scan/v1" {
		t.Errorf("%s %s %s", got.Type, got.Document, got.PredicateType)
	}
	other := request(FormatPlain, statement)
	other.Subject = provenance.SHA256Of([]byte("other"))
	refused(t, other, nil, "is about")
	signer := newECDSA(t)
	k := publicKey(t, signer)
	signed := accepted(t, request(FormatDSSE, toJSON(t, dsseEnvelope(t, statement, signer))), &k)
	if diff := cmp.Diff(string(got.Facts), string(signed.Facts)); diff != "" || signed.Document != hash(scan) {
		t.Errorf("signed statement: %s %s", signed.Document, diff)
	}
}

func TestPlain(t *testing.T) {
	review := read(t, "documents", "plain.review.json")
	r := request(FormatPlain, review)
	got := accepted(t, r, nil)
	if got.Type != TypeReview || got.Document != hash(review) || !got.MadeAt.Equal(time.Date(2026, 11, 20, 7, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v", got)
	}
	r.Type = "custom/review"
	if got = accepted(t, r, nil); got.Type != "custom/review" || !strings.Contains(string(got.Facts), `"approved":true`) {
		t.Errorf("%+v", got)
	}
	r.Type = TypeSBOM
	refused(t, r, nil, "neither")
	refused(t, request(FormatPlain, []byte(`{"a":1}`)), nil, "unknown kind")
	// A VEX document counts only for the product it names by digest.
	vex := func(product any) []byte {
		return toJSON(t, m{"@context": "https://openvex.dev/ns/v0.2.0", "statements": []any{
			m{"vulnerability": m{"name": "CVE-1"}, "status": "fixed", "products": []any{product}},
		}})
	}
	for _, product := range []any{
		m{"@id": "pkg:oci/app@sha256%3A" + imageHex + "?arch=amd64"}, m{"@id": "reg.example/team/app@sha256:" + imageHex},
		m{"@id": "x", "hashes": m{"sha-256": imageHex}}, m{"identifiers": m{"purl": "pkg:oci/app@sha256%3a" + imageHex}},
		"pkg:oci/app@sha256:" + imageHex,
	} {
		accepted(t, request(FormatPlain, vex(product)), nil)
	}
	for _, product := range []any{
		m{"@id": "pkg:oci/app@sha256%3A" + otherHex}, m{"@id": "pkg:oci/app"}, m{}, 7, "pkg:oci/app@sha256:" + imageHex + "0",
	} {
		refused(t, request(FormatPlain, vex(product)), nil, "no statement whose product")
	}
	refused(t, request(FormatPlain, vex(m{"@id": "pkg:oci/app@sha256:" + imageHex, "hashes": m{"sha-256": otherHex}})), nil, "another digest")

	// A statement over a hash is held to the shape of its type.
	own := func(predicateType string, predicate any) []byte {
		return inToto(t, predicateType, predicate, m{"sha256": imageHex})
	}
	document := m{"sha256": otherHex}
	for name, c := range map[string]struct {
		envelope []byte
		want     string
	}{
		"no facts":      {own(ownPredicate+"review/v1", m{"document": document}), "want predicate.facts"},
		"hash":          {own(ownPredicate+"review/v1", m{"document": m{"sha256": "X"}, "facts": m{}}), "want predicate.facts"},
		"shape":         {own(ownPredicate+"review/v1", m{"document": document, "facts": m{"approved": "yes", "reviewers": []any{"a"}}}), "facts.approved: want boolean"},
		"missing":       {own(ownPredicate+"review/v1", m{"document": document, "facts": m{"approved": true}}), `"reviewers" is required`},
		"unknown":       {own(ownPredicate+"review/v1", m{"document": document, "facts": m{"approved": true, "reviewers": []any{}, "x": 1}}), "not among the properties"},
		"negative":      {own(ownPredicate+"test-result/v1", m{"document": document, "facts": m{"result": "PASSED", "passed": -1, "warned": 0, "failed": 0}}), "minimum"},
		"float":         {own(ownPredicate+"custom/x/v1", m{"document": document, "facts": m{"a": json.Number("1.5")}}), "facts.a"},
		"signature":     {own(cosignSignPredicate, m{}), "no plain document"},
		"own signature": {own(ownPredicate+"signature/v1", m{"document": document, "facts": m{}}), "cannot be stated"},
	} {
		t.Run(name, func(t *testing.T) { refused(t, request(FormatPlain, c.envelope), nil, c.want) })
	}
	if _, err := Statement(review, "", provenance.Digest{}); err == nil {
		t.Error("a statement about nothing")
	}
}
