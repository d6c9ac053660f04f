package evidence

import (
	"strings"

	"github.com/package-url/packageurl-go"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

const vsaPredicate = "https://slsa.dev/verification_summary/v1"

// Bounds of a verification summary.
const (
	maxLevels   = 32
	maxPolicies = 16
)

// vsaFacts reads a SLSA verification summary v1 (slsa.dev/spec, verification
// summary): who verified the image against which policy, with what result.
// Consumers must compare resourceUri, or a summary made for one repository
// passes in another that has the same image: the fact repository is the
// repository it names, "" where it names none, and package policy compares it.
func vsaFacts(m map[string]any) (extracted, error) {
	result, resource := str(m, "verificationResult"), str(m, "resourceUri")
	if result != "PASSED" && result != "FAILED" {
		return extracted{}, invalid("vsa: verificationResult %q: want PASSED or FAILED", clip(result))
	}
	facts := map[string]any{
		"verifier":     str(m, "verifier", "id"),
		"result":       result,
		"resourceUri":  resource,
		"policy":       str(m, "policy", "uri"),
		"policyDigest": str(m, "policy", "digest", "sha256"),
		"slsaVersion":  str(m, "slsaVersion"),
	}
	if err := wholeTexts("vsa", facts, "verifier", "resourceUri", "policy"); err != nil {
		return extracted{}, err
	}
	var err error
	if facts["levels"], err = wholeList("vsa", m["verifiedLevels"], maxLevels); err != nil {
		return extracted{}, err
	}
	repository, digest := resourceOf(resource)
	facts["repository"] = repository
	found := extracted{facts: facts, predicateType: vsaPredicate, madeAt: claimedTime(str(m, "timeVerified"))}
	found.names.manifest(digest)
	return found, nil
}

// wholeTexts refuses texts that a fact cannot hold whole, for cut to fit they would
// be others; those of the given names must be there.
func wholeTexts(what string, facts map[string]any, required ...string) error {
	for _, name := range sortedNames(facts) {
		if s, ok := facts[name].(string); ok && text(s) != s {
			return invalid("%s: %s is longer than %d bytes or has control characters", what, name, maxText)
		}
	}
	for _, name := range required {
		if facts[name] == "" {
			return invalid("%s: %s is missing", what, name)
		}
	}
	return nil
}

// wholeList reads a list of 1 to most different texts, sorted. A list that had to be
// cut would say less than was signed, and is refused.
func wholeList(what string, v any, most int) ([]any, error) {
	given, _ := v.([]any)
	if len(given) == 0 || len(given) > most {
		return nil, invalid("%s: a list of %d: want 1 to %d", what, len(given), most)
	}
	var names []string
	for _, x := range given {
		name, ok := x.(string)
		if !ok || name == "" || text(name) != name {
			return nil, invalid("%s: lists hold texts of at most %d bytes", what, maxText)
		}
		names = append(names, name)
	}
	list, _ := distinct(names, most)
	return list, nil
}

// resourceOf finds the repository, host/path, and the digest that a URI of an image
// names; "" where it names none. It reads references with or without one of the
// schemes oci, docker and https, and package URLs of the types oci and docker.
func resourceOf(uri string) (repository, digest string) {
	if strings.HasPrefix(uri, "pkg:") {
		return purlResource(uri)
	}
	for _, scheme := range []string{"oci://", "docker://", "https://"} {
		if rest, ok := strings.CutPrefix(uri, scheme); ok {
			uri = rest
			break
		}
	}
	ref, err := provenance.ParseReference(uri)
	if err != nil { // a repository alone is no reference
		if ref, err = provenance.ParseReference(uri + ":tag"); err != nil {
			return "", ""
		}
	}
	if !ref.Digest.IsZero() {
		digest = ref.Digest.String()
	}
	return string(ref.Host) + "/" + string(ref.Repository), digest
}

// purlResource reads a package URL by purl-spec's definitions of its types: in oci
// the qualifier repository_url is the whole repository, in docker the registry.
func purlResource(uri string) (repository, digest string) {
	p, err := packageurl.FromString(uri)
	if err != nil {
		return "", ""
	}
	if d, err := provenance.ParseDigest(p.Version); err == nil {
		digest = d.String()
	}
	where := p.Qualifiers.Map()["repository_url"]
	switch {
	case where == "":
		return "", digest
	case p.Type == "docker":
		name := p.Name
		if p.Namespace != "" {
			name = p.Namespace + "/" + name
		}
		where = strings.TrimSuffix(where, "/") + "/" + name
	case p.Type != "oci":
		return "", digest
	}
	if strings.HasPrefix(where, "pkg:") {
		return "", digest
	}
	repository, _ = resourceOf(where)
	return repository, digest
}
