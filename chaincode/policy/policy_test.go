package policy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

const document = `{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":"team"},"spec":{"match":["reg.example/team/**"],
"stages":[{"name":"staging","approvals":{"min":1}},{"name":"production","from":"staging","approvals":{"min":2,"orgs":["SecurityMSP"]}}]}}`

func parsed(t *testing.T) *Policy {
	t.Helper()
	p, err := Parse([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return &p
}

func TestParse(t *testing.T) {
	p := parsed(t)
	again, err := Parse(p.Canonical())
	if err != nil || string(again.Canonical()) != string(p.Canonical()) {
		t.Errorf("the canonical form does not parse to itself: %v", err)
	}
	for name, change := range map[string][2]string{
		"unknown field":        {`"min":1`, `"min":1,"max":2`},
		"kind":                 {`ReleasePolicy`, `Policy`},
		"name":                 {`"team"}`, `"Team!"}`},
		"no rule":              {`"min":1`, `"min":0`},
		"negative":             {`"min":1`, `"min":-1`},
		"from a later stage":   {`"name":"staging"`, `"name":"staging","from":"production"`},
		"twice the same stage": {`"name":"production"`, `"name":"staging"`},
		"more orgs than min":   {`"orgs":["SecurityMSP"]`, `"orgs":["A","B","C"]`},
		"the same org twice":   {`"orgs":["SecurityMSP"]`, `"orgs":["A","A"]`},
		"exclude":              {`"min":1`, `"min":1,"exclude":["everybody"]`},
		"pattern without host": {`reg.example/team/**`, `**`},
		"** in the middle":     {`reg.example/team/**`, `reg.example/**/app`},
		"wildcard host":        {`reg.example/team/**`, `*/team/**`},
		"second document":      {`}]}}`, `}]}} {}`},
		"no stages":            {`"stages":[`, `"stages":[],"x":[`},
	} {
		if _, err := Parse([]byte(strings.Replace(document, change[0], change[1], 1))); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Parse([]byte(strings.Repeat(" ", MaxBytes+1))); provenance.CodeOf(err) != provenance.Invalid {
		t.Errorf("too large: %v", err)
	}
}

func TestSelect(t *testing.T) {
	patterns := [][]string{{"reg.example/**"}, {"reg.example/team/**"}, {"reg.example/team/app"}, {"reg.example/*/app"}}
	for repo, want := range map[string]int{"team/app": 2, "team/other": 1, "team/app/sub": 1, "x/app": 3, "x/y/z": 0, "teamx/other": 0, "team": 0} {
		if got := Select(patterns, "reg.example", provenance.Repository(repo)); got != want {
			t.Errorf("%s: %d, want %d", repo, got, want)
		}
	}
	if Select(patterns, "other.example", "team/app") != -1 {
		t.Error("another host matched")
	}
	for _, c := range []struct {
		p, q string
		tie  bool
	}{
		{"r.io/a/**", "r.io/a/**", true}, {"r.io/a/**", "r.io/b/**", false}, {"r.io/*/b", "r.io/a/*", true}, {"r.io/a/**", "r.io/a/b", false},
		{"r.io/a/*", "r.io/a/b/c", false}, {"r.io/*/b", "r.io/*/c", false}, {"r.io/a/*/**", "r.io/a/**", true},
	} {
		if got := Overlap([]string{c.p}, []string{c.q}) != ""; got != c.tie {
			t.Errorf("%s and %s: tie %v, want %v", c.p, c.q, got, c.tie)
		}
	}
}

// TestVerdictGolden is the law in examples: the contract and the gateway must
// both give these very verdicts.
func TestVerdictGolden(t *testing.T) {
	vendor, sec, plat := Person{"VendorMSP", "rm"}, Person{"SecurityMSP", "rm"}, Person{"PlatformMSP", "rm"}
	base := func(stage string, change func(*Facts)) Facts {
		f := Facts{Host: "reg.example", Repository: "team/app", Digest: provenance.SHA256Of(nil), Stage: stage, Recorded: true, Proven: true, PushedBy: "VendorMSP",
			Members: []string{"AuditMSP", "PlatformMSP", "SecurityMSP", "VendorMSP"}}
		change(&f)
		return f
	}
	promoted := func(stage string, by Person, said ...Approval) Facts {
		return base(stage, func(f *Facts) {
			f.Promoted, f.Requester, f.Approvals, f.ReleasedTo = true, by, said, []ReleaseFact{{Stage: "staging"}}
		})
	}
	cases := []struct {
		name  string
		facts Facts
	}{
		{"never pushed", base("staging", func(f *Facts) { f.Recorded = false })},
		{"unknown stage", base("moon", func(*Facts) {})},
		{"not promoted", base("staging", func(*Facts) {})},
		{"no release to the earlier stage", base("production", func(f *Facts) { f.Promoted, f.Requester = true, vendor })},
		{"pusher and requester do not count", promoted("production", sec, Approval{By: vendor}, Approval{By: sec})},
		{"two people of one organisation count once", promoted("production", vendor, Approval{By: sec}, Approval{By: Person{"SecurityMSP", "other"}})},
		{"the named organisation is missing", promoted("production", vendor, Approval{By: plat}, Approval{By: Person{"AuditMSP", "rm"}})},
		{"the named organisation rejects", promoted("production", vendor, Approval{By: sec, Reject: true, Reason: "CVE"})},
		{"satisfied", promoted("production", vendor, Approval{By: sec}, Approval{By: plat})},
		{"released", base("staging", func(f *Facts) { f.Released, f.Current, f.ReleasedWith = true, true, Version{Name: "team", Version: 3} })},
		{"quarantine beats a release", base("staging", func(f *Facts) {
			f.Released = true
			f.Holds = []Hold{{MSP: "AuditMSP", By: Person{"AuditMSP", "scanner"}, Reason: "CVE"}}
		})},
	}
	type line struct {
		Case       string  `json:"case"`
		Verdict    Verdict `json:"verdict"`
		Releasable bool    `json:"releasable"`
	}
	var got []line
	for _, c := range cases {
		v := Evaluate(parsed(t), 3, c.facts, time.Time{})
		got = append(got, line{c.name, v, v.Releasable})
	}
	v := Evaluate(nil, 0, base("staging", func(*Facts) {}), time.Time{})
	got = append(got, line{"no policy", v, v.Releasable})
	b, err := json.MarshalIndent(got, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "verdicts.json")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(b) != strings.TrimSpace(string(want)) {
		t.Errorf("verdicts changed; compare with UPDATE_GOLDEN=1 and git diff:\n%s", b)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(document))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if err != nil {
			return
		}
		if again, err := Parse(p.Canonical()); err != nil || string(again.Canonical()) != string(p.Canonical()) {
			t.Errorf("accepted, but its canonical form is not: %v", err)
		}
	})
}
