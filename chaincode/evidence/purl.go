package evidence

import (
	"strings"

	"github.com/package-url/packageurl-go"
)

// purlOf returns the canonical spelling of a package URL, so that two documents
// that name one package do it by equal texts; "" where s is none, or longer than a
// fact may be.
func purlOf(s string) string {
	if len(s) > 4*maxText || !strings.HasPrefix(s, "pkg:") {
		return ""
	}
	p, err := packageurl.FromString(s)
	if err != nil {
		return ""
	}
	if s = p.String(); text(s) != s {
		return ""
	}
	return s
}

// purlFrom builds the package URL of a package that a report names by its parts.
func purlFrom(kind, namespace, name, version string) string {
	if kind == "" || name == "" {
		return ""
	}
	p := packageurl.PackageURL{Type: kind, Namespace: namespace, Name: name, Version: version}
	return purlOf(p.String())
}
