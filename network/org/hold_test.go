package org

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"
)

// TestSupervisorLeavesAHeldNodeAlone: between the end of a node and its release nobody starts it, and its end is no failure.
func TestSupervisorLeavesAHeldNodeAlone(t *testing.T) {
	f := scripted(t, `echo begun; exec sleep 60`)
	ctx, stop := context.WithCancel(t.Context())
	var out transcript
	done := make(chan error, 1)
	go func() { done <- f.Supervise(ctx, &out, hasty()) }()
	begun := func() int { return strings.Count(out.String(), "vendor-peer | begun") }
	soon(t, "the peer runs", func() bool {
		p, err := readProcess(f.pidPath("vendor-peer"))
		return err == nil && p.alive() && begun() == 1
	})
	node := f.node(KindPeer)
	release, err := f.Hold(node)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Stop(ctx, "peer"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * hasty().MaxPause)
	if begun() != 1 {
		t.Error("it was started while it was held")
	}
	release()
	soon(t, "the peer runs again", func() bool { return begun() == 2 })
	if restarts, err := f.Restarts(); err != nil || restarts["vendor-peer"].Count != 0 {
		t.Errorf("counted %+v, %v", restarts, err)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestHoldIsOfAProcess: two commands do not work on one node, and one that died holds nothing.
func TestHoldIsOfAProcess(t *testing.T) {
	f := scripted(t, "exit 0")
	node := f.node(KindPeer)
	release, err := f.Hold(node)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Hold(node); err == nil {
		t.Error("held twice")
	}
	release()
	if f.held(node.Name) {
		t.Error("held after its release")
	}
	if err := os.WriteFile(f.holdPath(node.Name), []byte(`{"pid":1,"start":1,"boot":"another"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if f.held(node.Name) {
		t.Error("held by a process of another boot")
	}
}
