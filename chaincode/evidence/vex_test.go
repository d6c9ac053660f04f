package evidence

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

const (
	sslPURL    = "pkg:apk/alpine/libssl3@3.0.8-r3"
	cryptoPURL = "pkg:apk/alpine/libcrypto3@3.0.8-r3"
)

func openVEX(t testing.TB, statements ...any) []byte {
	t.Helper()
	return toJSON(t, m{"@context": "https://openvex.dev/ns/v0.2.0", "timestamp": "2026-11-20T07:00:00Z", "statements": statements})
}

// about is a statement; the image is one of its products, with subcomponents.
func about(id, status, at string, subcomponents ...any) m {
	product := m{"@id": "pkg:oci/app@sha256%3A" + imageHex}
	if subcomponents != nil {
		product["subcomponents"] = subcomponents
	}
	s := m{"vulnerability": m{"name": id}, "status": status, "justification": "vulnerable_code_not_present", "products": []any{m{"@id": "other"}, product}}
	if at != "" {
		s["timestamp"] = at
	}
	return s
}

func component(name string) any { return m{"@id": name} }

// rendered are the statements of facts: id status part,part (aliases).
func rendered(facts map[string]any) (lines []string) {
	for _, s := range list(facts, "statements") {
		line := str(s, "id") + " " + str(s, "status")
		for _, p := range list(s, "subcomponents") {
			line += " " + p.(string)
		}
		for _, a := range list(s, "aliases") {
			line += " =" + a.(string)
		}
		lines = append(lines, line)
	}
	return lines
}

func vexOf(t testing.TB, document []byte) (map[string]any, error) {
	t.Helper()
	found, err := extract(document, TypeVEX, 0, image)
	return found.facts, err
}

func TestVEXStatements(t *testing.T) {
	const early, late = "2026-11-18T07:00:00Z", "2026-11-19T07:00:00+02:00"
	old := about("C-1", "fixed", "")
	old["products"], old["vulnerability"] = []any{"pkg:oci/app@sha256:" + imageHex}, "C-1"
	old["subcomponents"] = []any{sslPURL}
	twice := about("C-1", "fixed", "", component(sslPURL))
	twice["products"] = append(twice["products"].([]any), m{"@id": "reg.example/app@sha256:" + imageHex, "subcomponents": []any{component(cryptoPURL)}})
	whole := about("C-1", "fixed", "", component(sslPURL))
	whole["products"] = append(whole["products"].([]any), m{"@id": "reg.example/app@sha256:" + imageHex})
	aliased := about("C-1", "fixed", "")
	aliased["vulnerability"] = m{"name": "C-1", "aliases": []any{"G-1", "C-1", "A-1", "G-1"}}
	for name, c := range map[string]struct {
		statements []any
		want       []string
	}{
		"product":            {[]any{about("C-1", "fixed", "")}, []string{"C-1 fixed"}},
		"empty list":         {[]any{about("C-1", "fixed", "", []any{}...)}, []string{"C-1 fixed"}},
		"subcomponents":      {[]any{about("C-1", "fixed", "", component(sslPURL), component(cryptoPURL))}, []string{"C-1 fixed " + cryptoPURL + " " + sslPURL}},
		"canonical":          {[]any{about("C-1", "fixed", "", component("pkg:PyPI/A_b@1"), m{"identifiers": m{"purl": "pkg:npm/@a/b@1"}})}, []string{"C-1 fixed pkg:npm/%40a/b@1 pkg:pypi/a-b@1"}},
		"other names":        {[]any{about("C-1", "fixed", "", component("libssl"), m{"identifiers": m{"cpe23": "cpe:2.3:a:b"}}, m{"hashes": m{"sha-256": "ab"}})}, []string{"C-1 fixed cpe:2.3:a:b libssl sha-256:ab"}},
		"version 0.0.1":      {[]any{old}, []string{"C-1 fixed " + sslPURL}},
		"the image twice":    {[]any{twice}, []string{"C-1 fixed " + cryptoPURL + " " + sslPURL}},
		"the image, and all": {[]any{whole}, []string{"C-1 fixed"}},
		"aliases":            {[]any{aliased}, []string{"C-1 fixed =A-1 =G-1"}},
		"later":              {[]any{about("C-1", "affected", early), about("C-1", "fixed", late)}, []string{"C-1 fixed"}},
		"later comes first":  {[]any{about("C-1", "fixed", late), about("C-1", "affected", early)}, []string{"C-1 fixed"}},
		"later is worse":     {[]any{about("C-1", "affected", late), about("C-1", "fixed", early)}, []string{"C-1 affected"}},
		"of the document":    {[]any{about("C-1", "fixed", ""), about("C-1", "affected", early)}, []string{"C-1 fixed"}},
		"of the same time":   {[]any{about("C-1", "fixed", ""), about("C-1", "affected", "")}, []string{"C-1 affected"}},
		"by subcomponent":    {[]any{about("C-1", "fixed", early, component(sslPURL), component(cryptoPURL)), about("C-1", "affected", late, component(sslPURL))}, []string{"C-1 fixed " + cryptoPURL, "C-1 affected " + sslPURL}},
		"part and product":   {[]any{about("C-1", "affected", early), about("C-1", "fixed", late, component(sslPURL))}, []string{"C-1 affected", "C-1 fixed " + sslPURL}},
	} {
		t.Run(name, func(t *testing.T) {
			facts, err := vexOf(t, openVEX(t, c.statements...))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, rendered(facts)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if facts["total"] != int64(len(c.want)) {
				t.Errorf("total %v", facts["total"])
			}
			stated(t, TypeVEX, facts)
		})
	}
	many := make([]any, 9)
	for i := range many {
		many[i] = fmt.Sprint("A-", i)
	}
	crowded := about("C-1", "fixed", "")
	crowded["vulnerability"] = m{"name": "C-1", "aliases": many}
	odd := about("C-1", "fixed", "")
	odd["subcomponents"] = m{"@id": sslPURL}
	for name, c := range map[string]struct {
		document []byte
		want     string
	}{
		"nameless":         {openVEX(t, about("C-1", "fixed", "", m{"supplier": "team"})), "without a name"},
		"no list":          {openVEX(t, odd), "no list"},
		"aliases":          {openVEX(t, crowded), "aliases"},
		"at odds, no time": {toJSON(t, m{"@context": "https://openvex.dev/ns", "statements": []any{about("C-1", "affected", "yesterday"), about("C-1", "fixed", late)}}), "no time"},
	} {
		if _, err := vexOf(t, c.document); provenance.CodeOf(err) != provenance.Invalid || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// stated holds facts to the shape that a statement over a hash must have.
func stated(t *testing.T, typ string, facts map[string]any) {
	t.Helper()
	encoded, err := encodeFacts(facts)
	if err != nil {
		t.Fatal(err)
	}
	if err := ValidateSchema([]byte(factSchemas()[typ]), encoded); err != nil {
		t.Error(err)
	}
}

// TestVEXLarge: of more than facts hold, what sets aside goes first, whole.
func TestVEXLarge(t *testing.T) {
	var statements []any
	for i := range 300 {
		statements = append(statements, about(fmt.Sprintf("C-%04d", i), "fixed", "", component(sslPURL)))
	}
	statements = append(statements, about("D-1", "affected", ""), about("D-2", "under_investigation", ""))
	facts, err := vexOf(t, openVEX(t, statements...))
	if err != nil {
		t.Fatal(err)
	}
	stated(t, TypeVEX, facts)
	lines := rendered(facts)
	if facts["truncated"] != true || facts["fixed"] != int64(300) || facts["total"] != int64(302) || lines[0] != "D-1 affected" || lines[1] != "D-2 under_investigation" {
		t.Errorf("%v %v %v", facts["truncated"], facts["total"], lines[:3])
	}
	parts := make([]any, 150)
	for i := range parts {
		parts[i] = component(fmt.Sprintf("pkg:generic/p%03d@1", i))
	}
	facts, err = vexOf(t, openVEX(t, about("C-1", "fixed", "", parts...), about("C-2", "affected", "", parts...)))
	if err != nil {
		t.Fatal(err)
	}
	stated(t, TypeVEX, facts)
	lines = rendered(facts)
	if facts["truncated"] != true || lines[0] != "C-2 affected" || strings.Count(lines[1], "pkg:") != maxSubcomponents {
		t.Errorf("%v %q", facts["truncated"], lines)
	}
}

// TestVEXSpelling: one flaw is one, however its name is spelled.
func TestVEXSpelling(t *testing.T) {
	named := func(vulnerability m) m {
		s := about("x", "fixed", "")
		s["vulnerability"] = vulnerability
		return s
	}
	for name, c := range map[string]struct {
		vulnerability m
		want          string
	}{
		"case":       {m{"name": "cve-2026-1"}, "CVE-2026-1 fixed"},
		"its page":   {m{"@id": "https://nvd.example/vuln/detail/CVE-2026-1"}, "CVE-2026-1 fixed"},
		"an alias":   {m{"name": "CVE-2026-1", "aliases": []any{"ghsa-AAAA-bbbb-cccc", "cve-2026-1", "GHSA-aaaa-bbbb-cccc"}}, "CVE-2026-1 fixed =GHSA-aaaa-bbbb-cccc"},
		"a suffix":   {m{"name": "CVE-2026-1-openssl"}, "CVE-2026-1-openssl fixed"},
		"other page": {m{"@id": "https://vendor.example/advisories/7"}, "https://vendor.example/advisories/7 fixed"},
	} {
		facts, err := vexOf(t, openVEX(t, named(c.vulnerability)))
		if lines := rendered(facts); err != nil || len(lines) != 1 || lines[0] != c.want {
			t.Errorf("%s: %q, %v", name, lines, err)
		}
	}
	facts, err := vexOf(t, openVEX(t, about("CVE-2026-1", "fixed", "2026-11-18T07:00:00Z"), about("cve-2026-1", "affected", "2026-11-19T07:00:00Z")))
	if lines := rendered(facts); err != nil || len(lines) != 1 || lines[0] != "CVE-2026-1 affected" {
		t.Errorf("the later one: %q, %v", lines, err)
	}
}
