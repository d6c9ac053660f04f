package evidence

import (
	"cmp"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// vexFacts reads OpenVEX. Only statements about the subject itself, named by
// digest, are taken; a document without any is refused. With a zero subject
// (Extract) all statements are taken.
func vexFacts(m map[string]any, subject provenance.Digest) (extracted, error) {
	if !strings.HasPrefix(str(m, "@context"), "https://openvex.dev/ns") {
		return extracted{}, invalid("vex: @context is not OpenVEX's")
	}
	var all []vexStatement
	for i, s := range list(m, "statements") {
		about, err := productsOf(s, subject)
		if err != nil {
			return extracted{}, err
		}
		if len(about) == 0 {
			continue
		}
		read, err := openVEXStatement(s, i)
		if err != nil {
			return extracted{}, err
		}
		// A statement without a time is of the document's.
		read.at = claimedTime(cmp.Or(str(s, "timestamp"), str(m, "timestamp")))
		for _, product := range about {
			read.product, read.subcomponents = product.name, product.subcomponents
			all = append(all, read)
		}
	}
	if len(all) == 0 {
		return extracted{}, invalid("vex: no statement whose product is %s, by its digest; a tag may name another image tomorrow", cmp.Or(subject.Short(), "named"))
	}
	facts, err := vexStatementFacts(all)
	return extracted{
		facts: facts, predicateType: "https://openvex.dev/ns",
		madeAt: claimedTime(cmp.Or(str(m, "last_updated"), str(m, "timestamp"))),
	}, err
}

// openVEXStatement reads what statement i says, without what it is about.
func openVEXStatement(s any, i int) (vexStatement, error) {
	read := vexStatement{
		// Version 0.0.1 has the vulnerability as a text.
		id:     cmp.Or(str(s, "vulnerability", "name"), str(s, "vulnerability"), str(s, "vulnerability", "@id")),
		status: str(s, "status"), justification: text(str(s, "justification")),
	}
	if read.id == "" || text(read.id) != read.id || vexStatuses[read.status] == "" {
		return read, invalid("vex: statement %d: vulnerability %q with status %q", i, clip(read.id), clip(read.status))
	}
	if read.status == "not_affected" && read.justification == "" && str(s, "impact_statement") == "" {
		return read, invalid("vex: statement %d: not_affected needs a justification or an impact statement", i)
	}
	for _, alias := range list(s, "vulnerability", "aliases") {
		name, _ := alias.(string)
		if name == "" || text(name) != name {
			return read, invalid("vex: statement %d: alias %q", i, clip(name))
		}
		if name != read.id {
			read.aliases = append(read.aliases, name)
		}
	}
	slices.Sort(read.aliases)
	if read.aliases = slices.Compact(read.aliases); len(read.aliases) > maxAliases {
		return read, invalid("vex: statement %d: %d aliases: at most %d", i, len(read.aliases), maxAliases)
	}
	return read, nil
}

// vexProduct is a product that a statement is about.
type vexProduct struct {
	name          string
	subcomponents []string // nil: all of it
}

// productsOf returns what a statement is about: the subject once, where one of its
// products is the subject, with the subcomponents that it names; or, with a zero
// subject, each product.
func productsOf(statement any, subject provenance.Digest) ([]vexProduct, error) {
	// Version 0.0.1 names the subcomponents beside the products.
	beside, err := subcomponentsOf(statement)
	if err != nil {
		return nil, err
	}
	var found []vexProduct
	for _, p := range list(statement, "products") {
		same, err := namesSubject(p, subject)
		if err != nil {
			return nil, err
		}
		if !same {
			continue
		}
		parts, err := subcomponentsOf(p)
		if err != nil {
			return nil, err
		}
		product := vexProduct{subcomponents: append(parts, beside...)}
		if subject.IsZero() {
			product.name, _ = p.(string)
			product.name = cmp.Or(product.name, str(p, "@id"), str(p, "identifiers", "purl"))
		} else if len(found) > 0 { // named again: about all of it where it once is
			if found[0].subcomponents != nil && product.subcomponents != nil {
				found[0].subcomponents = append(found[0].subcomponents, product.subcomponents...)
			} else {
				found[0].subcomponents = nil
			}
			continue
		}
		found = append(found, product)
	}
	if len(found) == 0 && subject.IsZero() {
		found = []vexProduct{{subcomponents: beside}}
	}
	return found, nil
}

// subcomponentsOf returns the subcomponents that a product, or a statement of
// version 0.0.1, names: package URLs in their canonical spelling, others as they
// are; nil where it names none. One that has no name is refused: without it the
// rest would say less, or all.
func subcomponentsOf(of any) ([]string, error) {
	if has(of, "subcomponents") && list(of, "subcomponents") == nil {
		return nil, invalid("vex: subcomponents is no list")
	}
	var names []string
	for _, c := range list(of, "subcomponents") {
		name, _ := c.(string)
		name = cmp.Or(purlOf(str(c, "identifiers", "purl")), str(c, "@id"), str(c, "identifiers", "cpe23"), str(c, "identifiers", "cpe22"), name)
		if hashes := object(c, "hashes"); name == "" && len(hashes) > 0 {
			alg := sortedNames(hashes)[0]
			name = alg + ":" + str(hashes, alg)
		}
		if name = cmp.Or(purlOf(name), name); name == "" || text(name) != name {
			return nil, invalid("vex: a subcomponent without a name of at most %d bytes", maxText)
		}
		names = append(names, name)
	}
	return names, nil
}

// namesSubject tells whether a product is the subject. One that names it and
// another digest under the same algorithm is refused.
func namesSubject(product any, subject provenance.Digest) (bool, error) {
	if subject.IsZero() {
		return true, nil
	}
	alg, value := split(subject)
	same, differ := false, false
	names := []string{str(product, "@id"), str(product, "identifiers", "purl")}
	if s, ok := product.(string); ok { // version 0.0.1
		names = []string{s}
	}
	for _, name := range names {
		if d := digestIn(name, alg); d != "" {
			same = same || d == value
			differ = differ || d != value
		}
	}
	hashes := object(product, "hashes")
	for _, name := range []string{alg, "sha-" + alg[len("sha"):]} {
		if d := str(hashes, name); d != "" {
			same = same || d == value
			differ = differ || d != value
		}
	}
	if same && differ {
		return false, invalid("vex: a product names %s and another digest", subject.Short())
	}
	return same, nil
}

// digestIn finds the digest in an image reference or a pkg:oci URL, where the
// colon may be escaped.
func digestIn(name, alg string) string {
	for _, mark := range []string{"@" + alg + ":", "@" + alg + "%3A", "@" + alg + "%3a"} {
		if _, after, ok := strings.Cut(name, mark); ok {
			after, _, _ = strings.Cut(after, "?")
			after, _, _ = strings.Cut(after, "#")
			return after
		}
	}
	return ""
}
