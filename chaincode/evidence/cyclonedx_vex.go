package evidence

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// cycloneStates are the states of an analysis (CycloneDX 1.4 to 1.6,
// vulnerabilities[].analysis.state) and what they say.
var cycloneStates = map[string]string{ //nolint:gochecknoglobals // a constant table
	"resolved": "fixed", "resolved_with_pedigree": "fixed", "exploitable": "affected", "in_triage": "under_investigation",
	"false_positive": "not_affected", "not_affected": "not_affected",
}

// isCycloneVEX tells a document that is about vulnerabilities alone. One that lists
// components as well is an SBOM, unless its type is named.
func isCycloneVEX(m map[string]any) bool {
	return isCycloneDX(m) && len(list(m, "components")) == 0 && len(list(m, "vulnerabilities")) > 0
}

// cycloneBOM is what references of a document lead to.
type cycloneBOM struct {
	link       string // how other documents begin its BOM-Link
	root       any
	isSubject  bool           // the root is the image that is asked about
	components map[string]any // by bom-ref
}

// readCycloneBOM maps a document's components. One bom-ref for two of them is refused.
func readCycloneBOM(m map[string]any) (cycloneBOM, error) {
	minor, ok := strings.CutPrefix(str(m, "specVersion"), "1.")
	if !ok || len(minor) != 1 || minor < "4" || minor > "9" {
		return cycloneBOM{}, invalid("cyclonedx: vulnerabilities in specVersion %q: want 1.4 or a later 1.x", clip(str(m, "specVersion")))
	}
	b := cycloneBOM{root: at(m, "metadata", "component"), components: map[string]any{}}
	if serial, ok := strings.CutPrefix(str(m, "serialNumber"), "urn:uuid:"); ok {
		version, _ := at(m, "version").(int64)
		b.link = "urn:cdx:" + serial + "/" + strconv.FormatInt(max(version, 1), 10) + "#"
	}
	if err := b.add([]any{b.root}); err != nil {
		return b, err
	}
	components, err := members(m, "components")
	if err != nil {
		return b, err
	}
	return b, b.add(components)
}

func (b cycloneBOM) add(components []any) error {
	for _, c := range components {
		if ref := str(c, "bom-ref"); ref != "" {
			if _, twice := b.components[ref]; twice {
				return invalid("cyclonedx: two components are %q", clip(ref))
			}
			b.components[ref] = c
		}
		inner, err := members(c, "components")
		if err != nil {
			return err
		}
		if err := b.add(inner); err != nil {
			return err
		}
	}
	return nil
}

// local is a reference without the BOM-Link of this very document.
func (b cycloneBOM) local(ref string) string {
	if here, ok := strings.CutPrefix(ref, b.link); ok && b.link != "" {
		return unescape(here)
	}
	return ref
}

// name returns what a component is called: its package URL in canonical spelling, or
// else a text, which is no package to whoever compares.
func (b cycloneBOM) name(ref string) string {
	ref = b.local(ref)
	if c, known := b.components[ref]; known {
		return cmp.Or(purlOf(str(c, "purl")), purlOf(ref), str(c, "cpe"), ref)
	}
	if _, elsewhere, ok := strings.Cut(ref, "#"); ok && strings.HasPrefix(ref, "urn:cdx:") {
		return cmp.Or(purlOf(elsewhere), purlOf(unescape(elsewhere)), ref)
	}
	return cmp.Or(purlOf(ref), ref)
}

func unescape(s string) string {
	if u, err := url.PathUnescape(s); err == nil {
		return u
	}
	return s
}

// cycloneVEXFacts reads the vulnerabilities of a CycloneDX document as VEX. Only
// statements about the subject are taken: what they affect is the image, named by
// digest, or, where metadata.component is the image, a component of it.
func cycloneVEXFacts(m map[string]any, subject provenance.Digest) (extracted, error) {
	bom, err := readCycloneBOM(m)
	if err != nil {
		return extracted{}, err
	}
	if bom.isSubject, err = cycloneIsSubject(bom.root, subject); err != nil {
		return extracted{}, err
	}
	vulnerabilities, err := members(m, "vulnerabilities")
	if err != nil {
		return extracted{}, err
	}
	made := claimedTime(str(m, "metadata", "timestamp"))
	var all []vexStatement
	analysed := false
	for i, v := range vulnerabilities {
		s, about, err := bom.statement(v, i, subject)
		if err != nil {
			return extracted{}, err
		}
		analysed = analysed || has(v, "analysis", "state")
		if s.at = claimedTime(str(v, "analysis", "lastUpdated")); s.at.IsZero() {
			s.at = made
		}
		if about {
			all = append(all, s)
		}
	}
	switch {
	case !analysed:
		return extracted{}, invalid("vex: no vulnerability of the CycloneDX document was analysed")
	case len(all) == 0:
		return extracted{}, invalid("vex: no statement whose product is %s, by its digest; a tag may name another image tomorrow", cmp.Or(subject.Short(), "named"))
	}
	// Of one time the one by which a finding stands is the later.
	slices.SortStableFunc(all, func(a, b vexStatement) int { return cmp.Compare(asideFirst(a), asideFirst(b)) })
	facts, err := vexStatementFacts(all)
	return extracted{facts: facts, predicateType: "https://cyclonedx.org/bom", madeAt: made}, err
}

func asideFirst(s vexStatement) int {
	if s.setsAside() {
		return 0
	}
	return 1
}

// statement reads what vulnerability i says, and whether it is about the subject.
func (b cycloneBOM) statement(v any, i int, subject provenance.Digest) (s vexStatement, about bool, err error) {
	s = vexStatement{id: str(v, "id"), status: "under_investigation", justification: text(str(v, "analysis", "justification"))}
	if has(v, "analysis") {
		s.status = cycloneStates[str(v, "analysis", "state")]
	}
	if s.id == "" || text(s.id) != s.id || s.status == "" {
		return s, false, invalid("vex: vulnerability %d: %q with state %q", i, clip(s.id), clip(str(v, "analysis", "state")))
	}
	if s.aliases = cycloneAliases(s.id, v); len(s.aliases) > maxAliases {
		return s, false, invalid("vex: vulnerability %d: %d aliases: at most %d", i, len(s.aliases), maxAliases)
	}
	affects, err := members(v, "affects")
	if err != nil {
		return s, false, err
	}
	if len(affects) == 0 {
		if s.setsAside() {
			return s, false, invalid("vex: %s is %s in nothing that is named", clip(s.id), s.status)
		}
		return s, b.isSubject, nil
	}
	whole := false
	for _, a := range affects {
		if str(a, "ref") == "" {
			return s, false, invalid("vex: %s affects something without a name", clip(s.id))
		}
		part, of, err := b.affected(a, s.setsAside(), subject)
		if err != nil {
			return s, false, err
		}
		switch {
		case !of:
		case part == "":
			whole = true
		case text(part) != part:
			return s, false, invalid("vex: %s: a component without a name of at most %d bytes", clip(s.id), maxText)
		default:
			s.subcomponents = append(s.subcomponents, part)
		}
	}
	about = whole || s.subcomponents != nil
	if whole {
		s.subcomponents = nil
	}
	return s, about, nil
}

// affected tells whether what a statement affects is of the subject, and which part
// of it; "" is all.
func (b cycloneBOM) affected(a any, aside bool, subject provenance.Digest) (part string, of bool, err error) {
	ref := b.local(str(a, "ref"))
	c, known := b.components[ref]
	image, isRoot := false, ref == str(b.root, "bom-ref")
	if !subject.IsZero() {
		if known {
			image, err = cycloneIsSubject(c, subject)
		} else {
			image, err = namesSubject(ref, subject)
		}
		if err != nil {
			return "", false, err
		}
	}
	switch exact := b.exact(a, ref); {
	case !image && !b.isSubject:
		return "", false, nil
	case !exact && aside:
		return text("in other versions: " + ref), true, nil // sets nothing aside
	case image || isRoot:
		return "", true, nil
	}
	return b.name(ref), true, nil
}

// exact tells whether a statement goes for the component as it is here: it names no
// versions, or the component's own among them.
func (b cycloneBOM) exact(affects any, ref string) bool {
	if !has(affects, "versions") {
		return true
	}
	own := str(b.components[ref], "version")
	if own == "" {
		_, own, _ = strings.Cut(b.name(ref), "@")
		own, _, _ = strings.Cut(own, "?")
		own = unescape(own)
	}
	for _, v := range list(affects, "versions") {
		if own != "" && str(v, "version") == own {
			return true
		}
	}
	return false
}

func cycloneAliases(id string, v any) []string {
	var related []string
	for _, r := range list(v, "references") {
		related = append(related, str(r, "id"))
	}
	return aliasesOf(id, related)
}

// cycloneIsSubject tells whether a component is the subject by its package URL,
// bom-ref, version or hashes. One that names it and another digest is refused.
func cycloneIsSubject(c any, subject provenance.Digest) (bool, error) {
	hashes := map[string]any{}
	for _, h := range list(c, "hashes") {
		alg := strings.ToLower(str(h, "alg"))
		if before, again := hashes[alg]; again && before != str(h, "content") {
			return false, invalid("cyclonedx: %q has two hashes by one algorithm", clip(str(c, "name")))
		}
		hashes[alg] = str(h, "content")
	}
	product := map[string]any{"@id": str(c, "bom-ref"), "identifiers": map[string]any{"purl": str(c, "purl")}, "hashes": hashes}
	same, err := namesSubject(product, subject)
	if err != nil || same || str(c, "type") != "container" {
		return same, err
	}
	return namesSubject("@"+str(c, "version"), subject)
}
