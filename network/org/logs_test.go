package org

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRotate: a node that goes on writing loses no line but one that comes between copy and cut, and what it leaves is bounded.
func TestRotate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "vendor-peer.log")
	log, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close() //nolint:errcheck // a test's file
	const most, keep = 1000, 2
	var lines []string
	for n := range 400 {
		line := fmt.Sprintf("line %d", n)
		lines = append(lines, line)
		if _, err := fmt.Fprintln(log, line); err != nil {
			t.Fatal(err)
		}
		if err := rotate(file, most, keep); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(entries) != 1+keep {
		t.Fatalf("there are %v, %v", entries, err)
	}
	var all []byte
	for _, name := range []string{aside(file, 2), aside(file, 1), file} {
		raw, err := os.ReadFile(name)
		if err != nil || len(raw) > most+20 || bytes.HasPrefix(raw, []byte{0}) {
			t.Errorf("%s: %d bytes, %v", name, len(raw), err)
		}
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
		all = append(all, raw...)
	}
	have := strings.Split(strings.TrimSpace(string(all)), "\n")
	if want := lines[len(lines)-len(have):]; len(have) < 150 || strings.Join(have, " ") != strings.Join(want, " ") {
		t.Errorf("of %d lines these are left: %v", len(lines), have)
	}
	if err := rotate(filepath.Join(t.TempDir(), "none.log"), most, keep); err != nil {
		t.Error(err)
	}
}

// TestLogKeeper: the program is started with the nodes, once, is told the folder, and ends with org down.
func TestLogKeeper(t *testing.T) {
	f := scripted(t, "exec sleep 60")
	keeper := filepath.Join(t.TempDir(), "keeper")
	if err := os.WriteFile(keeper, []byte("#!/bin/sh\necho \"$@\" >>\"$2/kept\"\nexec sleep 60\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	f.opts.LogKeeper = []string{keeper, "--dir"}
	for range 2 {
		if err := f.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	p, err := readProcess(f.pidPath(keeperName))
	if err != nil || !p.alive() {
		t.Fatalf("%+v, %v", p, err)
	}
	soon(t, "it is told the folder", func() bool {
		raw, err := os.ReadFile(filepath.Join(f.Dir(), "kept"))
		return err == nil && string(raw) == "--dir "+f.Dir()+"\n"
	})
	if err := f.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p.alive() {
		t.Error("it runs on")
	}
}

// TestKeepLogsEnds: once no node runs there is nothing to keep short.
func TestKeepLogsEnds(t *testing.T) {
	f := scripted(t, "exec sleep 60")
	ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	log := f.LogPath("vendor-peer")
	if err := os.MkdirAll(filepath.Dir(log), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(log, make([]byte, maxLog+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.KeepLogs(ctx); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(log); err != nil || info.Size() != 0 {
		t.Errorf("%v, %v", info, err)
	}
}
