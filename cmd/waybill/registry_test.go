package main

import (
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

func TestShortenedIDs(t *testing.T) {
	a, b := strings.Repeat("ab", 32), strings.Repeat("ab", 31)+"cd"
	for _, tt := range []struct {
		typed, want string
		code        provenance.Code
	}{
		{"abababab", "", provenance.Internal}, // usage: more than one
		{b, b, ""},
		{a[:62] + "a", a, ""},
		{"00000000", "", provenance.NotFound},
	} {
		got, err := completeID("proposal", tt.typed, []string{a, b, b})
		if got != tt.want || provenance.CodeOf(err) != tt.code {
			t.Errorf("%s: %q, %v", tt.typed, got, err)
		}
	}
	for _, bad := range []string{"", "ab", "ABABABAB", "ababababz", strings.Repeat("a", 65), strings.Repeat("ab", 31)} {
		w := newWorld(t)
		if code, _, _ := w.run("proposal", "vote", bad, "yes", "--as", "vendor/admin"); code != exitUsage || len(w.heard)+len(w.acts) > 0 {
			t.Errorf("%q: exit %d, asked %q, signed %q", bad, code, w.heard, w.acts)
		}
	}
}

func TestAnImageIsNoRepository(t *testing.T) {
	for _, image := range []string{"reg.example:5000/app:1.0", imageA, "reg.example:5000/app:1.0@" + digestA} {
		if host, repo, err := parseRepository(image); err == nil {
			t.Errorf("%s: taken for %s/%s", image, host, repo)
		}
		for _, args := range []string{"waiver approve " + image + " " + testWaiver().ID, "label set " + image + " a=b", "resume " + image + " --to production"} {
			w := newWorld(t)
			if code, _, _ := w.run(append(strings.Fields(args), "--as", "vendor/admin")...); code != exitUsage || len(w.acts) > 0 {
				t.Errorf("%s: exit %d, signed %q", args, code, w.acts)
			}
		}
	}
}

func TestRegistryAddSaysWhoAgreed(t *testing.T) {
	w := newWorld(t)
	_, out, _ := w.run("registry", "add", "reg.example/team", "--kind", "zot", "--as", "vendor/admin")
	for _, want := range []string{"registry reg.example/team for VendorMSP", "1 of 3 organisations agreed (VendorMSP)", "waybill registry add reg.example/team --kind zot --owner VendorMSP --as ORG/admin", "waybill proposal vote " + strings.Repeat("ab", 32)} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	opened := w.results["proposal:Open"]
	w.results["proposal:Open"] = func(args ...string) any {
		s := opened(args...).(tally) //nolint:forcetypeassert // this package's own fake
		s.Proposal.Status = state.ProposalAccepted
		return s
	}
	if _, out, _ = w.run("registry", "add", "reg.example/team", "--owner", "VendorMSP", "--as", "security/admin"); !strings.Contains(out, "agreed and in force: VendorMSP records the events of reg.example/team") {
		t.Errorf("in force:\n%s", out)
	}
	for _, bad := range []string{"", "reg.example/", "reg.example/Team", "reg.example/a:1", "a b"} {
		if code, _, _ := w.run("registry", "add", bad, "--as", "vendor/admin"); code != exitUsage {
			t.Errorf("%q: exit %d", bad, code)
		}
	}
}

func TestClock(t *testing.T) {
	for age, want := range map[time.Duration]int{10 * time.Second: 0, 5 * time.Minute: exitUnavailable, -5 * time.Minute: exitUnavailable} {
		w := newWorld(t)
		w.peers["clock:Get"] = func(...string) any { return state.Clock{At: time.Now().UTC().Add(-age), Seq: 7} }
		for _, format := range []string{"table", "json"} {
			if code, out, errOut := w.run("clock", "--as", "vendor/auditor", "-o", format); code != want || !strings.Contains(out, "7") {
				t.Errorf("%s old, %s: exit %d, stderr %q, out:\n%s", age, format, code, errOut, out)
			}
		}
	}
	w := newWorld(t)
	w.peers["clock:Get"] = func(...string) any { return state.Clock{} }
	if code, _, errOut := w.run("clock", "--as", "vendor/auditor"); code != exitUnavailable || !strings.Contains(errOut, "never moved") {
		t.Errorf("no tick yet: exit %d, stderr %q", code, errOut)
	}
}

func TestSchemaTypeCarriesItsOrganisation(t *testing.T) {
	for name, want := range map[string]string{"review": "custom/VendorMSP/review", "VendorMSP/review": "custom/VendorMSP/review"} {
		if got := customType("VendorMSP", name); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}
