package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// file is one of those of a real network.
func file(name string) string { return filepath.Join("..", "..", "proof", "testdata", "network", name) }

func TestProgram(t *testing.T) {
	raw, err := os.ReadFile(file("genesis"))
	if err != nil {
		t.Fatal(err)
	}
	pin := strings.TrimSpace(string(raw))
	receipt, config := file("receipt.json"), file("config.json")
	now := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		args []string
		want int
		out  string
	}{
		"a receipt":                {[]string{receipt, "--genesis", pin, "--config", config}, 0, "ALLOWED"},
		"flags before":             {[]string{"-genesis=" + pin, "--config", config, receipt}, 0, "ALLOWED"},
		"for programs":             {[]string{receipt, "--genesis", pin, "--config", config, "-o", "json"}, 0, `"result": "valid"`},
		"quarantined":              {[]string{file("receipt-held.json"), "--genesis", pin, "--config", config}, 13, "QUARANTINED"},
		"pending":                  {[]string{file("receipt-pending.json"), "--genesis", pin, "--config", config}, 12, "PENDING"},
		"unknown":                  {[]string{file("receipt-unknown.json"), "--genesis", pin, "--config", config}, 10, "UNKNOWN"},
		"a transaction":            {[]string{file("transaction-push.json"), "--genesis", pin, "--config", config}, 0, "record:Segment"},
		"standard input":           {[]string{"-", "--genesis", pin, "--config", config}, 15, "INVALID"},
		"too old":                  {[]string{receipt, "--genesis", pin, "--config", config, "--max-age", "24h"}, 14, "STALE"},
		"young enough then":        {[]string{receipt, "--genesis", pin, "--config", config, "--max-age", "876000h"}, 0, "ALLOWED"},
		"before it was made":       {[]string{receipt, "--genesis", pin, "--config", config, "--at", "2020-01-01T00:00:00Z"}, 15, "still to come"},
		"more organisations":       {[]string{receipt, "--genesis", pin, "--config", config, "--orgs", "4"}, 15, "want 4"},
		"another image":            {[]string{receipt, "--genesis", pin, "--config", config, "--image", "registry.example/x"}, 15, "INVALID"},
		"another stage":            {[]string{receipt, "--genesis", pin, "--config", config, "--stage", "x"}, 15, "INVALID"},
		"another contract":         {[]string{receipt, "--genesis", pin, "--config", config, "--chaincode", "x"}, 15, "INVALID"},
		"another pin":              {[]string{receipt, "--genesis", strings.Repeat("ab", 32), "--config", config}, 15, "is pinned"},
		"without configuration":    {[]string{receipt, "--genesis", pin}, 16, "INCOMPLETE"},
		"no pin":                   {[]string{receipt}, 2, "64 hex digits"},
		"no file":                  {[]string{"--genesis", pin}, 2, "want one FILE"},
		"two files":                {[]string{receipt, receipt, "--genesis", pin}, 2, "want one FILE"},
		"a flag that is none":      {[]string{receipt, "--trust"}, 2, "not defined"},
		"a format that is none":    {[]string{receipt, "--genesis", pin, "-o", "yaml"}, 2, "text or json"},
		"a time that is none":      {[]string{receipt, "--genesis", pin, "--at", "now"}, 2, "want a time"},
		"fewer than none":          {[]string{receipt, "--genesis", pin, "--orgs", "-1"}, 2, "not negative"},
		"a file that is not here":  {[]string{file("none"), "--genesis", pin}, 1, "no such file"},
		"a configuration not here": {[]string{receipt, "--genesis", pin, "--config", file("none")}, 1, "no such file"},
		"help":                     {[]string{"-h"}, 0, "Exit codes"},
		"the version":              {[]string{"--version"}, 0, "devel"},
	} {
		var out, errs bytes.Buffer
		got := run(c.args, now, strings.NewReader("{"), &out, &errs)
		if both := out.String() + errs.String(); got != c.want || !strings.Contains(both, c.out) {
			t.Errorf("%s: exit %d, want %d and %q\n%s", name, got, c.want, c.out, both)
		}
	}
	if got := run([]string{receipt, "--genesis", pin, "--config", config}, now, nil, full{}, &bytes.Buffer{}); got != 1 {
		t.Errorf("an answer that nobody could read: exit %d", got)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no room") }

// The program builds for every system that an auditor may have, and twice the same.
func TestItBuildsAloneAndTheSame(t *testing.T) {
	build := func(system, arch, out string) []byte {
		cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-buildid=", "-o", out, ".")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+arch, "GOFLAGS=")
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s/%s: %v\n%s", system, arch, err, text)
		}
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	dir := t.TempDir()
	for _, system := range []string{"linux", "darwin", "windows"} {
		for _, arch := range []string{"amd64", "arm64"} {
			first := build(system, arch, filepath.Join(dir, "one"))
			if !bytes.Equal(first, build(system, arch, filepath.Join(dir, "two"))) {
				t.Errorf("%s/%s: another program from the same sources", system, arch)
			}
		}
	}
}
