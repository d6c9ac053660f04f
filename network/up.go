package network

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
)

// upTimeout bounds Up when its caller does not. Building the tools comes before and is not counted.
const upTimeout = 2 * time.Minute

// Up makes what is missing, starts what is stopped, and returns when the network is of use to
// every organisation: see WaitReady. Calling it on a running network changes nothing.
func (n *Network) Up(ctx context.Context) error {
	unlock, err := n.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	// Before the directory is bound to its ports for good.
	if _, err := n.stopped(n.Nodes()); err != nil {
		return err
	}
	if err := n.create(ctx); err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, upTimeout)
	defer cancel()
	if err := n.bringUp(bounded); err != nil {
		return err
	}
	if n.state.Provisioned || n.opts.Provision == nil {
		return nil
	}
	n.step(ctx, "founding the consortium")
	if err := n.opts.Provision(ctx, n); err != nil {
		return fmt.Errorf("provision network: %w", err)
	}
	// A crash before the next line makes the next Up provision again: it must bear that.
	n.state.Provisioned = true
	return n.save()
}

func (n *Network) bringUp(ctx context.Context) error {
	n.step(ctx, fmt.Sprintf("starting %d organisations from port %d", len(n.topology.Orgs), n.topology.PortBase))
	if err := n.startNodes(ctx, n.Nodes()); err != nil {
		return err
	}
	orgs, err := n.dialAll()
	if err != nil {
		return err
	}
	defer orgs.close()
	n.step(ctx, "joining the channel and installing the chaincode")
	if err := n.join(ctx, orgs); err != nil {
		return err
	}
	n.step(ctx, "agreeing on the chaincode")
	if err := n.deploy(ctx, orgs); err != nil {
		return err
	}
	n.step(ctx, "waiting until every organisation endorses")
	return n.ready(ctx, orgs)
}

// StartOrg starts one organisation's nodes and waits, no longer than within, until its peer
// endorses. Other organisations may be down: it does not ask whether the whole network is ready.
func (n *Network) StartOrg(ctx context.Context, org string, within time.Duration) error {
	nodes, err := n.orgNodes(org)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	unlock, err := n.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := n.startNodes(ctx, nodes); err != nil {
		return err
	}
	o, err := n.dial(nodes[0].org)
	if err != nil {
		return err
	}
	defer o.close()
	if err := n.join(ctx, conns{o}); err != nil {
		return err
	}
	return n.await(ctx, func(ctx context.Context) error { return o.probe(ctx, o.org.MSPID) }, o.peer, o.chaincode)
}

// StopOrg stops one organisation's nodes.
func (n *Network) StopOrg(ctx context.Context, org string) error {
	nodes, err := n.orgNodes(org)
	if err != nil {
		return err
	}
	return n.stopNodes(ctx, nodes)
}

// Down stops every node and keeps everything on disk: the next Up continues the chain.
func (n *Network) Down(ctx context.Context) error {
	return n.stopNodes(ctx, n.Nodes())
}

func (n *Network) stopNodes(ctx context.Context, nodes []Node) error {
	if err := n.load(); err != nil {
		return err
	}
	unlock, err := n.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return n.stopAll(ctx, nodes)
}

func (n *Network) stopAll(ctx context.Context, nodes []Node) error {
	// Not errgroup.WithContext: one that will not stop is no reason to leave the others running.
	var group errgroup.Group
	errs := make([]error, len(nodes))
	for i, node := range nodes {
		group.Go(func() error {
			errs[i] = n.stopNode(ctx, node)
			return nil
		})
	}
	_ = group.Wait() // every error is in errs
	return errors.Join(errs...)
}

// Reset stops every node and removes the network with its keys and ledgers. It touches only a
// directory that holds a network.
func (n *Network) Reset(ctx context.Context) error {
	if err := n.load(); err != nil {
		return err
	}
	unlock, err := n.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := n.stopAll(ctx, n.Nodes()); err != nil {
		return err
	}
	return os.RemoveAll(n.dir)
}
