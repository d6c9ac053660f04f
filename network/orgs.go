package network

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/waybill-dev/waybill/network/org"
)

// What package org says of nodes.
type (
	Kind           = org.Kind
	Node           = org.Node
	Health         = org.Health
	NodeStatus     = org.NodeStatus
	PortTakenError = org.PortTakenError
)

// The kinds of node, of which every organisation has one each, and what can be said of their health.
const (
	KindOrderer   = org.KindOrderer
	KindPeer      = org.KindPeer
	KindChaincode = org.KindChaincode

	Running     = org.Running
	Behind      = org.Behind
	Stopped     = org.Stopped
	Unreachable = org.Unreachable
)

func (n *Network) orgDir(name string) string { return filepath.Join(n.dir, "orgs", name) }

func (n *Network) orgOptions() org.Options {
	return org.Options{Log: n.log, GatewayConfig: n.opts.GatewayConfig}
}

// folder opens the i-th organisation's folder, or prepares the one that is to be made.
func (n *Network) folder(i int) (*org.Folder, error) {
	dir := n.orgDir(n.topology.Orgs[i].Name)
	f, err := org.Open(dir, n.orgOptions())
	if errors.Is(err, org.ErrNoFolder) {
		return org.Prepare(dir, n.topology.spec(i, n.state), n.orgOptions())
	}
	return f, err
}

// Org opens the folder of one organisation.
func (n *Network) Org(name string) (*org.Folder, error) {
	for i, o := range n.topology.Orgs {
		if o.Name == name {
			return n.folder(i)
		}
	}
	return nil, fmt.Errorf("organisation %q is not in this network", name)
}

// folders opens all.
func (n *Network) folders() ([]*org.Folder, error) {
	var all []*org.Folder
	for i := range n.topology.Orgs {
		f, err := n.folder(i)
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}

// each does something for every organisation, side by side. One that fails is no reason to leave
// the others half done.
func (n *Network) each(do func(i int) error) error {
	var group errgroup.Group
	errs := make([]error, len(n.topology.Orgs))
	for i := range n.topology.Orgs {
		group.Go(func() error {
			errs[i] = do(i)
			return nil
		})
	}
	_ = group.Wait() // every error is in errs
	return errors.Join(errs...)
}

// eachFolder is each, until ctx ends or the first error.
func (n *Network) eachFolder(ctx context.Context, do func(context.Context, *org.Folder) error) error {
	all, err := n.folders()
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, f := range all {
		group.Go(func() error { return do(ctx, f) })
	}
	return group.Wait()
}

// Nodes returns the network's nodes in starting order: orderers, peers, chaincode.
func (n *Network) Nodes() []Node {
	var nodes []Node
	for _, kind := range []Kind{KindOrderer, KindPeer, KindChaincode} {
		for i := range n.topology.Orgs {
			f, err := n.folder(i)
			if err != nil {
				continue // nothing is known of it; whoever opens it says why
			}
			for _, node := range f.Nodes() {
				if node.Kind == kind {
					nodes = append(nodes, node)
				}
			}
		}
	}
	return nodes
}

// of returns the folder that a node is in.
func (n *Network) of(node string) (*org.Folder, error) {
	for _, known := range n.Nodes() {
		if known.Name == node {
			return n.Org(known.Org)
		}
	}
	return nil, fmt.Errorf("no node %q in this network", node)
}

// LogPath returns the file a node writes its log to.
func (n *Network) LogPath(node string) string {
	f, err := n.of(node)
	if err != nil {
		return filepath.Join(n.dir, "logs", node+".log") // of nobody: not there
	}
	return f.LogPath(node)
}

// StartNode starts a node if it is stopped. It does not wait until the node is of use.
func (n *Network) StartNode(ctx context.Context, name string) error {
	f, err := n.of(name)
	if err != nil {
		return err
	}
	return f.Start(ctx, name)
}

// Kill sends a signal to a node, and after SIGKILL waits until the process is gone. A node that is
// stopped already is not an error.
func (n *Network) Kill(ctx context.Context, node string, sig syscall.Signal) error {
	f, err := n.of(node)
	if err != nil {
		return err
	}
	return f.Kill(ctx, node, sig)
}

// Status asks every node, all at once. A node that does not answer is part of the report and not
// an error.
func (n *Network) Status(ctx context.Context) ([]NodeStatus, error) {
	if err := n.load(); err != nil {
		return nil, err
	}
	all, err := n.folders()
	if err != nil {
		return nil, err
	}
	reports := make([][]NodeStatus, len(all))
	var group errgroup.Group
	for i, f := range all {
		group.Go(func() error {
			var err error
			reports[i], err = f.Status(ctx)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var report []NodeStatus
	for _, node := range n.Nodes() { // in their order
		for _, r := range reports {
			for _, s := range r {
				if s.Node == node.Name {
					report = append(report, s)
				}
			}
		}
	}
	org.MarkBehind(report)
	return report, nil
}
