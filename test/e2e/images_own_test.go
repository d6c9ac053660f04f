package e2e

import (
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"
)

// images …: makes images of Waybill's programs, as `make images` does.
func ownImages(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("images is not made to fail")
	}
	root, err := filepath.Abs(filepath.Join("..", ".."))
	ts.Check(err)
	for i, a := range args {
		if a == "-o" && i+1 < len(args) {
			args[i+1] = ts.MkAbs(args[i+1])
		}
	}
	ts.Check(ts.Exec("go", append([]string{"run", "-C", filepath.Join(root, "deploy", "images"), ".", "--source", root, "--insecure"}, args...)...))
}
