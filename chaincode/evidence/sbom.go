package evidence

import "strings"

// sbomFacts reads a bill of materials: how many components it lists, their
// package URLs and their licences, each list sorted. When truncated is true a
// list is not whole: a rule that looks for what must not be there has to
// refuse it.
func sbomFacts(m map[string]any) (extracted, error) {
	switch {
	case has(m, "spdxVersion"):
		return spdxFacts(m)
	case isSPDX3(m):
		return spdx3Facts(m)
	case isCycloneDX(m):
		return cycloneFacts(m)
	}
	return extracted{}, invalid("sbom: neither SPDX nor CycloneDX JSON")
}

type sbom struct {
	components     int64
	purls          []string
	licences       []string
	format, number string // and its version
}

// empty is what a document that lists nothing is: no bill of materials. A list of
// vulnerabilities may have the same form.
func (b *sbom) empty() error { return invalid("sbom: the %s document lists no component", b.format) }

func (b *sbom) facts() (map[string]any, error) {
	packages, morePackages := distinct(b.purls, maxListed)
	licences, moreLicences := distinct(b.licences, maxLicences)
	return truncate(map[string]any{
		"format":      b.format,
		"specVersion": b.number,
		"components":  b.components,
		"packages":    packages,
		"licences":    licences,
		"truncated":   morePackages || moreLicences,
	}, "packages", "licences")
}

// spdxFacts reads SPDX 2.2 and 2.3 JSON (spdx.github.io/spdx-spec/v2.3).
func spdxFacts(m map[string]any) (extracted, error) {
	number, ok := strings.CutPrefix(str(m, "spdxVersion"), "SPDX-")
	if !ok || (number != "2.2" && number != "2.3") {
		return extracted{}, invalid("sbom: spdxVersion %q: want SPDX-2.3", clip(str(m, "spdxVersion")))
	}
	if has(m, "packages") && list(m, "packages") == nil {
		return extracted{}, invalid("sbom: packages is no list")
	}
	b := sbom{format: "spdx", number: number}
	for _, p := range list(m, "packages") {
		b.components++
		for _, ref := range list(p, "externalRefs") {
			if str(ref, "referenceType") == "purl" {
				b.purls = append(b.purls, str(ref, "referenceLocator"))
			}
		}
		for _, name := range []string{"licenseConcluded", "licenseDeclared"} {
			if l := str(p, name); l != "" && l != "NOASSERTION" && l != "NONE" {
				b.licences = append(b.licences, l)
			}
		}
	}
	described := spdxDescribed(m)
	if len(list(m, "files")) == 0 && (b.components == 0 || b.components == 1 && described[str(list(m, "packages")[0], "SPDXID")]) {
		return extracted{}, b.empty()
	}
	var names ImageNames
	for _, p := range list(m, "packages") {
		if described[str(p, "SPDXID")] {
			switch str(p, "primaryPackagePurpose") {
			case "", "CONTAINER": // the version of a file is its own digest
				names.manifest(str(p, "versionInfo"))
			}
			for _, ref := range list(p, "externalRefs") {
				names.manifest(ociPURL(str(ref, "referenceLocator")))
			}
		}
	}
	facts, err := b.facts()
	return extracted{
		facts: facts, predicateType: "https://spdx.dev/Document",
		madeAt: claimedTime(str(m, "creationInfo", "created")), names: names,
	}, err
}

// spdxDescribed returns the ids of the elements that a document is about.
func spdxDescribed(m map[string]any) map[string]bool {
	described := map[string]bool{}
	for _, id := range list(m, "documentDescribes") {
		if id, ok := id.(string); ok {
			described[id] = true
		}
	}
	for _, r := range list(m, "relationships") {
		switch str(r, "relationshipType") {
		case "DESCRIBES":
			if str(r, "spdxElementId") == "SPDXRef-DOCUMENT" {
				described[str(r, "relatedSpdxElement")] = true
			}
		case "DESCRIBED_BY":
			if str(r, "relatedSpdxElement") == "SPDXRef-DOCUMENT" {
				described[str(r, "spdxElementId")] = true
			}
		}
	}
	return described
}

// ociPURL is the package URL of an image, "" where s is another.
func ociPURL(s string) string {
	if strings.HasPrefix(s, "pkg:oci/") || strings.HasPrefix(s, "pkg:docker/") {
		return s
	}
	return ""
}

// cycloneFacts reads CycloneDX 1.2 and later 1.x JSON (cyclonedx.org).
// Components inside components count as well.
func cycloneFacts(m map[string]any) (extracted, error) {
	number := str(m, "specVersion")
	minor, ok := strings.CutPrefix(number, "1.")
	if !ok || len(minor) != 1 || minor < "2" || minor > "9" {
		return extracted{}, invalid("sbom: CycloneDX specVersion %q: want 1.2 or a later 1.x", clip(number))
	}
	if has(m, "components") && list(m, "components") == nil {
		return extracted{}, invalid("sbom: components is no list")
	}
	b := sbom{format: "cyclonedx", number: number}
	root, components := at(m, "metadata", "component"), list(m, "components")
	ref := str(root, "bom-ref")
	b.walk(components)
	if b.components == 0 || b.components == 1 && ref != "" && str(components[0], "bom-ref") == ref {
		return extracted{}, b.empty()
	}
	facts, err := b.facts()
	return extracted{
		facts: facts, predicateType: "https://cyclonedx.org/bom",
		madeAt: claimedTime(str(m, "metadata", "timestamp")), names: cycloneNames(root),
	}, err
}

// cycloneNames are the digests by which a document names the image that it is about,
// its metadata.component.
func cycloneNames(root any) ImageNames {
	var names ImageNames
	names.manifest(ociPURL(str(root, "purl")), ociPURL(str(root, "bom-ref")))
	if str(root, "type") == "container" {
		names.manifest(str(root, "version"))
	}
	for _, p := range list(root, "properties") {
		switch str(p, "name") {
		case "aquasecurity:trivy:RepoDigest":
			names.manifest(str(p, "value"))
		case "aquasecurity:trivy:ImageID":
			names.config(str(p, "value"))
		}
	}
	return names
}

// walk's depth is bounded by that of the document.
func (b *sbom) walk(components []any) {
	for _, c := range components {
		b.components++
		if purl := str(c, "purl"); purl != "" {
			b.purls = append(b.purls, purl)
		}
		for _, l := range list(c, "licenses") {
			for _, path := range [][]string{{"expression"}, {"license", "id"}, {"license", "name"}} {
				if name := str(l, path...); name != "" {
					b.licences = append(b.licences, name)
					break
				}
			}
		}
		b.walk(list(c, "components"))
	}
}
