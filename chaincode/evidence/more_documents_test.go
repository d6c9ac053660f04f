package evidence

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// TestNamedDocuments reads documents that are of the type of their name only where
// that is named: what is in them may be said in an SBOM as well.
func TestNamedDocuments(t *testing.T) {
	files, err := filepath.Glob("testdata/named/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range files {
		document, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		typ := string(formatOf(file))
		facts, predicateType, madeAt, err := Extract(typ, document, 0)
		if err != nil {
			t.Fatal(file, err)
		}
		golden(t, strings.TrimSuffix(file, ".json")+".golden", map[string]any{"facts": facts, "predicateType": predicateType, "madeAt": madeAt})
		if found, _, _, err := Extract("", document, 0); err != nil || has(found, "critical") {
			t.Errorf("%s: found as %v, %v", file, found, err)
		}
	}
}

// edited is a document of testdata with something replaced.
func edited(t *testing.T, file string, replace ...string) []byte {
	t.Helper()
	before := string(read(t, strings.Split(file, "/")...))
	after := strings.NewReplacer(replace...).Replace(before)
	if before == after {
		t.Fatalf("%s: %q replaces nothing", file, replace)
	}
	return []byte(after)
}

// plain judges a document about the image that testdata names.
func plain(t *testing.T, typ string, document []byte) (map[string]any, error) {
	t.Helper()
	r := request(FormatPlain, document)
	r.Type, r.Subject = typ, digest(t, "sha256:"+strings.Repeat("1", 64))
	result, err := Verify(r, nil)
	if err != nil {
		return nil, err
	}
	var facts map[string]any
	if err := json.Unmarshal(result.Facts, &facts); err != nil {
		t.Fatal(err)
	}
	return facts, nil
}

const (
	gitlabFile  = "documents/gitlab.vuln-scan.json"
	asffFile    = "documents/asff.vuln-scan.json"
	spdx3File   = "documents/spdx3.sbom.json"
	csafFile    = "documents/csaf.vex.json"
	cycloneFile = "documents/cyclonedx.vex.json"
	foundFile   = "named/cyclonedx-vulnerabilities.vuln-scan.json"
)

// TestDocumentsThatSayLess: what a document leaves out, hides or says of something
// else is refused, and never read as less than was found.
func TestDocumentsThatSayLess(t *testing.T) {
	const ones, twos = "1111111111111111111111111111111111111111111111111111111111111111", "2222222222222222222222222222222222222222222222222222222222222222"
	for _, c := range []struct {
		name, typ, want string
		document        []byte
	}{
		{"gitlab of sources", TypeScan, "no scan of an image", edited(t, gitlabFile, `"container_scanning"`, `"dependency_scanning"`)},
		{"gitlab of a cluster", TypeScan, "no scan of an image", edited(t, gitlabFile, `"container_scanning"`, `"cluster_image_scanning"`)},
		{"gitlab that failed", TypeScan, "the scan ended", edited(t, gitlabFile, `"success"`, `"failure"`)},
		{"gitlab without a list", TypeScan, "no list", edited(t, gitlabFile, `"vulnerabilities":[`, `"vulnerabilities":{"a":[`, `"remediations":[]`, `"b":[]}`, `],
 "b"`, `],"c":[]},
 "b"`)},
		{"gitlab with a severity nobody knows", TypeScan, "cannot be read", edited(t, gitlabFile, `"Info"`, `"Meh"`)},
		{"gitlab without a severity", TypeScan, "cannot be read", edited(t, gitlabFile, `"severity":"Info"`, `"severity2":"Info"`)},
		{"gitlab without identifiers", TypeScan, "without an identifier", edited(t, gitlabFile, `[{"type":"rhsa","name":"RHSA-2026:1","value":"RHSA-2026:1"}]`, `[]`)},
		{"gitlab of another image", TypeScan, "is about", edited(t, gitlabFile, `reg.example/team/app:1.0`, `reg.example/team/app@sha256:`+twos)},
		{"gitlab without a scanner", TypeScan, "no scanner", edited(t, gitlabFile, `"id":"trivy","name":"Trivy"`, `"x":1`)},

		{"asff of nothing", TypeScan, "no finding about a vulnerability", []byte(`{"Findings":[]}`)},
		{"asff of secrets", TypeScan, "no finding about a vulnerability", []byte(`{"Findings":[{"SchemaVersion":"2018-10-08","Types":["Sensitive Data Identifications"]}]}`)},
		{"asff with vulnerabilities as an object", TypeScan, "no list", edited(t, asffFile, `"Vulnerabilities":[{"Id":"CVE-2026-0003","FixAvailable":"NO"}]`, `"Vulnerabilities":{"Id":"CVE-2026-0003"}`)},
		{"asff of another version", TypeScan, "SchemaVersion", edited(t, asffFile, `2018-10-08`, `2030-01-01`)},
		{"asff of another image", TypeScan, "is about", edited(t, asffFile, ones, twos)},
		{"asff of two images", TypeScan, "about 2 images", edited(t, asffFile, `"Id":"reg.example/team/app:1.0"`, `"Id":"arn:aws:ecr:x:1:repository/a/sha256:`+twos+`"`)},
		{"asff of a machine", TypeScan, "no image", edited(t, asffFile, `"Type":"AwsEcrContainerImage"`, `"Type":"AwsEc2Instance"`)},
		{"asff with a severity nobody knows", TypeScan, "cannot be read", edited(t, asffFile, `"INFORMATIONAL"`, `"FINE"`)},
		{"asff without a severity", TypeScan, "cannot be read", edited(t, asffFile, `{"Normalized":90}`, `{"Normalized":"90"}`)},
		{"asff without an id", TypeScan, "names no vulnerability", edited(t, asffFile, `"CVE ID":"CVE-2026-0002"`, `"x":1`, `Trivy/CVE-2026-0002`, `Trivy`, `app/CVE-2026-0002`, `app`)},

		{"spdx 3 with a second context", TypeSBOM, "neither", edited(t, spdx3File, `"https://spdx.org/rdf/3.0.1/spdx-context.jsonld"`, `["https://spdx.org/rdf/3.0.1/spdx-context.jsonld",{"name":"spdxId"}]`)},
		{"spdx 3 with another's context", TypeSBOM, "neither", edited(t, spdx3File, `https://spdx.org/`, `https://spdx.org.example/`)},
		{"spdx 3 of one id twice", TypeSBOM, "two SPDX elements", edited(t, spdx3File, `"spdxId":"https://reg.example/file"`, `"spdxId":"https://reg.example/ssl"`)},
		{"spdx 3 of two types", TypeSBOM, "one type", edited(t, spdx3File, `"type":"software_File"`, `"type":"software_File","@type":"software_Package"`)},
		{"spdx 3 of nothing", TypeSBOM, "no component", edited(t, spdx3File, `"type":"software_Package","spdxId":"https://reg.example/ssl"`, `"type":"Agent","spdxId":"https://reg.example/ssl"`, `"type":"software_File"`, `"type":"Agent"`)},
		{"spdx 3 of another image", TypeSBOM, "is about", edited(t, spdx3File, ones, twos)},

		{"csaf by a tag", TypeVEX, "no statement whose product", edited(t, csafFile, `pkg:oci/app@sha256%3A`+ones+`?repository_url=reg.example/team/app`, `pkg:oci/app?repository_url=reg.example/team/app&tag=1.0`)},
		{"csaf of another image", TypeVEX, "no statement whose product", edited(t, csafFile, ones, strings.Repeat("3", 64))},
		{"csaf advisory", TypeVEX, "want csaf_vex", edited(t, csafFile, `csaf_vex`, `csaf_security_advisory`)},
		{"csaf draft", TypeVEX, "want final or interim", edited(t, csafFile, `"final"`, `"draft"`)},
		{"csaf of one id twice", TypeVEX, "given twice", edited(t, csafFile, `"product_id":"OTHER"`, `"product_id":"APP"`)},
		{"csaf that contradicts itself", TypeVEX, "is not_affected and affected", edited(t, csafFile, `"known_affected":["OTHER"]`, `"known_affected":["APP:SSL"]`)},
		{"csaf without a reason", TypeVEX, "needs a flag", edited(t, csafFile, `"group_ids":["G"]`, `"group_ids":["H"]`)},
		{"csaf of what is not in its tree", TypeVEX, "not in the product tree", edited(t, csafFile, `"known_affected":["OTHER"]`, `"known_affected":["APP "]`)},
		{"csaf with affected as an object", TypeVEX, "known_affected is no list", edited(t, csafFile, `"known_affected":["APP"]`, `"known_affected":{"0":"APP"}`)},
		{"csaf of one flaw twice", TypeVEX, "two vulnerabilities", edited(t, csafFile, `CVE-2026-0002`, `CVE-2026-0001`)},
		{"csaf of a circle", TypeVEX, "nested deeper", edited(t, csafFile, `"relates_to_product_reference":"APP","full_product_name":{"product_id":"APP:SSL"`, `"relates_to_product_reference":"APP:SSL","full_product_name":{"product_id":"APP:SSL"`)},
		{"csaf with two digests", TypeVEX, "another digest", edited(t, csafFile, `?repository_url=reg.example/team/app"`, `?repository_url=reg.example/team/app","hashes":[{"filename":"m","file_hashes":[{"algorithm":"sha256","value":"`+twos+`"}]}]`)},

		{"cyclonedx by a tag", TypeVEX, "no statement whose product", edited(t, cycloneFile, `app@sha256%3A`+ones+`?repository_url=reg.example/team/app`, `app?repository_url=reg.example/team/app&tag=1.0`)},
		{"cyclonedx of another image", TypeVEX, "no statement whose product", edited(t, cycloneFile, ones, twos)},
		{"cyclonedx of nothing analysed", TypeVEX, "was analysed", []byte(`{"bomFormat":"CycloneDX","specVersion":"1.5","vulnerabilities":[{"id":"CVE-1"}]}`)},
		{"cyclonedx with a state nobody knows", TypeVEX, "with state", edited(t, cycloneFile, `"in_triage"`, `"fine"`)},
		{"cyclonedx not affected in nothing", TypeVEX, "in nothing that is named", edited(t, cycloneFile, `"in_triage"`, `"not_affected"`)},
		{"cyclonedx with affects as an object", TypeVEX, "affects is no list", edited(t, cycloneFile, `"affects":[{"ref":"app"}]`, `"affects":{"ref":"app"}`)},
		{"cyclonedx 1.3", TypeVEX, "want 1.4", edited(t, cycloneFile, `"1.6"`, `"1.3"`)},
		{"cyclonedx of one ref twice", TypeVEX, "two components", edited(t, cycloneFile, `"vulnerabilities":[`, `"components":[{"bom-ref":"app","name":"x"}],"vulnerabilities":[`)},
		{"cyclonedx vex as a scan", TypeScan, "is no scan", read(t, "documents", "cyclonedx.vex.json")},
		{"an sbom as a scan", TypeScan, "does not say", read(t, "documents", "cyclonedx.sbom.json")},
		{"an sbom with an empty list as a scan", TypeScan, "does not say", edited(t, foundFile, `"vulnerabilities":[`, `"vulnerabilities":[],"x":[`)},
		{"vulnerabilities without a tool", TypeScan, "is no scan", edited(t, foundFile, `"tools":`, `"tool":`)},
		{"vulnerabilities without a rating that can be read", TypeScan, "cannot be read", edited(t, foundFile, `{"score":5.5}`, `{"severity":"fine"}`)},
		{"vulnerabilities of another image", TypeScan, "is about", edited(t, foundFile, ones, twos)},
	} {
		t.Run(c.name, func(t *testing.T) {
			facts, err := plain(t, c.typ, c.document)
			if err == nil || provenance.CodeOf(err) != provenance.Invalid || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, %v; want %q", facts, err, c.want)
			}
		})
	}
}

// TestStatementsOfTheImage: of a VEX document only what is said of the image and its
// parts is taken, and nothing that would set aside more than was said.
func TestStatementsOfTheImage(t *testing.T) {
	facts, err := plain(t, "", read(t, "documents", "csaf.vex.json"))
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, s := range list(facts, "statements") {
		got = append(got, fmt.Sprint(str(s, "id"), " ", str(s, "status"), " ", list(s, "subcomponents")))
	}
	const ssl = "[pkg:apk/alpine/libssl3@3.0.8-r3]"
	want := "CVE-2026-0001 not_affected " + ssl + "\nCVE-2026-0002 affected []\nCVE-2026-0003 fixed []\nCVE-2026-0005 under_investigation " + ssl
	if strings.Join(got, "\n") != want {
		t.Errorf("csaf:\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
	// A component of a component of the image: of the innermost alone.
	nested := edited(t, csafFile, `"relationships":[`, `"full_product_names":[{"product_id":"IN","name":"inner","product_identification_helper":{"purl":"pkg:npm/inner@1"}}],
	 "relationships":[{"category":"default_component_of","product_reference":"IN","relates_to_product_reference":"APP:SSL","full_product_name":{"product_id":"DEEP","name":"inner in libssl3"}},`,
		`"known_not_affected":["APP:SSL"]`, `"known_not_affected":["DEEP"]`, `"group_ids":["G"]`, `"product_ids":["DEEP"]`)
	if facts, err = plain(t, "", nested); err != nil || fmt.Sprint(list(list(facts, "statements")[0], "subcomponents")) != "[pkg:npm/inner@1]" {
		t.Errorf("nested: %v, %v", facts, err)
	}
	// The image as a part of a platform, as distributors name theirs.
	platform := edited(t, csafFile, `"relationships":[`, `"full_product_names":[{"product_id":"OS","name":"platform"}],
	 "relationships":[{"category":"default_component_of","product_reference":"APP","relates_to_product_reference":"OS","full_product_name":{"product_id":"OS:APP","name":"app in platform"}},`,
		`"known_affected":["APP"]`, `"known_affected":["OS:APP"]`)
	if facts, err = plain(t, "", platform); err != nil || facts["affected"] != float64(1) {
		t.Errorf("platform: %v, %v", facts, err)
	}
	// Two products that are the image, and of two minds: the finding stands.
	both := edited(t, csafFile, `"product_id":"OTHER","name":"other","product_identification_helper":{"purl":"pkg:oci/other@sha256%3A2222222222222222222222222222222222222222222222222222222222222222"}`,
		`"product_id":"OTHER","name":"other","product_identification_helper":{"hashes":[{"filename":"m","file_hashes":[{"algorithm":"sha256","value":"1111111111111111111111111111111111111111111111111111111111111111"}]}]}`,
		`"known_affected":["APP"]`, `"known_affected":["OTHER"],"known_not_affected":["APP"]`, `{"cve":"CVE-2026-0002",`, `{"cve":"CVE-2026-0002","threats":[{"category":"impact","details":"x"}],`)
	if facts, err = plain(t, "", both); err != nil || facts["affected"] != float64(2) || facts["notAffected"] != float64(1) {
		t.Errorf("both: %v, %v", facts, err)
	}

	facts, err = plain(t, "", read(t, "documents", "cyclonedx.vex.json"))
	if err != nil || facts["total"] != float64(6) || facts["notAffected"] != float64(3) {
		t.Errorf("cyclonedx: %v, %v", facts, err)
	}
	// Without the image as its subject a document speaks of what it names by digest alone.
	direct := edited(t, cycloneFile, `"bom-ref":"app","purl":"pkg:oci/app@sha256%3A1111111111111111111111111111111111111111111111111111111111111111?repository_url=reg.example/team/app"`,
		`"bom-ref":"product"`, `"affects":[{"ref":"app"}]`, `"affects":[{"ref":"pkg:oci/app@sha256%3A1111111111111111111111111111111111111111111111111111111111111111"}]`)
	if facts, err = plain(t, "", direct); err != nil || facts["total"] != float64(1) || facts["affected"] != float64(1) {
		t.Errorf("direct: %v, %v", facts, err)
	}
}

// TestAFindingOfAnotherType: a flaw is counted whatever its finding calls itself.
func TestAFindingOfAnotherType(t *testing.T) {
	facts, err := plain(t, TypeScan, edited(t, asffFile, `"Title":"a secret"`, `"Title":"CVE-2026-0009 in a library"`))
	if err != nil || facts["critical"] != float64(1) || facts["total"] != float64(3) {
		t.Errorf("%v, %v", facts, err)
	}
	// Two in one are no one of them.
	if facts, err = plain(t, TypeScan, edited(t, asffFile, `"Title":"a secret"`, `"Title":"CVE-2026-0009,CVE-2026-0010 in a library"`)); err == nil || !strings.Contains(err.Error(), "names no vulnerability") {
		t.Errorf("%v, %v", facts, err)
	}
}

// TestWhatWasSignedDecides: a CycloneDX predicate is VEX or an SBOM by what it lists,
// and nobody can hand one in as another type, nor as a scan.
func TestWhatWasSignedDecides(t *testing.T) {
	signer := newECDSA(t)
	k := publicKey(t, signer)
	ones := strings.Repeat("1", 64)
	for file, typ := range map[string]string{cycloneFile: TypeVEX, foundFile: TypeSBOM, spdx3File: TypeSBOM} {
		uri := "https://cyclonedx.org/bom/v1.6"
		if file == spdx3File {
			uri = "https://spdx.dev/Document/v3"
		}
		payload := inToto(t, uri, json.RawMessage(read(t, strings.Split(file, "/")...)), m{"sha256": ones})
		for _, asked := range []string{"", TypeVEX, TypeSBOM, TypeScan} {
			r := request(FormatDSSE, toJSON(t, dsseEnvelope(t, payload, signer)))
			r.Subject, r.Type = digest(t, "sha256:"+ones), asked
			result, err := Verify(r, &k)
			if good := asked == "" || asked == typ; (err == nil) != good || err == nil && result.Type != typ {
				t.Errorf("%s asked as %q: %s, %v", file, asked, result.Type, err)
			}
		}
	}
}

// TestBuildKitAttestation: what a builder puts into an index beside its images has no
// signature. It is a plain document, which no key can be made to vouch for.
func TestBuildKitAttestation(t *testing.T) {
	statement := toJSON(t, m{
		"_type": statementV01, "predicateType": "https://spdx.dev/Document",
		"subject":   []any{m{"name": "pkg:docker/reg.example/team/app@1.0?platform=linux%2Famd64", "digest": m{"sha256": imageHex}}},
		"predicate": m{"spdxVersion": "SPDX-2.3", "packages": []any{m{"SPDXID": "SPDXRef-a", "name": "a"}, m{"SPDXID": "SPDXRef-b", "name": "b"}}},
	})
	got := accepted(t, request(FormatPlain, statement), nil)
	if got.Type != TypeSBOM || got.Signature != "" || got.Identity != "" {
		t.Errorf("%+v", got)
	}
	k := publicKey(t, newECDSA(t))
	refused(t, request(FormatPlain, statement), &k, "signed by no key")
	for _, f := range Formats() {
		if f != FormatPlain {
			refused(t, request(f, statement), &k, "")
		}
	}
	other := request(FormatPlain, statement)
	other.Subject = provenance.SHA256Of([]byte("other"))
	refused(t, other, nil, "is about")
}
