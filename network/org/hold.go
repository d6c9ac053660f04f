package org

import (
	"context"
	"errors"
	"os"
	"time"
)

// heldAgain is how long a supervisor waits before it looks again whether a node is still held.
const heldAgain = 200 * time.Millisecond

func (f *Folder) holdPath(node string) string { return f.at("run", node+".hold.json") }

// Hold keeps a supervisor from starting a node again until release is called or this process is gone: whoever
// takes a node's data away does it between its end and its next start. Another process that holds it is an error.
func (f *Folder) Hold(node Node) (release func(), err error) {
	other, err := readProcess(f.holdPath(node.Name))
	if err != nil {
		return nil, err
	}
	if other.alive() {
		return nil, errors.New(node.Name + " is being worked on by another command")
	}
	self, ok := identify(os.Getpid())
	if !ok {
		return nil, errors.New("this process is not in /proc")
	}
	file := f.holdPath(node.Name)
	if err := self.record(file); err != nil {
		return nil, err
	}
	return func() { _ = os.Remove(file) }, nil // who reads it later finds this process gone
}

// held tells whether somebody holds a node.
func (f *Folder) held(node string) bool {
	p, err := readProcess(f.holdPath(node))
	return err == nil && p.alive()
}

// awaitReleased returns when nobody holds the node any more, and whether anybody did.
func (f *Folder) awaitReleased(ctx context.Context, node string) (waited bool) {
	for f.held(node) {
		waited = true
		select {
		case <-ctx.Done():
			return waited
		case <-time.After(heldAgain):
		}
	}
	return waited
}
