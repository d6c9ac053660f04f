package org

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// transcript is what a supervisor printed.
type transcript struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *transcript) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// scripted is a folder whose nodes are shell scripts. It has a first block, of nothing.
func scripted(t *testing.T, peer string) *Folder {
	t.Helper()
	dir := t.TempDir()
	program := func(name, script string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		return file
	}
	const waits = `trap 'echo drained; exit 0' TERM; echo "$0 starts"; while :; do sleep 0.05; done`
	spec := testSpec("vendor", "127.0.0.9")
	spec.Programs = Programs{Peer: program("peer", peer), Orderer: program("orderer", waits)}
	spec.Contract.Program = program("chaincode", waits)
	f, err := Create(t.Context(), filepath.Join(dir, "folder"), spec, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.keepGenesis(t.Context(), []byte("block"), false); err != nil {
		t.Fatal(err)
	}
	return f
}

func soon(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func hasty() Patience {
	return Patience{FirstPause: 10 * time.Millisecond, MaxPause: 20 * time.Millisecond, Attempts: 4, Look: 50 * time.Millisecond, Steady: time.Hour}
}

func TestSupervisorRestartsAndDrains(t *testing.T) {
	// Ends twice, then stays.
	f := scripted(t, `n=$(cat count 2>/dev/null || echo 0); echo $((n+1)) >count; [ "$n" -ge 2 ] || exit 3; echo steady; exec sleep 60`)
	ctx, stop := context.WithCancel(t.Context())
	var out transcript
	done := make(chan error, 1)
	go func() { done <- f.Supervise(ctx, &out, hasty()) }()
	soon(t, "the peer stays", func() bool { return strings.Contains(out.String(), "vendor-peer | steady") })
	restarts, err := f.Restarts()
	if err != nil || restarts["vendor-peer"].Count != 2 || restarts["vendor-peer"].Why != "ended: exit status 3" || len(restarts) != 1 {
		t.Errorf("counted %+v (%v)", restarts, err)
	}
	if err := f.Supervise(t.Context(), &out, hasty()); err == nil || !strings.Contains(err.Error(), "runs already") {
		t.Errorf("a second supervisor: %v", err)
	}
	var peer process
	soon(t, "the peer's process is recorded", func() bool {
		peer, err = readProcess(f.pidPath("vendor-peer"))
		return err == nil && peer.alive()
	})
	stop()
	if err := <-done; err != nil {
		t.Errorf("asked to end: %v", err)
	}
	if peer.alive() || strings.Count(out.String(), "drained") != 2 {
		t.Errorf("not everything was stopped:\n%s", out.String())
	}
}

func TestSupervisorGivesUp(t *testing.T) {
	f := scripted(t, "echo no disk; exit 1")
	var out transcript
	err := f.Supervise(t.Context(), &out, hasty())
	if err == nil || !strings.Contains(err.Error(), "vendor-peer cannot be kept alive: 4 starts in a row, the last ended: exit status 1") {
		t.Errorf("got %v", err)
	}
	for _, node := range f.Nodes() {
		if p, err := readProcess(f.pidPath(node.Name)); err != nil || p.alive() {
			t.Errorf("%s is left behind (%v)", node.Name, err)
		}
	}
	if !strings.Contains(out.String(), "vendor-peer | no disk") {
		t.Errorf("printed:\n%s", out.String())
	}
}

// A node that stands still, as one that is cut off does, is started again as often as it takes: the others serve on.
func TestSupervisorLivesWithWhoStandsStill(t *testing.T) {
	f := scripted(t, "echo up; exec sleep 60")
	ctx, stop := context.WithCancelCause(t.Context())
	var out transcript
	s := &supervisor{Folder: f, patience: hasty().withDefaults(), out: &lines{to: &out}, giveUp: stop, restarts: map[string]Restarts{}, running: map[string]*watched{}}
	alive, quit := context.WithCancel(t.Context())
	w := &watched{node: f.node(KindPeer), quit: quit, ended: make(chan struct{}), again: make(chan string, 1)}
	s.running[w.node.Name] = w
	go s.keep(alive, f, w)
	for n := range 3 * hasty().Attempts {
		soon(t, "it is up", func() bool { return strings.Count(out.String(), "vendor-peer | up") == n+1 || ctx.Err() != nil })
		if ctx.Err() != nil {
			t.Fatalf("given up after %d restarts: %v", n, context.Cause(ctx))
		}
		s.restart(NodeStatus{Node: w.node.Name, Height: 7})
	}
	quit()
	<-w.ended
}

// Whoever restarts a node for its new certificate, or to read the chain anew, leaves the starting to the supervisor.
func TestRestartUnderASupervisor(t *testing.T) {
	f := scripted(t, "echo up; exec sleep 60")
	ctx, stop := context.WithCancel(t.Context())
	var out transcript
	done := make(chan error, 1)
	go func() { done <- f.Supervise(ctx, &out, hasty()) }()
	soon(t, "the peer is up", func() bool { return strings.Contains(out.String(), "vendor-peer | up") })
	other, err := Open(f.Dir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Stop(t.Context(), "peer"); err != nil {
		t.Fatal(err)
	}
	if err := other.Start(t.Context(), "peer"); err != nil {
		t.Fatal(err)
	}
	if p, err := readProcess(f.pidPath("vendor-peer")); err != nil || !p.alive() {
		t.Errorf("it does not run: %v", err)
	}
	if _, err := os.Stat(f.LogPath("vendor-peer")); err == nil {
		t.Error("it was started beside the supervisor")
	}
	soon(t, "the supervisor's is up", func() bool { return strings.Count(out.String(), "vendor-peer | up") == 2 })
	// However often: it is no failure, is not counted as one, and is not waited for.
	for n := range 2 * hasty().Attempts {
		soon(t, "it is recorded", func() bool {
			p, err := readProcess(f.pidPath("vendor-peer"))
			return err == nil && p.alive()
		})
		if err := other.Stop(t.Context(), "peer"); err != nil {
			t.Fatal(err)
		}
		soon(t, "it is up again", func() bool { return strings.Count(out.String(), "vendor-peer | up") == n+3 })
	}
	if restarts, err := f.Restarts(); err != nil || len(restarts) != 0 {
		t.Errorf("counted %+v, %v", restarts, err)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestSupervisorTakesUpAnotherVersion(t *testing.T) {
	f := scripted(t, "exec sleep 60")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var out transcript
	done := make(chan error, 1)
	go func() { done <- f.Supervise(ctx, &out, hasty()) }()
	soon(t, "the chaincode starts", func() bool { return strings.Contains(out.String(), "vendor-chaincode | ") })
	other, err := Open(f.Dir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	next := Contract{Version: "2", PackageID: "waybill_2:00", Program: other.spec.Contract.Program, Listen: "127.0.0.9:7099"}
	other.spec.Next = &next
	if err := other.save(); err != nil {
		t.Fatal(err)
	}
	soon(t, "the next one starts beside it", func() bool { return strings.Contains(out.String(), "vendor-chaincode-2 | ") })
	other.spec.Contract, other.spec.Next = next, nil
	if err := other.save(); err != nil {
		t.Fatal(err)
	}
	soon(t, "the former ends", func() bool { return strings.Contains(out.String(), "vendor-chaincode | drained") })
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := strings.Count(out.String(), "vendor-chaincode-2 | "); n != 2 {
		t.Errorf("the next one printed %d lines, want its start and its end:\n%s", n, out.String())
	}
}

func TestStuck(t *testing.T) {
	now := time.Now()
	heights := map[Kind]*standing{KindOrderer: {}, KindPeer: {}}
	look := func(after time.Duration, orderer, peer uint64) string {
		report := []NodeStatus{{Node: "o", Kind: KindOrderer, Height: orderer}, {Node: "p", Kind: KindPeer, Height: peer}, {Node: "c", Kind: KindChaincode}}
		names := ""
		for _, n := range stuck(heights, report, now.Add(after), 30*time.Second) {
			names += n.Node
		}
		return names
	}
	for i, step := range []struct {
		after         time.Duration
		orderer, peer uint64
		want          string
	}{
		{0, 10, 10, ""},
		{40 * time.Second, 10, 10, ""}, // nothing happens anywhere
		{41 * time.Second, 10, 14, ""},
		{60 * time.Second, 11, 30, ""}, // it catches up
		{89 * time.Second, 11, 50, ""},
		{90 * time.Second, 11, 51, "o"},
		{100 * time.Second, 11, 60, ""}, // it was restarted a moment ago
		{110 * time.Second, 60, 60, ""},
		{200 * time.Second, 90, 60, "p"},
		{210 * time.Second, 0, 91, ""}, // it does not answer
	} {
		if got := look(step.after, step.orderer, step.peer); got != step.want {
			t.Errorf("step %d (%s): restarted %q, want %q", i, fmt.Sprint(step.after), got, step.want)
		}
	}
}
