package evidence

import (
	"regexp"
	"slices"
	"strings"
)

// spdx3Context is the one context that SPDX 3.0 in JSON has. Another, or a list of
// several, could give every name in the document another meaning.
var spdx3Context = regexp.MustCompile(`^https://spdx\.org/rdf/(3\.0(?:\.[0-9]{1,3})?)/spdx-context\.jsonld$`)

func isSPDX3(m map[string]any) bool { return spdx3Context.MatchString(str(m, "@context")) }

// spdx3Package tells the classes of what is a component: packages and their subclasses.
func spdx3Package(kind string) bool {
	return kind == "software_Package" || kind == "ai_AIPackage" || kind == "dataset_DatasetPackage"
}

// spdx3Facts reads SPDX 3.0 JSON-LD (spdx.github.io/spdx-spec/v3.0.1), the form that
// its JSON schema describes: elements in "@graph", which name each other by id.
func spdx3Facts(m map[string]any) (extracted, error) {
	context := spdx3Context.FindStringSubmatch(str(m, "@context"))
	graph := list(m, "@graph")
	if context == nil || graph == nil {
		return extracted{}, invalid("sbom: SPDX 3.0 without its context or without @graph")
	}
	b := sbom{format: "spdx", number: context[1]}
	elements, err := spdx3Elements(graph)
	if err != nil {
		return extracted{}, err
	}
	roots := map[string]bool{}
	var names ImageNames
	found := extracted{predicateType: "https://spdx.dev/Document"}
	files := 0
	for _, e := range graph {
		switch kind := spdx3Type(e); {
		case kind == "SpdxDocument", kind == "software_Sbom":
			for _, root := range list(e, "rootElement") {
				id, _ := root.(string)
				roots[id] = true
			}
			if created := str(spdx3Referred(elements, at(e, "creationInfo")), "created"); kind == "SpdxDocument" {
				found.madeAt = claimedTime(created)
			}
		case kind == "software_File":
			files++
		case kind == "Relationship":
			b.licences = append(b.licences, spdx3Licences(e, elements)...)
		case spdx3Package(kind):
			b.components++
			b.purls = append(b.purls, spdx3PURLs(e)...)
		}
	}
	described := 0
	for _, id := range sortedIDs(roots) {
		root := elements[id]
		if !spdx3Package(spdx3Type(root)) {
			continue
		}
		described++
		names.manifest(str(root, "software_packageVersion"))
		for _, purl := range spdx3PURLs(root) {
			names.manifest(ociPURL(purl))
		}
	}
	// The package that it is about is no part of what is in it.
	if files == 0 && (b.components == 0 || b.components == 1 && described == 1) {
		return extracted{}, b.empty()
	}
	found.names = names
	found.facts, err = b.facts()
	return found, err
}

func sortedIDs(set map[string]bool) []string {
	all := map[string]any{}
	for id := range set {
		all[id] = true
	}
	return sortedNames(all)
}

func spdx3Type(e any) string { return str(e, "type") }

// spdx3Elements maps ids to elements. One id for two elements, or an element that
// two readers would take for different ones, is refused.
func spdx3Elements(graph []any) (map[string]any, error) {
	elements := map[string]any{}
	for i, e := range graph {
		if has(e, "@type") && has(e, "type") || spdx3Type(e) == "" {
			return nil, invalid("sbom: SPDX element %d: want one type", i)
		}
		for _, member := range []string{"spdxId", "@id"} {
			id := str(e, member)
			if id == "" || spdx3Type(e) == "Relationship" { // nothing that is read refers to one
				continue
			}
			if _, twice := elements[id]; twice {
				return nil, invalid("sbom: two SPDX elements are %q", clip(id))
			}
			elements[id] = e
		}
	}
	return elements, nil
}

// spdx3Referred is what a property holds: an element, or the id of one.
func spdx3Referred(elements map[string]any, v any) any {
	if id, ok := v.(string); ok {
		return elements[id]
	}
	return v
}

func spdx3PURLs(e any) []string {
	var purls []string
	if p := str(e, "software_packageUrl"); p != "" {
		purls = append(purls, p)
	}
	for _, x := range list(e, "externalIdentifier") {
		if kind := str(x, "externalIdentifierType"); kind == "packageUrl" || kind == "purl" {
			purls = append(purls, str(x, "identifier"))
		}
	}
	return purls
}

const spdxLicences = "https://spdx.org/licenses/"

// spdx3Licences are the licences that a relationship gives to a package.
func spdx3Licences(r any, elements map[string]any) []string {
	if kind := str(r, "relationshipType"); kind != "hasConcludedLicense" && kind != "hasDeclaredLicense" || !spdx3Package(spdx3Type(spdx3Referred(elements, at(r, "from")))) {
		return nil
	}
	var out []string
	for _, to := range list(r, "to") {
		if e := spdx3Referred(elements, to); str(e, "simplelicensing_licenseExpression") != "" {
			out = append(out, str(e, "simplelicensing_licenseExpression"))
		} else if id, ok := to.(string); ok && strings.HasPrefix(id, spdxLicences) {
			out = append(out, strings.TrimPrefix(id, spdxLicences))
		} else if name := str(e, "name"); name != "" {
			out = append(out, name)
		}
	}
	return slices.DeleteFunc(out, func(l string) bool { return l == "NOASSERTION" || l == "NONE" })
}
