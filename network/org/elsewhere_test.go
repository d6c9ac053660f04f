package org

import (
	"errors"
	"strings"
	"testing"
)

// TestNodesElsewhere: a folder whose nodes run in containers starts none, not by an upgrade either, until somebody says that
// they are to run here.
func TestNodesElsewhere(t *testing.T) {
	f := scripted(t, "exec sleep 60")
	if err := f.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := f.keepGenesis(t.Context(), []byte("block"), true); err == nil || !strings.Contains(err.Error(), "org down") {
		t.Errorf("called somebody else's while they run here: %v", err)
	}
	if err := f.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := f.keepGenesis(t.Context(), []byte("block"), true); err != nil {
		t.Fatal(err)
	}
	again, err := Open(f.Dir(), Options{})
	if err != nil || !again.Spec().Elsewhere {
		t.Fatalf("the folder does not know it: %+v, %v", again.Spec(), err)
	}
	program := f.Spec().Contract.Program
	for what, err := range map[string]error{
		"start": again.Start(t.Context(), "peer"), "up": again.Up(t.Context()), "supervise": again.Supervise(t.Context(), t.Output(), hasty()),
		"upgrade": again.Upgrade(t.Context(), "2", program),
	} {
		if !errors.Is(err, ErrElsewhere) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if later, err := Open(f.Dir(), Options{}); err != nil || later.Spec().Next != nil {
		t.Errorf("an upgrade is under way: %+v, %v", later.Spec().Next, err)
	}
	// org init again keeps it.
	spec := testSpec("vendor", "127.0.0.9")
	spec.Programs, spec.Contract.Program = again.Spec().Programs, program
	if same, err := Create(t.Context(), f.Dir(), spec, Options{}); err != nil || !same.Spec().Elsewhere {
		t.Errorf("made again: %v", err)
	}
	if err := again.keepGenesis(t.Context(), []byte("block"), false); err != nil || again.Spec().Elsewhere {
		t.Errorf("to run here again: %v", err)
	}
}

// TestListenersApart: two nodes that cannot both listen are found before anything is made.
func TestListenersApart(t *testing.T) {
	for _, tt := range []struct {
		a, b  string
		clash bool
	}{
		{"127.0.0.1:7051", "127.0.0.1:7051", true},
		{"0.0.0.0:7051", "127.0.0.1:7051", true},
		{"10.0.0.1:7051", "[::]:7051", true},
		{"10.0.0.1:7051", "127.0.0.1:7051", false},
		{"127.0.0.1:7051", "127.0.0.1:7052", false},
	} {
		spec := testSpec("vendor", "127.0.0.9")
		spec.Version, spec.Contract.Version = SpecVersion, FirstVersion
		spec.Listen.Peer, spec.Listen.Hooks = tt.a, tt.b
		if err := spec.Validate(); (err != nil) != tt.clash {
			t.Errorf("%s and %s: %v", tt.a, tt.b, err)
		}
	}
}
