package evidence

import (
	"fmt"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// predicateOf is a statement whose predicate repeats a part, which may number itself, for
// as long as there is room.
func predicateOf(predicateType, head, part, tail string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `{"_type":%q,"subject":[{"digest":{"sha256":%q}}],"predicateType":%q,"predicate":%s`, statementV1, imageHex, predicateType, head)
	for i := 0; b.Len() < largest-len(part)-len(tail)-16; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, part, i)
	}
	return []byte(b.String() + tail + "}")
}

// Whatever reads a document of each kind stays within the bound of one that is only read.
func TestLargeDocumentsAreBounded(t *testing.T) {
	signer := newECDSA(t)
	k := publicKey(t, signer)
	deep := strings.Repeat(`{"`+strings.Repeat("n", 1000)+`":`, 6)
	const custom, scan = "https://example.com/x/v1", ownPredicate + TypeScan + ownVersion
	for name, c := range map[string]struct {
		payload []byte
		want    string // part of the refusal, "" for none
	}{
		"custom, a long way down": {predicateOf(custom, deep+"[", `"aaaaaa%d"`, "]"+strings.Repeat("}", 6)), "more than 16384"},
		"custom, many names":      {predicateOf(custom, "{", `"%012d":0`, "}"), "more than 16384"},
		"custom, one text":        {predicateOf(custom, `{"a":"`+strings.Repeat("a", 1<<20)+`","b":[`, `"aaaaaaaaaaaaaaaaaaaaaaaa%d"`, "]}"), "more than 16384"},
		"vex": {predicateOf("https://openvex.dev/ns/v0.2.0", `{"@context":"https://openvex.dev/ns/v0.2.0","timestamp":"2026-01-02T03:04:05Z","statements":[`,
			`{"vulnerability":{"name":"CVE-%d"},"products":[{"@id":"pkg:oci/app@sha256%%3A`+imageHex+`"}],"status":"not_affected","justification":"component_not_present"}`, "]}"), ""},
		"trivy": {predicateOf(scan, `{"SchemaVersion":2,"Trivy":{"Version":"1"},"ArtifactName":"a","ArtifactType":"container_image","Results":[{"Class":"os-pkgs","Target":"t","Type":"d","Vulnerabilities":[`,
			`{"VulnerabilityID":"CVE-%d","PkgName":"a","InstalledVersion":"1","Severity":"HIGH"}`, "]}]}"), ""},
		"grype, as dense as can be": {predicateOf(scan, `{"descriptor":{"name":"grype"},"matches":[`, `{"vulnerability":{"id":"C%d","severity":"High"}}`, "]}"), "objects"},
		"cyclonedx":                 {predicateOf("https://cyclonedx.org/bom", `{"bomFormat":"CycloneDX","specVersion":"1.6","components":[`, `{"bom-ref":"pkg:npm/left-pad@1.3.%d","type":"library","name":"left-pad","version":"1.3.%[1]d","purl":"pkg:npm/left-pad@1.3.%[1]d","licenses":[{"license":{"id":"MIT"}}]}`, "]}"), ""},
	} {
		if testing.Short() && c.want == "more than 16384" && name != "custom, a long way down" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			r := wrapped(t, signer, c.payload)
			var result Result
			var err error
			peak := peakOf(func() { result, err = Verify(r, &k) })
			if c.want == "" && err != nil || c.want != "" && (provenance.CodeOf(err) != provenance.Invalid || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if peak > maxBlowUp*MaxEnvelope || len(result.Facts) > MaxFacts {
				t.Errorf("%d MiB of memory, %d bytes of facts", peak>>20, len(result.Facts))
			}
		})
	}
}
