package evidence

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// TestNoScan: what looked for other things, or for nothing, is no scan for vulnerabilities.
func TestNoScan(t *testing.T) {
	trivy := func(metadata, results string) string {
		return `{"SchemaVersion":2,"ArtifactName":"app","ArtifactType":"container_image","Metadata":` + metadata + `,"Results":` + results + `}`
	}
	const alpine = `{"OS":{"Family":"alpine","Name":"3.19.1"}}`
	sarif := func(name, rules, results string) string {
		return `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"` + name + `","rules":[` + rules + `]}},"results":[` + results + `]}]}`
	}
	for name, c := range map[string]struct{ document, want string }{
		"configuration":      {trivy(alpine, `[{"Class":"config","Misconfigurations":[{"ID":"DS002","Severity":"HIGH"}]}]`), "no scan for"},
		"secrets":            {trivy(`{}`, `[{"Class":"secret","Secrets":[]}]`), "no scan for"},
		"licences":           {trivy(alpine, `[{"Class":"license","Target":"OS Packages"},{"Class":"license-file"}]`), "no scan for"},
		"nothing":            {trivy(`{}`, `[]`), "no scan for"},
		"null":               {trivy(alpine, `null`), "no scan for"},
		"no Results":         {`{"SchemaVersion":2,"ArtifactName":"app","Metadata":{}}`, "no scan for"},
		"OS skipped":         {trivy(`{"OS":{"Family":"none"}}`, `null`), "no scan for"},
		"languages alone":    {trivy(alpine, `[{"Class":"lang-pkgs","Type":"gobinary"}]`), "no result about its packages"},
		"another OS":         {trivy(alpine, `[{"Class":"os-pkgs","Type":"debian"}]`), "no result about its packages"},
		"by its class only":  {trivy(alpine, `[{"Class":"custom"},{"Class":"OS-PKGS"}]`), "no scan for"},
		"in a predicate":     {`{"scanner":{"result":` + trivy(alpine, `null`) + `}}`, "no scan for"},
		"licence run":        {sarif("Trivy", `{"id":"a:GPL","name":"License","properties":{"tags":["license","security","LOW"]}}`, `{"ruleId":"a:GPL","level":"note"}`), "looked for"},
		"secret run":         {sarif("Trivy", `{"id":"key","name":"Secret"}`, `{"ruleId":"key","level":"error"}`), "looked for"},
		"empty run of Trivy": {sarif("Trivy", ``, ``), "looked for"},
		"empty run":          {sarif("CodeQL", ``, ``), "looked for"},
		"no failure":         {sarif("other", ``, `{"ruleId":"CVE-2026-1","kind":"pass"}`), "looked for"},
		"licences, packages": {trivy(alpine, `[{"Class":"os-pkgs","Type":"alpine","Packages":[{"Name":"a"}]},{"Class":"license","Licenses":[{"Name":"GPL-2.0"}]}]`), "--list-all-pkgs"},
		"secrets, packages":  {trivy(`{}`, `[{"Class":"lang-pkgs","Type":"gobinary","Packages":[{"Name":"a"}]},{"Class":"secret","Secrets":[{"RuleID":"key"}]}]`), "--list-all-pkgs"},
		"by nobody":          {`{"scanner":{"result":[]}}`, "no scanner"},
		"no report":          {`{"invocation":{"uri":"x"},"scanner":{"uri":"x","result":[]}}`, "scanner.result"},
		"run of a linter":    {sarif("gosec", `{"id":"G101"}`, `{"ruleId":"G101","level":"note"}`), "looked for"},
	} {
		if _, _, _, err := Extract(TypeScan, []byte(c.document), 0); provenance.CodeOf(err) != provenance.Invalid || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	for name, document := range map[string]string{
		"clean OS":                trivy(alpine, `[{"Class":"os-pkgs","Type":"alpine"}]`),
		"clean packages":          trivy(alpine, `[{"Class":"os-pkgs","Type":"alpine","Packages":[{"Name":"a"}]}]`),
		"clean beside licences":   trivy(alpine, `[{"Class":"os-pkgs","Type":"alpine"},{"Class":"license","Licenses":[{"Name":"GPL-2.0"}]}]`),
		"clean languages":         trivy(`{}`, `[{"Class":"lang-pkgs","Type":"gobinary"}]`),
		"clean run of Grype":      sarif("grype", ``, ``),
		"clean run of Snyk":       sarif("Snyk Container", ``, ``),
		"clean run, by its title": sarif("Docker Scout", ``, ``),
		"nothing that fails":      sarif("grype", ``, `{"ruleId":"CVE-2026-1","kind":"pass"}`),
		"in-toto":                 `{"scanner":{"uri":"x","result":[]}}`,
	} {
		facts, _, _, err := Extract(TypeScan, []byte(document), 0)
		if err != nil || facts["total"] != int64(0) || facts["ignored"] != int64(0) {
			t.Errorf("%s: %v %v", name, facts, err)
		}
	}
}

// TestSeverities: a rating is read or the report refused; it is never unknown
// because it cannot be read.
func TestSeverities(t *testing.T) {
	forms := map[string]string{
		"trivy":   `{"SchemaVersion":2,"ArtifactName":"x","Results":[{"Class":"lang-pkgs","Vulnerabilities":[{"VulnerabilityID":"CVE-2026-1","Severity":%s}]}]}`,
		"grype":   `{"descriptor":{},"matches":[{"vulnerability":{"id":"CVE-2026-1","severity":%s}}]}`,
		"list":    `{"scanner":{"result":[{"id":"CVE-2026-1","severity":[{"method":"x","score":%s}]}]}}`,
		"object":  `{"scanner":{"result":[{"id":"CVE-2026-1","severity":{"method":"x","score":%s}}]}}`,
		"nested":  `{"scanner":{"result":[{"vulnerability":{"id":"CVE-2026-1","severity":%s}}]}}`,
		"sarif":   `{"version":"2.1.0","runs":[{"tool":{"driver":{}},"results":[{"ruleId":"CVE-2026-1","level":"none","properties":{"security-severity":%s}}]}]}`,
		"ignored": `{"SchemaVersion":2,"ArtifactName":"x","Results":[{"Class":"lang-pkgs","ExperimentalModifiedFindings":[{"Type":"vulnerability","Finding":{"VulnerabilityID":"CVE-2026-1","Severity":%s}}]}]}`,
	}
	names := map[string]bool{"trivy": true, "grype": true, "ignored": true} // that take no scores
	for severity, want := range map[string]string{
		`"critical"`: "critical", `"CRITICAL"`: "critical", `"Important"`: "high", `"moderate"`: "medium", `"Negligible"`: "negligible",
		`"UNKNOWN"`: "unknown", `"severe"`: "", `"9,8"`: "", `null`: "", `""`: "", `" high"`: "", `{}`: "", `[]`: "", `true`: "", `"CVSS:3.1/AV:N"`: "", `-1`: "", `1e1`: "",
		`11`: "", `10.1`: "", `"0x9"`: "", `"9.8 (critical)"`: "", `"9.8.1"`: "",
		`9`: "critical", `10`: "critical", `"10.0"`: "critical", `"9.8"`: "critical", `7.0`: "high", `"4"`: "medium", `0.1`: "low",
	} {
		for form, text := range forms {
			want := want
			if names[form] && severity[0] != '"' || names[form] && strings.Trim(severity, `"0123456789.`) == "" {
				want = ""
			}
			facts, _, _, err := Extract(TypeScan, fmt.Appendf(nil, text, severity), 0)
			switch {
			case want == "":
				if provenance.CodeOf(err) != provenance.Invalid || !strings.Contains(err.Error(), "cannot be read") {
					t.Errorf("%s %s: %v %v", form, severity, facts["findings"], err)
				}
			case err != nil || facts[want] != int64(1):
				t.Errorf("%s %s: %v %v", form, severity, facts["findings"], err)
			}
		}
	}
}

// TestSARIFSeverity: the scanner's own name for it, then the score, then the level.
func TestSARIFSeverity(t *testing.T) {
	for name, c := range map[string]struct{ rule, result, want string }{
		"tag":                 {`"properties":{"security-severity":"5.0","tags":["vulnerability","CRITICAL"]}`, ``, "critical"},
		"tags":                {`"properties":{"tags":["low","High"]}`, ``, "high"},
		"tag of the result":   {``, `"properties":{"tags":["critical"]}`, "critical"},
		"property":            {`"properties":{"cvssV3_severity":"LOW","security-severity":"9.9"}`, ``, "low"},
		"help":                {`"help":{"text":"Vulnerability CVE-2026-1\nSeverity: HIGH\nPackage: a"}`, `"level":"note"`, "high"},
		"help of a package":   {`"help":{"text":"Package: a\nSeverity: low\n"},"properties":{"security-severity":"9.9"}`, ``, "critical"},
		"title":               {`"shortDescription":{"text":"Medium severity - x"}`, `"level":"error"`, "medium"},
		"not a title":         {`"shortDescription":{"text":"x: low severity - y"}`, `"level":"error"`, "high"},
		"unrated, scored":     {`"properties":{"security-severity":"8.0","tags":["UNKNOWN"]}`, `"level":"note"`, "high"},
		"unrated":             {`"properties":{"security-severity":"0.0","tags":["UNKNOWN"]}`, `"level":"note"`, "unknown"},
		"score":               {`"properties":{"security-severity":"3.9"}`, `"level":"warning"`, "low"},
		"error above a score": {`"properties":{"security-severity":"5.5"}`, `"level":"error"`, "high"},
		"critical error":      {`"properties":{"security-severity":"9.5"}`, `"level":"error"`, "critical"},
		"error":               {`"defaultConfiguration":{"level":"error"}`, ``, "high"},
		"no score":            {`"properties":{"security-severity":""}`, `"level":"error"`, "high"},
		"nothing":             {``, ``, "medium"},
		"another language":    {`"properties":{"severity":"kritisch"}`, `"level":"note"`, ""},
		"property, a score":   {`"properties":{"severity":9.8}`, `"level":"note"`, "critical"},
		"property, a level":   {`"properties":{"severity":"error"}`, `"level":"note"`, "high"},
		"property, none":      {`"properties":{"cvssV3_severity":"UNSPECIFIED"}`, `"level":"note"`, "unknown"},
		"base score":          {`"properties":{"cvssv3_baseScore":9.8}`, `"level":"note"`, "critical"},
		"clair":               {``, `"level":"error","message":{"text":"[a - 1 - Critical] b"}`, "critical"},
	} {
		rule, result := `{"id":"CVE-2026-1"`, `{"ruleId":"CVE-2026-1"`
		if c.rule != "" {
			rule += "," + c.rule
		}
		if c.result != "" {
			result += "," + c.result
		}
		facts, _, _, err := Extract(TypeScan, []byte(`{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"x","rules":[`+rule+`}]}},"results":[`+result+`}]}]}`), 0)
		if c.want == "" && provenance.CodeOf(err) == provenance.Invalid && strings.Contains(err.Error(), "cannot be read") {
			continue
		}
		if err != nil || facts[c.want] != int64(1) || facts["total"] != int64(1) {
			t.Errorf("%s: %v %v, want %s", name, facts["findings"], err, c.want)
		}
	}
}

// TestSARIFRules: the rule of a result is found however the result names it.
func TestSARIFRules(t *testing.T) {
	for name, c := range map[string]struct{ driver, extension, result string }{
		"by id":               {`"CVE-2026-1"`, `"other"`, `"ruleId":"CVE-2026-1"`},
		"by index":            {`"CVE-2026-1"`, `"other"`, `"ruleIndex":0`},
		"by rule index":       {`"CVE-2026-1"`, `"other"`, `"rule":{"index":0}`},
		"by a longer id":      {`"CVE-2026-1"`, `"other"`, `"ruleId":"CVE-2026-1/libssl3"`},
		"of an extension":     {`"other"`, `"CVE-2026-1"`, `"ruleId":"CVE-2026-1","rule":{"toolComponent":{"index":0}}`},
		"an extension, index": {`"other"`, `"CVE-2026-1"`, `"rule":{"index":0,"toolComponent":{"index":0}}`},
		"an extension, name":  {`"other"`, `"CVE-2026-1"`, `"rule":{"index":0,"toolComponent":{"name":"database"}}`},
		"the driver, name":    {`"CVE-2026-1"`, `"other"`, `"rule":{"index":0,"toolComponent":{"name":"x"}}`},
		"no such extension":   {`"CVE-2026-1"`, `"other"`, `"ruleId":"CVE-2026-1","rule":{"index":0,"toolComponent":{"index":7}}`},
		"found by its id":     {`"other"`, `"CVE-2026-1"`, `"ruleId":"CVE-2026-1"`},
	} {
		document := fmt.Sprintf(`{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"x","rules":[{"id":%s,"properties":{"security-severity":"9.8"}}]},
			"extensions":[{"name":"database","rules":[{"id":%s,"properties":{"security-severity":"9.8"}}]}]},"results":[{%s,"level":"note"}]}]}`, c.driver, c.extension, c.result)
		facts, _, _, err := Extract(TypeScan, []byte(document), 0)
		if err != nil || facts["critical"] != int64(1) || str(list(facts, "findings")[0], "id") != "CVE-2026-1" {
			t.Errorf("%s: %v %v", name, facts["findings"], err)
		}
	}
}

// TestLongSARIFID: an id of a megabyte of parts costs no more than it is long.
func TestLongSARIFID(t *testing.T) {
	rules := `{"id":"0"}`
	for i := range 100 {
		rules += fmt.Sprintf(`,{"id":"CVE-2026-%d"}`, i)
	}
	cost := func(length int) time.Duration { // the least of three
		document := `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"x","rules":[` + rules + `]}},"results":[{"ruleId":"` + strings.Repeat("/", length-1) + `"}]}]}`
		least := time.Hour
		for range 3 {
			start := time.Now()
			_, _, _, err := Extract(TypeScan, []byte(document), 0)
			if provenance.CodeOf(err) != provenance.Invalid || !strings.Contains(err.Error(), "finding with id") {
				t.Fatal(err)
			}
			least = min(least, time.Since(start))
		}
		return least
	}
	if quarter, whole := cost(1<<18), cost(1<<20); whole > 10*quarter+50*time.Millisecond {
		t.Errorf("an id of four times the length costs %s instead of %s", whole, quarter)
	}
}

// TestSARIFSuppressions: what is suppressed and accepted was ignored.
func TestSARIFSuppressions(t *testing.T) {
	for suppressions, ignored := range map[string]bool{
		``: false, `,"suppressions":[]`: false, `,"suppressions":[{"kind":"external"}]`: true, `,"suppressions":[{"kind":"external","status":"accepted"}]`: true,
		`,"suppressions":[{"kind":"external","status":"underReview"}]`: false, `,"suppressions":[{"kind":"external"},{"kind":"inSource","status":"rejected"}]`: false,
	} {
		document := `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"x"}},"results":[{"ruleId":"CVE-2026-1","level":"error"` + suppressions + `},{"ruleId":"CVE-2026-2","level":"note"}]}]}`
		facts, _, _, err := Extract(TypeScan, []byte(document), 0)
		if err != nil || (facts["ignored"] == int64(1)) != ignored || (facts["high"] == int64(0)) != ignored {
			t.Errorf("%s: %v %v", suppressions, facts, err)
		}
	}
}

// TestRatings: of several ratings the worst counts, and one that cannot be read is
// no reason to call a finding unrated.
func TestRatings(t *testing.T) {
	cyclone := `{"bomFormat":"CycloneDX","specVersion":"1.5","metadata":{"tools":[{"name":"x"}]},"components":[{"name":"a"}],"vulnerabilities":[{"id":"CVE-2026-1","ratings":[%s]}]}`
	inToto := `{"scanner":{"uri":"x","result":[{"id":"CVE-2026-1","severity":[%s]}]}}`
	for name, c := range map[string]struct{ form, ratings, want string }{
		"none yet":                  {cyclone, ``, "unknown"},
		"unknown, scored":           {cyclone, `{"severity":"unknown","score":9.8}`, "critical"},
		"a name above a score":      {cyclone, `{"severity":"high","score":9.8}`, "high"},
		"a vector alone":            {cyclone, `{"method":"CVSSv31","vector":"CVSS:3.1/AV:N"}`, ""},
		"a vector beside a rating":  {cyclone, `{"vector":"CVSS:3.1/AV:N"},{"severity":"low"}`, "low"},
		"a vector beside unknown":   {cyclone, `{"vector":"CVSS:3.1/AV:N"},{"severity":"unknown"}`, ""},
		"a likelihood":              {cyclone, `{"method":"other","score":0.97,"severity":"none"},{"severity":"info"}`, "negligible"},
		"a likelihood alone":        {cyclone, `{"method":"other","score":0.97}`, ""},
		"another's scale":           {cyclone, `{"method":"OWASP","score":3},{"method":"CVSSv31","score":9.8}`, "critical"},
		"empty":                     {cyclone, `{}`, ""},
		"in-toto, a vector":         {inToto, `{"score":"CVSS:3.1/AV:N"}`, ""},
		"in-toto, beside unknown":   {inToto, `{"score":"CVSS:3.1/AV:N"},{"score":"unknown"}`, ""},
		"in-toto, beside a rating":  {inToto, `{"score":"CVSS:3.1/AV:N"},{"score":"5"}`, "medium"},
		"in-toto, beside its score": {inToto, `{"score":"unknown"},{"score":"9.8"}`, "critical"},
	} {
		facts, _, _, err := Extract(TypeScan, fmt.Appendf(nil, c.form, c.ratings), 0)
		if c.want == "" && (provenance.CodeOf(err) != provenance.Invalid || !strings.Contains(err.Error(), "cannot be read")) || c.want != "" && (err != nil || facts[c.want] != int64(1)) {
			t.Errorf("%s: %v %v, want %q", name, facts["findings"], err, c.want)
		}
	}
}

// TestSuffixes: a name of a flaw is its name without what stands behind it.
func TestSuffixes(t *testing.T) {
	for id, want := range map[string]string{
		"CVE-2026-1": "CVE-2026-1", "cve-2026-1": "CVE-2026-1", "CVE-2026-1-openssl": "CVE-2026-1", "CVE-2026-12(libssl)": "CVE-2026-12", "GHSA-AAAA-bbbb-cccc:npm": "GHSA-aaaa-bbbb-cccc",
		"CVE-2026-1a": "CVE-2026-1a", "GHSA-aaaa-bbbb-ccccc": "GHSA-aaaa-bbbb-ccccc", "RHSA-2026:1": "RHSA-2026:1", "TEMP-0000000-CVE-2026-1": "TEMP-0000000-CVE-2026-1", "CVE-2026-1,CVE-2026-2": "CVE-2026-1,CVE-2026-2",
	} {
		document := `{"scanner":{"uri":"x","result":[{"id":"` + id + `","severity":"high"}]}}`
		facts, _, _, err := Extract(TypeScan, []byte(document), 0)
		if err != nil || str(list(facts, "findings")[0], "id") != want {
			t.Errorf("%s: %v %v, want %s", id, facts["findings"], err, want)
		}
	}
}

// TestSARIFIDs: a rule may be of a vulnerability in a package; a VEX document speaks
// of the vulnerability.
func TestSARIFIDs(t *testing.T) {
	for rule, want := range map[string]string{
		"CVE-2026-1": "CVE-2026-1", "CVE-2026-1-package-1": "CVE-2026-1", "CVE-2026-12-python3.11": "CVE-2026-12", "[HIGH] CVE-2026-1": "CVE-2026-1",
		"GHSA-aaaa-bbbb-cccc-lodash": "GHSA-aaaa-bbbb-cccc", "CVE-2026-1_openssl_1.1": "CVE-2026-1", "SNYK-LINUX-EXPAT-450908": "SNYK-LINUX-EXPAT-450908",
		"RHSA-2026:1": "RHSA-2026:1", "CVE-2026-1, CVE-2026-2": "CVE-2026-1, CVE-2026-2", "CVE-2026-1+CVE-2026-2": "CVE-2026-1+CVE-2026-2", "XCVE-2026-1": "XCVE-2026-1",
	} {
		f, err := sarifFinding(rule, nil, nil)
		if err != nil || f.id != want {
			t.Errorf("%s: %q %v, want %q", rule, f.id, err, want)
		}
	}
}

// TestFlaws: one flaw is counted once under all its names, and two never as one.
func TestFlaws(t *testing.T) {
	of := func(id string, severity int, aliases ...string) finding {
		return finding{id: id, aliases: aliasesOf(id, aliases), severity: severity, packages: []string{"pkg:generic/" + strings.ToLower(id)}}
	}
	for name, c := range map[string]struct {
		findings []finding
		want     string
	}{
		"alone":             {[]finding{of("GHSA-1", 1)}, "GHSA-1/high"},
		"two names":         {[]finding{of("GHSA-1", 1, "CVE-2026-1"), of("CVE-2026-1", 2)}, "CVE-2026-1/high=GHSA-1"},
		"the other order":   {[]finding{of("CVE-2026-1", 2), of("GHSA-1", 1, "CVE-2026-1")}, "CVE-2026-1/high=GHSA-1"},
		"by a third":        {[]finding{of("GO-1", 3, "GHSA-1"), of("PYSEC-1", 3, "CVE-2026-1"), of("GHSA-1", 0, "CVE-2026-1")}, "CVE-2026-1/critical=GHSA-1=GO-1=PYSEC-1"},
		"an advisory":       {[]finding{of("ALAS-1", 3, "CVE-2026-1", "CVE-2026-2"), of("CVE-2026-1", 3), of("CVE-2026-2", 3)}, "ALAS-1/low CVE-2026-1/low CVE-2026-2/low"},
		"two flaws":         {[]finding{of("CVE-2026-1", 3, "CVE-2026-2"), of("CVE-2026-2", 3)}, "CVE-2026-1/low CVE-2026-2/low"},
		"a bridge":          {[]finding{of("CVE-2026-1", 3, "GHSA-1"), of("CVE-2026-2", 3, "GHSA-1")}, "CVE-2026-1/low=GHSA-1 CVE-2026-2/low"},
		"a later bridge":    {[]finding{of("CVE-2026-1", 3), of("CVE-2026-2", 3), of("GHSA-1", 3, "CVE-2026-1"), of("GHSA-1", 3, "CVE-2026-2")}, "CVE-2026-1/low=GHSA-1 CVE-2026-2/low"},
		"a vendor's bridge": {[]finding{of("TEMP-1", 3, "DSA-1"), of("TEMP-2", 3, "DSA-1")}, "TEMP-1/low TEMP-2/low"},
	} {
		t.Run(name, func(t *testing.T) {
			s := scan{findings: c.findings}
			facts, err := s.facts()
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range list(facts, "findings") {
				one := str(f, "id") + "/" + str(f, "severity")
				for _, alias := range list(f, "aliases") {
					one += "=" + alias.(string)
				}
				got = append(got, one)
			}
			if strings.Join(got, " ") != c.want || facts["total"] != int64(len(got)) {
				t.Errorf("got %q, want %q", strings.Join(got, " "), c.want)
			}
			stated(t, TypeScan, facts)
		})
	}
}

// TestFindingPackages: a finding keeps its packages where all are known and few; of
// many findings the worst keep theirs.
func TestFindingPackages(t *testing.T) {
	of := func(n int, id string) (all []finding) {
		for i := range n {
			all = append(all, finding{id: id, severity: i % 5, packages: []string{fmt.Sprintf("pkg:generic/%s%03d@1", strings.Repeat("p", 60), i)}})
		}
		return all
	}
	s := scan{findings: of(maxPackages, "CVE-2026-1")}
	facts, err := s.facts()
	if err != nil || len(list(list(facts, "findings")[0], "packages")) != maxPackages {
		t.Errorf("%v %v", facts, err)
	}
	for _, more := range [][]finding{of(maxPackages+1, "CVE-2026-1"), of(1000, "CVE-2026-1"), append(of(2, "CVE-2026-1"), finding{id: "CVE-2026-1"})} {
		s = scan{findings: more}
		facts, err := s.facts()
		if err != nil || has(list(facts, "findings")[0], "packages") || facts["total"] != int64(1) {
			t.Errorf("%d: %v %v", len(more), facts["findings"], err)
		}
	}
	s = scan{}
	for i := range 190 {
		s.findings = append(s.findings, of(1, fmt.Sprintf("CVE-2026-%04d", i))...)
		s.findings[i].severity = i / 40
	}
	facts, err = s.facts()
	if err != nil {
		t.Fatal(err)
	}
	stated(t, TypeScan, facts)
	listed := list(facts, "findings")
	if facts["truncated"] != false || len(listed) != 190 || !has(listed[0], "packages") || has(listed[189], "packages") {
		t.Errorf("%v truncated, %d listed", facts["truncated"], len(listed))
	}
}
