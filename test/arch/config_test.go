package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// An operator meets every key of a gateway's configuration in the file that
// the network writes, if only in a comment.
func TestEveryKeyIsShown(t *testing.T) {
	shown, err := os.ReadFile(filepath.Join(root, "network", "provision", "config.go"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, "gateway", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, filepath.Join(root, "gateway", "sweep", "config.go"))
	tag := regexp.MustCompile("`mapstructure:\"([a-z_]+)\"`")
	keys := 0
	for _, f := range files {
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range tag.FindAllStringSubmatch(string(src), -1) {
			keys++
			if !regexp.MustCompile(`(^|[\s{#-])` + key[1] + `:`).Match(shown) {
				t.Errorf("%s of %s is not in network/provision/config.go", key[1], strings.TrimPrefix(f, root))
			}
		}
	}
	if keys < 40 {
		t.Fatalf("%d keys were found: the check would check little", keys)
	}
}
