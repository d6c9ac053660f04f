// Package referencetest holds a committed reference against the commands.
package referencetest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/cmd/reference"
)

// Fresh fails for each page in dir that is not what root's commands say now.
func Fresh(t testing.TB, dir string, root *cobra.Command) {
	t.Helper()
	pages, err := reference.Markdown(root)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range pages {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		} else if diff := cmp.Diff(string(got), string(want)); diff != "" {
			t.Errorf("%s is stale; go generate ./cmd/... makes it anew (-there +now):\n%s", name, diff)
		}
	}
	there, err := filepath.Glob(filepath.Join(dir, root.Name()+"_*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range there {
		if pages[filepath.Base(path)] == nil {
			t.Errorf("%s is of no command; go generate ./cmd/... removes it", path)
		}
	}
}
