package org

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func startSleep(t *testing.T, args ...string) (process, string) {
	t.Helper()
	dir := t.TempDir()
	pidFile := filepath.Join(dir, "run", "node.json")
	cmd := exec.Command("/bin/sh", args...)
	cmd.Dir = dir
	p, err := start(cmd, filepath.Join(dir, "log"), pidFile)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.signal(syscall.SIGKILL) })
	return p, pidFile
}

func TestProcessIsKnownByMoreThanItsPID(t *testing.T) {
	p, pidFile := startSleep(t, "-c", "exec sleep 60")
	recorded, err := readProcess(pidFile)
	if err != nil || recorded != p {
		t.Fatalf("recorded %+v (%v), want %+v", recorded, err, p)
	}
	if !p.alive() {
		t.Fatal("a running process is taken for dead")
	}
	for what, stranger := range map[string]process{
		"a later process with the same pid":        {PID: p.PID, Start: p.Start + 1, Boot: p.Boot},
		"a process of another boot of the machine": {PID: p.PID, Start: p.Start, Boot: "another"},
		"no process at all":                        {},
	} {
		if stranger.alive() {
			t.Errorf("%s is taken for ours", what)
		}
		if err := stranger.signal(syscall.SIGKILL); err != nil {
			t.Errorf("signal to %s: %v", what, err)
		}
	}
	if !p.alive() {
		t.Fatal("a signal for somebody else has hit ours")
	}
	if err := p.stop(t.Context(), time.Second); err != nil {
		t.Fatal(err)
	}
	if p.alive() {
		t.Error("stopped, yet alive")
	}
}

func TestStopKillsWhatIgnoresSIGTERM(t *testing.T) {
	p, _ := startSleep(t, "-c", "trap '' TERM; while :; do sleep 0.1; done")
	if err := p.stop(t.Context(), 300*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if p.alive() {
		t.Error("still alive")
	}
}

func TestTakenPortIsExplained(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // a test's listener
	port := l.Addr().(*net.TCPAddr).Port
	err = checkListen(l.Addr().String(), "vendor-peer")
	var taken *PortTakenError
	if !errors.As(err, &taken) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{fmt.Sprint(port), "vendor-peer", "--port-base", fmt.Sprintf("pid %d", os.Getpid())} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("nothing about %q in: %v", want, err)
		}
	}
}

func TestPollKeepsTheLastUsefulError(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*pollEvery)
	defer cancel()
	err := poll(ctx, func(ctx context.Context) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return errors.New("the peer is asleep")
	})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "asleep") {
		t.Errorf("got %v", err)
	}
	dead := errors.New("dead")
	if err := poll(t.Context(), func(context.Context) error { return hopeless{dead} }); !errors.Is(err, dead) {
		t.Errorf("got %v", err)
	}
}
