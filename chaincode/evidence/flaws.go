package evidence

import (
	"maps"
	"slices"
)

// flaw gathers what a report says of one flaw under all its names.
type flaw struct {
	names    map[string]bool
	cve      string
	severity int
	fixable  bool
	packages map[string]bool
	unplaced bool  // in a package that is not known
	into     *flaw // where its names turned out to be another's
}

// byFlaw merges findings that have a name in common, in their order. Two CVEs are
// two flaws, whatever else they are called: nothing joins what holds one of each.
func byFlaw(findings []finding) []finding {
	named := map[string]*flaw{}
	var flaws []*flaw
	for _, f := range findings {
		own := &flaw{names: map[string]bool{}, severity: f.severity, fixable: f.fixable, packages: map[string]bool{}, unplaced: len(f.packages) == 0}
		for _, p := range f.packages {
			own.packages[p] = true
		}
		flaws = append(flaws, own)
		for _, name := range append([]string{f.id}, f.aliases...) {
			root := own.root()
			if other := named[name]; other != nil {
				other.root().join(root)
				continue
			}
			if cve.MatchString(name) {
				if root.cve != "" && root.cve != name {
					continue
				}
				root.cve = name
			}
			root.names[name] = true
			named[name] = root
		}
	}
	var merged []finding
	for _, f := range flaws {
		if f.into == nil {
			merged = append(merged, f.finding())
		}
	}
	return merged
}

func (f *flaw) root() *flaw {
	for f.into != nil {
		if f.into.into != nil {
			f.into = f.into.into // shortens the way for the next
		}
		f = f.into
	}
	return f
}

// join makes two roots one, where they are one flaw; the smaller goes into the larger.
func (f *flaw) join(other *flaw) {
	if f == other || f.cve != "" && other.cve != "" && f.cve != other.cve {
		return
	}
	if len(other.names)+len(other.packages) > len(f.names)+len(f.packages) {
		f, other = other, f
	}
	if f.cve == "" {
		f.cve = other.cve
	}
	maps.Copy(f.names, other.names)
	maps.Copy(f.packages, other.packages)
	f.severity = min(f.severity, other.severity)
	f.fixable = f.fixable || other.fixable
	f.unplaced = f.unplaced || other.unplaced
	other.into = f
}

// finding is named by the CVE where there is one; its other names are aliases.
func (f *flaw) finding() finding {
	names := slices.Sorted(maps.Keys(f.names))
	id := f.cve
	if id == "" {
		id = names[0]
	}
	names = slices.DeleteFunc(names, func(name string) bool { return name == id })
	packages := slices.Sorted(maps.Keys(f.packages))
	if f.unplaced || len(packages) > maxPackages {
		packages = nil
	}
	return finding{id: id, aliases: names[:min(len(names), maxAliases)], severity: f.severity, fixable: f.fixable, packages: packages}
}
