package evidence

import (
	"cmp"
	"strings"
)

// readTrivy reads aquasecurity/trivy's JSON report (pkg/types/report.go). Its
// configuration, secret and licence scans have the same form: a vulnerability scan
// has a result about packages, and where an OS was found, one about that OS's. Those
// results are there without their packages only where vulnerabilities were looked for.
func readTrivy(m map[string]any, s *scan) error {
	s.scanner, s.version = "trivy", str(m, "Trivy", "Version")
	s.madeAt = claimedTime(str(m, "CreatedAt"))
	if has(m, "Results") && list(m, "Results") == nil {
		return invalid("trivy: Results is no list")
	}
	family := str(m, "Metadata", "OS", "Family")
	if family == "none" {
		family = ""
	}
	packages, listed, others, system := false, false, false, family == ""
	for _, r := range list(m, "Results") {
		class := str(r, "Class")
		switch class {
		case "os-pkgs", "lang-pkgs":
			packages, listed = true, listed || len(list(r, "Packages")) > 0
		case "config", "secret", "license", "license-file":
			others = true
		}
		system = system || class == "os-pkgs" && strings.EqualFold(cmp.Or(str(r, "Type"), family), family)
		if err := readTrivyResult(r, s); err != nil {
			return err
		}
	}
	switch {
	case !packages:
		return invalid("trivy: no result of class os-pkgs or lang-pkgs: no scan for vulnerabilities")
	case !system:
		return invalid("trivy: the image has the OS %q and no result about its packages", clip(family))
	}
	endOfLife, _ := at(m, "Metadata", "OS", "EOSL").(bool)
	if listed && others && !endOfLife && len(s.findings)+len(s.ignored) == 0 {
		return invalid("trivy: it lists packages and found other things than vulnerabilities: a run that did not look for them is the same; with --list-all-pkgs=false it is not")
	}
	s.endOfLife = endOfLife
	s.names.reference(str(m, "ArtifactName"), str(m, "Metadata", "Reference"))
	for _, d := range list(m, "Metadata", "RepoDigests") {
		d, _ := d.(string)
		s.names.manifest(d)
	}
	s.names.config(str(m, "Metadata", "ImageID"))
	return nil
}

func readTrivyResult(r any, s *scan) error {
	for _, name := range []string{"Vulnerabilities", "ExperimentalModifiedFindings"} {
		if has(r, name) && list(r, name) == nil {
			return invalid("trivy: %s is no list", name)
		}
	}
	for _, v := range list(r, "Vulnerabilities") {
		f, err := trivyFinding(r, v)
		if err != nil {
			return err
		}
		if err := s.add(f); err != nil {
			return err
		}
	}
	for _, modified := range list(r, "ExperimentalModifiedFindings") {
		if str(modified, "Type") != "vulnerability" {
			continue
		}
		f, err := trivyFinding(r, at(modified, "Finding"))
		if err != nil {
			return err
		}
		if err := s.ignore(f); err != nil {
			return err
		}
	}
	return nil
}

func trivyFinding(result, v any) (finding, error) {
	f := finding{id: str(v, "VulnerabilityID"), fixable: str(v, "FixedVersion") != ""}
	var ok bool
	if f.severity, ok = severity(str(v, "Severity")); !ok && f.id != "" {
		return f, unrated(f.id, str(v, "Severity"))
	}
	var related []string
	for _, id := range list(v, "VendorIDs") {
		name, _ := id.(string)
		related = append(related, name)
	}
	f.aliases = aliasesOf(f.id, related)
	purl := purlOf(str(v, "PkgIdentifier", "PURL"))
	if purl == "" {
		purl = trivyPURL(str(result, "Type"), str(v, "PkgName"), str(v, "InstalledVersion"))
	}
	if purl != "" {
		f.packages = []string{purl}
	}
	return f, nil
}

// trivyTypes says which type and, of an OS, which namespace the package URLs have
// that Trivy itself makes of a result's type; reports before 0.46 hold none.
var trivyTypes = map[string][2]string{ //nolint:gochecknoglobals // a constant table
	"alpine": {"apk", "alpine"}, "wolfi": {"apk", "wolfi"}, "chainguard": {"apk", "chainguard"}, "minimos": {"apk", "minimos"},
	"debian": {"deb", "debian"}, "ubuntu": {"deb", "ubuntu"}, "echo": {"deb", "echo"},
	"redhat": {"rpm", "redhat"}, "centos": {"rpm", "centos"}, "rocky": {"rpm", "rocky"}, "alma": {"rpm", "alma"}, "amazon": {"rpm", "amazon"},
	"fedora": {"rpm", "fedora"}, "oracle": {"rpm", "oracle"}, "photon": {"rpm", "photon"}, "azurelinux": {"rpm", "azurelinux"}, "cbl-mariner": {"rpm", "cbl-mariner"},
	"jar": {"maven"}, "pom": {"maven"}, "gradle": {"maven"}, "sbt": {"maven"}, "bundler": {"gem"}, "gemspec": {"gem"},
	"nuget": {"nuget"}, "dotnet-core": {"nuget"}, "composer": {"composer"}, "python-pkg": {"pypi"}, "pip": {"pypi"}, "pipenv": {"pypi"}, "poetry": {"pypi"}, "uv": {"pypi"},
	"gobinary": {"golang"}, "gomod": {"golang"}, "npm": {"npm"}, "node-pkg": {"npm"}, "yarn": {"npm"}, "pnpm": {"npm"}, "rustbinary": {"cargo"}, "cargo": {"cargo"},
}

func trivyPURL(kind, name, version string) string {
	t, known := trivyTypes[kind]
	if !known || name == "" {
		return ""
	}
	namespace := t[1]
	if namespace == "" {
		name = strings.ReplaceAll(name, ":", "/") // Maven's group and artifact
		if i := strings.LastIndexByte(name, '/'); i >= 0 {
			namespace, name = name[:i], name[i+1:]
		}
	}
	return purlFrom(t[0], namespace, name, version)
}
