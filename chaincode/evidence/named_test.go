package evidence

import (
	"fmt"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// TestDocumentOfAnotherImage: a document that names an image is about that one,
// whatever the statement around it says.
func TestDocumentOfAnotherImage(t *testing.T) {
	trivy := func(repoDigests, imageID string) string {
		return fmt.Sprintf(`{"SchemaVersion":2,"ArtifactName":"app:1","Metadata":{"RepoDigests":[%s],"ImageID":%q},"Results":[{"Class":"lang-pkgs"}]}`, repoDigests, imageID)
	}
	grype := func(manifest, imageID, repoDigests, input string) string {
		return fmt.Sprintf(`{"matches":[],"descriptor":{},"source":{"type":"image","target":{"manifestDigest":%q,"imageID":%q,"repoDigests":[%s],"userInput":%q}}}`, manifest, imageID, repoDigests, input)
	}
	sarif := func(properties string) string {
		return `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"grype"}},"results":[],"properties":` + properties + `}]}`
	}
	cyclone := func(component string) string {
		return `{"bomFormat":"CycloneDX","specVersion":"1.5","metadata":{"component":` + component + `},"components":[{"name":"a"}]}`
	}
	cycloneScan := func(component string) string {
		return `{"scanner":{"result":{"bomFormat":"CycloneDX","specVersion":"1.5","metadata":{"tools":[{"name":"trivy"}],"component":` + component + `},"components":[{"name":"a"}],"vulnerabilities":[{"id":"CVE-2026-1"}]}}}`
	}
	vsa := func(digest string) string {
		return `{"verifier":{"id":"v"},"verificationResult":"PASSED","resourceUri":"reg.example/app@` + digest + `","policy":{"uri":"p"},"verifiedLevels":["SLSA_BUILD_LEVEL_3"]}`
	}
	spdx := func(packages, rest string) string {
		return `{"spdxVersion":"SPDX-2.3","packages":[` + packages + `,{"SPDXID":"SPDXRef-a"}]` + rest + `}`
	}
	const describes = `,"relationships":[{"spdxElementId":"SPDXRef-DOCUMENT","relationshipType":"DESCRIBES","relatedSpdxElement":"SPDXRef-i"}]`
	right, wrong, config := "sha256:"+imageHex, "sha256:"+otherHex, "sha256:"+strings.Repeat("cd", 32)
	index := "sha256:" + strings.Repeat("ef", 32)
	for name, c := range map[string]struct {
		document string
		ok       bool
	}{
		"trivy, nothing":              {trivy(``, ""), true},
		"trivy, the image":            {trivy(`"reg.example/app@`+right+`"`, ""), true},
		"trivy, one of two":           {trivy(`"a@`+wrong+`","b@`+right+`"`, ""), true},
		"trivy, another":              {trivy(`"reg.example/app@`+wrong+`"`, right), false},
		"trivy, its index":            {trivy(`"reg.example/app@`+index+`"`, ""), true},
		"trivy, another, its config":  {trivy(`"reg.example/app@`+wrong+`"`, config), true},
		"trivy, an image id":          {trivy(``, wrong), true},
		"trivy, sha512":               {trivy(`"app@sha512:`+otherHex+otherHex+`"`, ""), true},
		"trivy, no digest":            {trivy(`"app@sha256:x","app"`, ""), true},
		"trivy by reference":          {`{"SchemaVersion":2,"ArtifactName":"app@` + wrong + `","Results":[{"Class":"lang-pkgs"}]}`, false},
		"trivy, by its image id":      {`{"SchemaVersion":2,"ArtifactName":"` + wrong + `","Results":[{"Class":"lang-pkgs"}]}`, true},
		"spdx, a file":                {spdx(`{"SPDXID":"SPDXRef-i","primaryPackagePurpose":"FILE","versionInfo":"`+wrong+`"}`, describes), true},
		"grype, nothing":              {grype("", "", ``, "app:1"), true},
		"grype, the image":            {grype(right, "", ``, "app:1"), true},
		"grype, another":              {grype(wrong, "", ``, "app:1"), false},
		"grype, another, one more":    {grype(wrong, wrong, `"app@`+wrong+`"`, "app:1"), false},
		"grype, platform of an index": {grype(wrong, "", `"app@`+right+`"`, "app:1"), true},
		"grype, from a daemon":        {grype(wrong, config, ``, "app:1"), true},
		"grype by reference":          {grype("", "", ``, "app@"+wrong), false},
		"sarif, the image":            {sarif(`{"imageName":"app","repoDigests":["app@` + right + `"]}`), true},
		"sarif, another":              {sarif(`{"imageName":"app","repoDigests":["app@` + wrong + `"]}`), false},
		"sarif by reference":          {sarif(`{"imageName":"app@` + wrong + `"}`), false},
		"cyclonedx, nothing":          {cyclone(`{"type":"container","name":"app","version":"1.0"}`), true},
		"cyclonedx, the image":        {cyclone(`{"type":"container","version":"` + right + `"}`), true},
		"cyclonedx, another":          {cyclone(`{"type":"container","version":"` + wrong + `"}`), false},
		"cyclonedx, another by purl":  {cyclone(`{"purl":"pkg:oci/app@sha256%3A` + otherHex + `?arch=amd64"}`), false},
		"cyclonedx, a library":        {cyclone(`{"type":"library","purl":"pkg:npm/app@1","version":"` + wrong + `"}`), true},
		"cyclonedx, its repository":   {cyclone(`{"properties":[{"name":"aquasecurity:trivy:RepoDigest","value":"app@` + wrong + `"}]}`), false},
		"cyclonedx, its config":       {cyclone(`{"version":"` + wrong + `","type":"container","properties":[{"name":"aquasecurity:trivy:ImageID","value":"` + config + `"}]}`), true},
		"spdx, another":               {spdx(`{"SPDXID":"SPDXRef-i","versionInfo":"`+wrong+`"}`, describes), false},
		"spdx, another by purl":       {spdx(`{"SPDXID":"SPDXRef-i","externalRefs":[{"referenceLocator":"pkg:oci/a@sha256:`+otherHex+`"}]}`, `,"documentDescribes":["SPDXRef-i"]`), false},
		"spdx, the image":             {spdx(`{"SPDXID":"SPDXRef-i","versionInfo":"`+right+`"}`, describes), true},
		"spdx, a base image":          {spdx(`{"SPDXID":"SPDXRef-b","versionInfo":"`+wrong+`"}`, describes), true},
		"cyclonedx scan, another":     {cycloneScan(`{"properties":[{"name":"aquasecurity:trivy:RepoDigest","value":"app@` + wrong + `"}]}`), false},
		"cyclonedx scan, its config":  {cycloneScan(`{"purl":"pkg:oci/app@sha256%3A` + otherHex + `","properties":[{"name":"aquasecurity:trivy:ImageID","value":"` + config + `"}]}`), true},
		"a summary, its index":        {vsa(index), true},
		"a summary, another":          {vsa(wrong), false},
		"a predicate":                 {`{"scanner":{"result":` + trivy(`"app@`+wrong+`"`, "") + `}}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(FormatPlain, []byte(c.document))
			r.Known = func() ([]provenance.Digest, error) {
				return []provenance.Digest{digest(t, index), digest(t, config)}, nil
			}
			stated := r
			var err error
			if stated.Envelope, err = Statement(r.Envelope, "", r.Subject); err != nil {
				t.Fatal(err)
			}
			for _, r := range []Request{r, stated} { // over its hash as well
				if c.ok {
					accepted(t, r, nil)
				} else {
					refused(t, r, nil, "the document is about sha256:")
				}
			}
		})
	}
	r := request(FormatPlain, []byte(trivy(`"app@`+index+`"`, "")))
	refused(t, r, nil, "is about")
	r.Known = func() ([]provenance.Digest, error) { return nil, provenance.Errorf(provenance.Internal, "down") }
	if _, err := Verify(r, nil); provenance.CodeOf(err) != provenance.Internal {
		t.Errorf("what cannot be asked is no answer: %v", err)
	}
}

// TestNoSBOM: what lists nothing is no bill of materials.
func TestNoSBOM(t *testing.T) {
	for name, c := range map[string]struct {
		document string
		ok       bool
	}{
		"cyclonedx":             {`{"bomFormat":"CycloneDX","specVersion":"1.5"}`, false},
		"cyclonedx, none":       {`{"bomFormat":"CycloneDX","specVersion":"1.5","components":[],"metadata":{"component":{"type":"container","name":"app"}}}`, false},
		"cyclonedx VEX":         {`{"bomFormat":"CycloneDX","specVersion":"1.5","vulnerabilities":[{"id":"CVE-2026-1"}]}`, false},
		"spdx":                  {`{"spdxVersion":"SPDX-2.3"}`, false},
		"spdx, none":            {`{"spdxVersion":"SPDX-2.3","packages":[]}`, false},
		"spdx, the image alone": {`{"spdxVersion":"SPDX-2.3","packages":[{"SPDXID":"SPDXRef-i"}],"documentDescribes":["SPDXRef-i"]}`, false},
		"spdx, said otherwise":  {`{"spdxVersion":"SPDX-2.3","packages":[{"SPDXID":"SPDXRef-i"}],"relationships":[{"spdxElementId":"SPDXRef-i","relationshipType":"DESCRIBED_BY","relatedSpdxElement":"SPDXRef-DOCUMENT"}]}`, false},
		"spdx, one package":     {`{"spdxVersion":"SPDX-2.3","packages":[{"SPDXID":"SPDXRef-a"}]}`, true},
		"spdx, files":           {`{"spdxVersion":"SPDX-2.3","packages":[{"SPDXID":"SPDXRef-i"}],"documentDescribes":["SPDXRef-i"],"files":[{"SPDXID":"SPDXRef-f"}]}`, true},
		"cyclonedx, the image":  {`{"bomFormat":"CycloneDX","specVersion":"1.5","metadata":{"component":{"bom-ref":"i","type":"container","name":"app"}},"components":[{"bom-ref":"i","type":"container","name":"app"}]}`, false},
		"cyclonedx, in it":      {`{"bomFormat":"CycloneDX","specVersion":"1.5","metadata":{"component":{"bom-ref":"i","name":"app"}},"components":[{"bom-ref":"i","name":"app","components":[{"name":"a"}]}]}`, true},
		"cyclonedx, one":        {`{"bomFormat":"CycloneDX","specVersion":"1.5","components":[{"name":"a"}]}`, true},
	} {
		_, _, _, err := Extract(TypeSBOM, []byte(c.document), 0)
		if c.ok && err != nil || !c.ok && (provenance.CodeOf(err) != provenance.Invalid || !strings.Contains(err.Error(), "lists no component")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
