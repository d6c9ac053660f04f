package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// Whatever keeps fsck from comparing is 2: 1 says that something differs.
func TestFsckExitCodes(t *testing.T) {
	for name, args := range map[string][]string{
		"no configuration": {"fsck", "--config", "absent.yaml"},
		"bad config":       {"fsck", "--config", write(t, "mspid: A\n")},
		"unknown flag":     {"fsck", "--fix"},
		"an argument":      {"fsck", "all"},
		"no such output":   {"fsck", "-o", "xml"},
	} {
		var out bytes.Buffer
		root := newRootCmd()
		root.SetArgs(args)
		root.SetOut(&out)
		root.SetErr(&out)
		err := root.Execute()
		if got := exitOf(err); err == nil || got != exitTrouble {
			t.Errorf("%s: exit %d, %v", name, got, err)
		}
	}
	for err, want := range map[error]int{nil: 0, errors.New("failed"): 1, exitError{exitDiffers, errors.New("3 are left")}: exitDiffers, exitError{exitTrouble, errors.New("no peer")}: exitTrouble} {
		if got := exitOf(err); got != want {
			t.Errorf("%v: exit %d, want %d", err, got, want)
		}
	}
	var help bytes.Buffer
	root := newRootCmd()
	root.SetArgs([]string{"fsck", "--help"})
	root.SetOut(&help)
	if err := root.Execute(); err != nil || !strings.Contains(help.String(), "Exit codes: 0 nothing differs") {
		t.Errorf("%v: %s", err, help.String())
	}
}
