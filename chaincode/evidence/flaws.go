package evidence

import "slices"

// flaw gathers what a report says of one flaw under all its names.
type flaw struct {
	names    []string
	cve      string
	severity int
	fixable  bool
	packages []string // with repetitions
	unplaced bool     // in a package that is not known, or in too many
	into     *flaw    // where its names turned out to be another's
}

// byFlaw merges findings that have a name in common, in their order. Two CVEs are
// two flaws, whatever else they are called: nothing joins what holds one of each.
func byFlaw(findings []finding) []finding {
	named := map[string]*flaw{}
	var flaws []*flaw
	for _, f := range findings {
		own := &flaw{severity: f.severity, fixable: f.fixable, packages: f.packages, unplaced: len(f.packages) == 0}
		flaws = append(flaws, own)
		own.name(f.id, named)
		for _, alias := range f.aliases {
			own.name(alias, named)
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

// name gives a flaw a name, which may be that of another flaw already.
func (f *flaw) name(name string, named map[string]*flaw) {
	f = f.root()
	if other := named[name]; other != nil {
		other.root().join(f)
		return
	}
	if cve.MatchString(name) {
		if f.cve != "" {
			return
		}
		f.cve = name
	}
	f.names = append(f.names, name)
	named[name] = f
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
	f.names = append(f.names, other.names...)
	f.severity = min(f.severity, other.severity)
	f.fixable = f.fixable || other.fixable
	f.unplaced = f.unplaced || other.unplaced
	f.place(other.packages)
	other.into, other.names, other.packages = f, nil, nil
}

func (f *flaw) place(packages []string) {
	f.packages = append(f.packages[:len(f.packages):len(f.packages)], packages...)
	if len(f.packages) > 4*maxPackages {
		slices.Sort(f.packages)
		f.packages = slices.Compact(f.packages)
		f.unplaced = f.unplaced || len(f.packages) > maxPackages
	}
	if f.unplaced {
		f.packages = nil
	}
}

// finding is named by the CVE where there is one; its other names are aliases.
func (f *flaw) finding() finding {
	slices.Sort(f.names)
	id := f.cve
	if id == "" {
		id = f.names[0]
	}
	aliases := slices.DeleteFunc(f.names, func(name string) bool { return name == id })
	packages := slices.Clone(f.packages)
	slices.Sort(packages)
	if packages = slices.Compact(packages); f.unplaced || len(packages) > maxPackages {
		packages = nil
	}
	return finding{id: id, aliases: aliases[:min(len(aliases), maxAliases)], severity: f.severity, fixable: f.fixable, packages: packages}
}
