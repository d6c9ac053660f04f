package intake

import (
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
