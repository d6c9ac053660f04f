package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

func TestSanitizeDropsWhatRepaintsATerminal(t *testing.T) {
	for in, want := range map[string]string{
		"plain ünïcode ✓":              "plain ünïcode ✓",
		"\x1b[31mred\x1b[0m":           "[31mred[0m",
		"over\rwritten":                "overwritten",
		"two\nlines\tand a tab":        "two lines and a tab",
		"\x1b]8;;http://x\x07link":     "]8;;http://xlink",
		"c1 \u009b31m":                 "c1 31m",
		"bidi \u202etxt.exe\u202c end": "bidi txt.exe end",
		"isolate \u2066x\u2069":        "isolate x",
		"bad \xff utf8":                "bad  utf8",
		"separator\u2028line":          "separatorline",
	} {
		if got := sanitize(in); got != want {
			t.Errorf("sanitize(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzSanitize(f *testing.F) {
	f.Add("\x1b[2Jx\u202e\n")
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range sanitize(s) {
			if unsafeRune(r) {
				t.Fatalf("sanitize(%q) left %q", s, r)
			}
		}
		b, err := encodeJSON(map[string]string{"a": s})
		if err != nil {
			t.Fatal(err)
		}
		var back map[string]string
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatalf("%q is no JSON: %v", b, err)
		}
		if utf8.ValidString(s) && back["a"] != s {
			t.Fatalf("%q came back as %q", s, back["a"])
		}
		for _, r := range strings.ReplaceAll(string(b), "\n", "") {
			if r != '\ufffd' && unsafeRune(r) {
				t.Fatalf("JSON %q holds %q", b, r)
			}
		}
	})
}

func TestReport(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"nothing", nil, ""},
		{"a verdict was printed already", answerError{"denied"}, ""},
		{"capital and full stop", errors.New("Something failed."), "waybill: something failed\n"},
		{"a name keeps its capital", errors.New("VendorMSP is not a member"), "waybill: VendorMSP is not a member\n"},
		{
			"codes are for programs",
			provenance.Wrap(provenance.Conflict, provenance.Errorf(provenance.Conflict, "inner"), "outer"),
			"waybill: outer: inner\nhint: the ledger already says something else: read it, then decide\n",
		},
		{"function names are for programs", errors.New("registry:Add: registry x belongs to VendorMSP"), "waybill: registry x belongs to VendorMSP\n"},
		{"own hint wins", hint(provenance.Errorf(provenance.Conflict, "x"), "do %s", "y"), "waybill: x\nhint: do y\n"},
		{"usage", usagef("no"), "waybill: no\nhint: see waybill --help\n"},
		{"interrupted", context.Canceled, "waybill: interrupted\n"},
		{"hostile", errors.New("bad\n\x1b[1mwaybill: fine"), "waybill: bad [1mwaybill: fine\n"},
	} {
		var b bytes.Buffer
		report(&b, tt.err)
		if diff := cmp.Diff(tt.want, b.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestSuggest(t *testing.T) {
	stages := []string{"dev", "staging", "production"}
	for typed, want := range map[string]string{
		"prodution": "production", "Staging": "staging", "prod": "production", "stagnig": "staging",
		"qa": "", "xyz": "", "": "",
	} {
		if got := suggest(typed, stages); got != want {
			t.Errorf("suggest(%q) = %q, want %q", typed, got, want)
		}
	}
}

func TestGridAlignsByCharacters(t *testing.T) {
	g := table("A", "B", "C")
	g.row("ü", "long cell", "\x1b[1mx")
	g.row("abc", "", "")
	var b bytes.Buffer
	g.write(&b, "none")
	want := "A    B          C\nü    long cell  [1mx\nabc\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("grid (-want +got):\n%s", diff)
	}
	b.Reset()
	table("A").write(&b, "none")
	if b.String() != "none\n" {
		t.Errorf("empty grid: %q", b.String())
	}
}
