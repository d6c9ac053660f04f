package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestVerifyOffline(t *testing.T) {
	file := func(name string) string { return filepath.Join("..", "..", "proof", "testdata", "network", name) }
	raw, err := os.ReadFile(file("genesis"))
	if err != nil {
		t.Fatal(err)
	}
	pin := strings.TrimSpace(string(raw))
	const repo = "registry.bypass.example/team/app"
	const image = repo + "@sha256:22d19e7e36b9908800290aadd1f7473ea13855dcef6566ced3dfcd7980b49ad9"
	w := newWorld(t)
	for name, c := range map[string]struct {
		args []string
		want int
		says string
	}{
		"allowed":               {[]string{image, "--stage", "production", "--offline", file("receipt.json"), "--genesis", pin, "--config", file("config.json")}, 0, "ALLOWED"},
		"for programs":          {[]string{image, "--stage", "production", "--offline", file("receipt.json"), "--genesis", pin, "--config", file("config.json"), "-o", "json"}, 0, `"asOf"`},
		"another image":         {[]string{image, "--stage", "production", "--offline", file("receipt-held.json"), "--genesis", pin, "--config", file("config.json")}, 15, "INVALID"},
		"another stage":         {[]string{image, "--stage", "staging", "--offline", file("receipt.json"), "--genesis", pin, "--config", file("config.json")}, 15, "INVALID"},
		"too few":               {[]string{image, "--stage", "production", "--offline", file("receipt.json"), "--genesis", pin, "--config", file("config.json"), "--orgs", "4"}, 15, "want 4"},
		"no configuration":      {[]string{image, "--stage", "production", "--offline", file("receipt.json"), "--genesis", pin}, 16, "INCOMPLETE"},
		"a transaction's proof": {[]string{image, "--stage", "production", "--offline", file("transaction-push.json"), "--genesis", pin, "--config", file("config.json")}, 1, "no receipt"},
		"a tag":                 {[]string{repo + ":1.0", "--stage", "production", "--offline", file("receipt.json"), "--genesis", pin}, 2, "names none"},
		"no pin":                {[]string{image, "--stage", "production", "--offline", file("receipt.json")}, 2, "64 hex digits"},
		"no file":               {[]string{image, "--stage", "production", "--offline", file("none"), "--genesis", pin}, 1, "no such file"},
		"no such configuration": {[]string{image, "--stage", "production", "--offline", file("receipt.json"), "--genesis", pin, "--config", file("none")}, 1, "no such file"},
	} {
		code, out, errOut := w.run(append([]string{"verify"}, c.args...)...)
		if code != c.want || !strings.Contains(out+errOut, c.says) {
			t.Errorf("%s: exit %d, want %d and %q\n%s%s", name, code, c.want, c.says, out, errOut)
		}
	}
}
