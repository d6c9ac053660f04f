package policy

import (
	"slices"
	"strings"
)

// purl is a package URL in its canonical spelling, as package evidence writes it.
type purl struct {
	base       string // pkg:type/namespace/name
	version    string
	qualifiers []string // name=value
	subpath    string
}

// parsePURL takes a canonical package URL apart. Another spelling of one is
// another package here: it matches nothing.
func parsePURL(s string) (purl, bool) {
	s, subpath, _ := strings.Cut(s, "#")
	s, qualifiers, _ := strings.Cut(s, "?")
	base, version, _ := strings.Cut(s, "@")
	p := purl{base: base, version: version, subpath: subpath}
	if qualifiers != "" {
		p.qualifiers = strings.Split(qualifiers, "&")
	}
	kind, name, ok := strings.Cut(strings.TrimPrefix(base, "pkg:"), "/")
	return p, strings.HasPrefix(base, "pkg:") && ok && kind != "" && name != ""
}

// covers tells whether a subcomponent is the package p: what it gives of a
// version, qualifiers and a subpath must be the package's.
func (e *exemption) covers(p purl) bool {
	return slices.ContainsFunc(e.parts[p.base], func(part purl) bool {
		return (part.version == "" || release(part) == release(p)) && (part.subpath == "" || part.subpath == p.subpath) &&
			!slices.ContainsFunc(part.qualifiers, func(q string) bool { return !slices.Contains(p.qualifiers, q) })
	})
}

// release is the version; some tools write those of Go modules without their v.
func release(p purl) string {
	if strings.HasPrefix(p.base, "pkg:golang/") {
		return strings.TrimPrefix(p.version, "v")
	}
	return p.version
}

// mayName tells whether a subcomponent may be the package p: any version of
// anything of its name.
func (e *exemption) mayName(p purl) bool {
	for base := range e.parts {
		if nameOf(base) == nameOf(p.base) {
			return true
		}
	}
	return false
}

func nameOf(base string) string {
	return strings.ReplaceAll(strings.ToLower(base[strings.LastIndexByte(base, '/')+1:]), "_", "-")
}
