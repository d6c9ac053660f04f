package intake

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every kind has a guide with the same questions answered, and a row in the index.
func TestGuides(t *testing.T) {
	const folder = "../../docs/guides"
	index, err := os.ReadFile(filepath.Join(folder, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range Kinds() {
		guide, err := os.ReadFile(filepath.Join(folder, kind+".md"))
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		for _, want := range []string{"kind: " + kind + "\n", "## Settings to paste", "/hooks/", "## How it proves itself", "## What it cannot tell us", "## Try it"} {
			if !strings.Contains(string(guide), want) {
				t.Errorf("%s.md says nothing of %q", kind, want)
			}
		}
		if !strings.Contains(string(index), "("+kind+".md) | `"+kind+"` |") {
			t.Errorf("README.md has no row for %s", kind)
		}
		if weak := connectorOf(t, kind).Weak(); strings.Contains(weak, "address") && !strings.Contains(string(guide), "**weak**") {
			t.Errorf("%s.md does not say that its authentication is weak", kind)
		}
	}
}

// Pages that count the kinds count all of them.
func TestKindsAreCounted(t *testing.T) {
	for page, format := range map[string]string{"README.md": "[%d formats](docs/guides/README.md)", "docs/limits.md": "a connector for each of %d kinds of notification"} {
		text, err := os.ReadFile(filepath.Join("../..", page))
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf(format, len(Kinds())); !strings.Contains(string(text), want) {
			t.Errorf("%s does not say %q", page, want)
		}
	}
}

// What bounds memory names every kind that may send more than the others.
func TestWideKindsAreNamed(t *testing.T) {
	text, err := os.ReadFile("../../docs/HOSTILE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, row, _ := strings.Cut(string(text), "| a notification |")
	row, _, _ = strings.Cut(row, "\n")
	for _, kind := range Kinds() {
		if f, _ := formatOf(kind); f.wide != strings.Contains(row, kind) {
			t.Errorf("%s: larger bodies %v, and the row says: %s", kind, f.wide, row)
		}
	}
}
