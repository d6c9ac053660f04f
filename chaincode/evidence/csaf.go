package evidence

import (
	"cmp"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

const csafVEX = "csaf_vex"

// isCSAF tells a document of the Common Security Advisory Framework.
func isCSAF(m map[string]any) bool { return has(m, "document", "csaf_version") }

// csafStatuses are the groups of product_status (CSAF 2.0, section 3.2.3.9) and what
// they say; "recommended" says nothing of a flaw. Where two products are the one
// subject the later group counts, which is the one by which a finding stands.
func csafStatuses() [][2]string {
	return [][2]string{
		{"fixed", "fixed"}, {"first_fixed", "fixed"}, {"known_not_affected", "not_affected"}, {"under_investigation", "under_investigation"},
		{"first_affected", "affected"}, {"last_affected", "affected"}, {"known_affected", "affected"},
	}
}

// csafFacts reads CSAF 2.0 of the profile VEX (OASIS, CSAF 2.0, section 4.5). Only
// statements about products that are the subject, named by digest, or components of
// it, are taken; a document without any is refused, and so is a draft.
func csafFacts(m map[string]any, subject provenance.Digest) (extracted, error) {
	if category, version := str(m, "document", "category"), str(m, "document", "csaf_version"); category != csafVEX || version != "2.0" {
		return extracted{}, invalid("csaf: %q of version %q: want %s of 2.0", clip(category), clip(version), csafVEX)
	}
	if status := str(m, "document", "tracking", "status"); status != "final" && status != "interim" {
		return extracted{}, invalid("csaf: the document is %q: want final or interim", clip(status))
	}
	tree, err := csafTree(m)
	if err != nil {
		return extracted{}, err
	}
	made := claimedTime(str(m, "document", "tracking", "current_release_date"))
	vulnerabilities, err := members(m, "vulnerabilities")
	if err != nil {
		return extracted{}, err
	}
	var all []vexStatement
	seen := map[string]bool{}
	for i, v := range vulnerabilities {
		read, err := tree.vulnerability(v, i, subject, seen)
		if err != nil {
			return extracted{}, err
		}
		for _, s := range read {
			s.at = made
			all = append(all, s)
		}
	}
	if len(all) == 0 {
		return extracted{}, invalid("csaf: no statement whose product is %s, by its digest; a tag may name another image tomorrow", cmp.Or(subject.Short(), "named"))
	}
	facts, err := vexStatementFacts(all)
	return extracted{facts: facts, predicateType: ownPredicate + TypeVEX + ownVersion, madeAt: made}, err
}

// vulnerability reads what vulnerability i is said to be in each product.
func (t csafProducts) vulnerability(v any, i int, subject provenance.Digest, seen map[string]bool) ([]vexStatement, error) {
	var ids []string
	if cve := str(v, "cve"); cve != "" {
		ids = append(ids, cve)
	}
	for _, id := range list(v, "ids") {
		ids = append(ids, str(id, "text"))
	}
	if len(ids) == 0 {
		return nil, invalid("csaf: vulnerability %d has no id", i)
	}
	for _, id := range ids {
		if id == "" || text(id) != id {
			return nil, invalid("csaf: vulnerability %d: id %q", i, clip(id))
		}
	}
	if seen[ids[0]] {
		return nil, invalid("csaf: two vulnerabilities are %s", clip(ids[0]))
	}
	seen[ids[0]] = true
	aliases := aliasesOf(ids[0], ids[1:])
	if len(aliases) > maxAliases {
		return nil, invalid("csaf: vulnerability %d: %d aliases: at most %d", i, len(aliases), maxAliases)
	}
	reasons := csafReasons(v)
	said := map[string]string{}
	var out []vexStatement
	for _, group := range csafStatuses() {
		products, err := members(at(v, "product_status"), group[0])
		if err != nil {
			return nil, err
		}
		for _, p := range products {
			id, _ := p.(string)
			if before := said[id]; before != "" && before != group[1] {
				return nil, invalid("csaf: %s is %s and %s in %q", clip(ids[0]), before, group[1], clip(id))
			}
			said[id] = group[1]
			s := vexStatement{id: ids[0], aliases: aliases, status: group[1]}
			if group[1] == "not_affected" {
				var given bool
				if s.justification, given = reasons.of(id, t.groups[id]); !given {
					return nil, invalid("csaf: %s: not affected needs a flag or an impact statement", clip(ids[0]))
				}
			}
			found, err := t.resolve(id, subject, 0)
			if err != nil {
				return nil, err
			}
			if !found.about || !found.defaults && s.setsAside() {
				continue
			}
			s.subcomponents = slices.Clone(found.subcomponents)
			if subject.IsZero() {
				s.product = id
			}
			out = append(out, s)
		}
	}
	return out, nil
}

// csafReason are the flags and impact statements of a vulnerability.
type csafReason struct {
	any              bool // for whichever product
	label            string
	products, groups map[string]string // labels of flags; of an impact statement ""
}

func csafReasons(v any) csafReason {
	r := csafReason{products: map[string]string{}, groups: map[string]string{}}
	for _, flag := range list(v, "flags") {
		r.add(flag, text(str(flag, "label")))
	}
	for _, threat := range list(v, "threats") {
		if str(threat, "category") == "impact" && str(threat, "details") != "" {
			r.add(threat, "")
		}
	}
	return r
}

func (r *csafReason) add(item any, label string) {
	products, groups := list(item, "product_ids"), list(item, "group_ids")
	if len(products) == 0 && len(groups) == 0 {
		r.any, r.label = true, cmp.Or(r.label, label)
	}
	for _, of := range []struct {
		ids  []any
		into map[string]string
	}{{products, r.products}, {groups, r.groups}} {
		for _, id := range of.ids {
			id, _ := id.(string)
			of.into[id] = cmp.Or(of.into[id], label)
		}
	}
}

// of is why a product is not affected: the label of a flag, or an impact statement
// without one, for it, for one of its groups or for none in particular.
func (r csafReason) of(product string, groups []string) (label string, given bool) {
	label, given = r.products[product]
	for _, g := range groups {
		l, of := r.groups[g]
		label, given = cmp.Or(label, l), given || of
	}
	return cmp.Or(label, r.label), given || r.any
}

// members returns a list that may be left out; what is there and no list is
// refused: it would say less than was signed.
func members(v any, name string) ([]any, error) {
	if has(v, name) && list(v, name) == nil {
		return nil, invalid("%s is no list", name)
	}
	return list(v, name), nil
}

// vexDocument reads a VEX document of any of its formats.
func vexDocument(m map[string]any, subject provenance.Digest) (extracted, error) {
	switch {
	case strings.HasPrefix(str(m, "@context"), "https://openvex.dev/ns"):
		return vexFacts(m, subject)
	case isCSAF(m):
		return csafFacts(m, subject)
	case isCycloneDX(m):
		return cycloneVEXFacts(m, subject)
	}
	return extracted{}, invalid("vex: neither OpenVEX nor CSAF nor CycloneDX JSON; @context is not OpenVEX's")
}
