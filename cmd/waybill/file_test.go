package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFilesWithoutEndOrContent: of a file that has no end a bound is read, whatever it should
// hold, and what holds nothing is told before anything is attached or sent.
func TestFilesWithoutEndOrContent(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"trust add x -f FILE --as vendor/admin", "trust add x -f FILE --shared --as vendor/admin", "key add x -f FILE --as vendor/admin",
		"schema add x -f FILE --as vendor/admin", "policy propose -f FILE --as vendor/admin",
		"attest " + imageA + " --type sbom --file FILE --no-push --as vendor/publisher",
	} {
		for file, want := range map[string]string{"/dev/zero": "more than", empty: "is empty"} {
			w := newWorld(t)
			code, out, errOut := w.run(strings.Fields(strings.ReplaceAll(line, "FILE", file))...)
			if code != exitError || !strings.Contains(errOut, want) || !strings.Contains(errOut, file) {
				t.Errorf("%s: exit %d: %s%s", strings.ReplaceAll(line, "FILE", file), code, out, errOut)
			}
		}
	}
}
