package evidence

import (
	"cmp"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Bounds of a product tree: relationships of relationships that are followed, and
// groups that one product is in.
const (
	maxCSAFDepth  = 8
	maxCSAFGroups = 16
)

// csafProducts are the products that a document names, by product_id.
type csafProducts struct {
	products      map[string]any      // full_product_name objects
	relationships map[string]any      // those that a relationship makes, by the id of what it makes
	groups        map[string][]string // of a product
	resolved      map[string]csafAbout
}

// csafTree reads product_tree. A product_id that is given twice would be one thing
// to one reader and another to the next: the document is refused.
func csafTree(m map[string]any) (csafProducts, error) {
	t := csafProducts{products: map[string]any{}, relationships: map[string]any{}, groups: map[string][]string{}, resolved: map[string]csafAbout{}}
	tree := at(m, "product_tree")
	names, err := members(tree, "full_product_names")
	if err != nil {
		return t, err
	}
	for _, p := range names {
		if err := t.add(p); err != nil {
			return t, err
		}
	}
	if err := t.branches(tree); err != nil {
		return t, err
	}
	made, err := members(tree, "relationships")
	if err != nil {
		return t, err
	}
	for _, r := range made {
		p := at(r, "full_product_name")
		if err := t.add(p); err != nil {
			return t, err
		}
		t.relationships[str(p, "product_id")] = r
	}
	for _, g := range list(tree, "product_groups") {
		for _, p := range list(g, "product_ids") {
			id, _ := p.(string)
			if t.groups[id] = append(t.groups[id], str(g, "group_id")); len(t.groups[id]) > maxCSAFGroups {
				return t, invalid("csaf: product %q is in more than %d groups", clip(id), maxCSAFGroups)
			}
		}
	}
	return t, nil
}

// branches' depth is bounded by that of the document.
func (t csafProducts) branches(of any) error {
	branches, err := members(of, "branches")
	if err != nil {
		return err
	}
	for _, b := range branches {
		if has(b, "product") {
			if err := t.add(at(b, "product")); err != nil {
				return err
			}
		}
		if err := t.branches(b); err != nil {
			return err
		}
	}
	return nil
}

func (t csafProducts) add(product any) error {
	id := str(product, "product_id")
	if _, twice := t.products[id]; id == "" || twice {
		return invalid("csaf: product_id %q is missing or given twice", clip(id))
	}
	t.products[id] = product
	return nil
}

// csafAbout is what a statement on a product says of the subject.
type csafAbout struct {
	about         bool
	defaults      bool     // the product is, all along, what others have in them by default
	subcomponents []string // nil: the whole subject
}

// resolve finds out whether a product is the subject or of it, and what of it. With
// a zero subject each is.
func (t csafProducts) resolve(id string, subject provenance.Digest, depth int) (csafAbout, error) {
	if known, ok := t.resolved[id]; ok {
		return known, nil
	}
	product, known := t.products[id]
	if !known || depth > maxCSAFDepth {
		return csafAbout{}, invalid("csaf: product %q is not in the product tree, or nested deeper than %d", clip(id), maxCSAFDepth)
	}
	same, err := csafIsSubject(product, subject)
	if err != nil {
		return csafAbout{}, err
	}
	found := csafAbout{about: same, defaults: true}
	if r, made := t.relationships[id]; made {
		if found, err = t.related(r, same, subject, depth+1); err != nil {
			return csafAbout{}, err
		}
	}
	t.resolved[id] = found
	return found, nil
}

// related resolves what a relationship makes of two products; same: it names itself
// as the subject.
func (t csafProducts) related(r any, same bool, subject provenance.Digest, depth int) (csafAbout, error) {
	whole, err := t.resolve(str(r, "relates_to_product_reference"), subject, depth)
	if err != nil {
		return csafAbout{}, err
	}
	part, err := t.resolve(str(r, "product_reference"), subject, depth)
	if err != nil {
		return csafAbout{}, err
	}
	// What may be added to an image, or runs beside it, is not in it.
	defaults := str(r, "category") == "default_component_of"
	if !whole.about && part.about { // the image as a part of something
		part.defaults = part.defaults && defaults
		return part, nil
	}
	found := csafAbout{about: whole.about || same, defaults: defaults && (whole.defaults || !whole.about)}
	if found.about {
		found.subcomponents, err = t.component(str(r, "product_reference"), depth)
	}
	return found, err
}

// component names what a statement is about within the image: the package URL of the
// innermost component, or else the text by which it is called, which sets nothing aside.
func (t csafProducts) component(id string, depth int) ([]string, error) {
	product, known := t.products[id]
	if !known || depth > maxCSAFDepth {
		return nil, invalid("csaf: product %q is not in the product tree, or nested deeper than %d", clip(id), maxCSAFDepth)
	}
	if r, made := t.relationships[id]; made {
		return t.component(str(r, "product_reference"), depth+1)
	}
	helper := at(product, "product_identification_helper")
	name := cmp.Or(purlOf(str(helper, "purl")), str(helper, "cpe"), str(product, "name"), id)
	if name == "" || text(name) != name {
		return nil, invalid("csaf: product %q has no name of at most %d bytes", clip(id), maxText)
	}
	return []string{name}, nil
}

// csafIsSubject tells whether a product is the subject by its package URL or its
// hashes. One that names it and another digest is refused.
func csafIsSubject(product any, subject provenance.Digest) (bool, error) {
	helper := at(product, "product_identification_helper")
	hashes := map[string]any{}
	for _, h := range list(helper, "hashes") {
		for _, f := range list(h, "file_hashes") {
			alg := strings.ToLower(str(f, "algorithm"))
			if before, again := hashes[alg]; again && before != str(f, "value") {
				hashes[alg] = "" // of several files: of none in particular
				continue
			}
			hashes[alg] = str(f, "value")
		}
	}
	return namesSubject(map[string]any{"@id": str(helper, "purl"), "hashes": hashes}, subject)
}
