package network

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/waybill-dev/waybill/network/org"
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
	if err := n.adopt(); err != nil {
		return err
	}
	// Before the directory is bound to its ports for good.
	if err := n.checkPorts(); err != nil {
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

func (n *Network) checkPorts() error {
	all, err := n.folders()
	if err != nil {
		return err
	}
	for _, f := range all {
		if err := f.CheckPorts(); err != nil {
			return err
		}
	}
	return nil
}

// bringUp is what organisations on hosts of their own do one by one.
func (n *Network) bringUp(ctx context.Context) error {
	genesis, err := os.ReadFile(n.genesisPath())
	if err != nil {
		return err
	}
	n.step(ctx, fmt.Sprintf("starting %d organisations from port %d", len(n.topology.Orgs), n.topology.PortBase))
	if err := n.eachFolder(ctx, func(ctx context.Context, f *org.Folder) error { return f.Join(ctx, genesis) }); err != nil {
		return err
	}
	n.step(ctx, "agreeing on the chaincode")
	if err := n.eachFolder(ctx, func(ctx context.Context, f *org.Folder) error { return f.Approve(ctx) }); err != nil {
		return err
	}
	first, err := n.folder(0)
	if err != nil {
		return err
	}
	if err := first.AwaitCommit(ctx); err != nil {
		return err
	}
	n.step(ctx, "waiting until every organisation endorses")
	return n.WaitReady(ctx)
}

// WaitReady returns when, for every organisation, its own peer endorses and its gateway finds
// enough others to satisfy the endorsement policy.
func (n *Network) WaitReady(ctx context.Context) error {
	return n.eachFolder(ctx, func(ctx context.Context, f *org.Folder) error { return f.Ready(ctx) })
}

// StartOrg starts one organisation's nodes and waits, no longer than within, until its peer
// endorses. Other organisations may be down: it does not ask whether the whole network is ready.
func (n *Network) StartOrg(ctx context.Context, name string, within time.Duration) error {
	f, err := n.Org(name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if err := f.Up(ctx); err != nil {
		return err
	}
	return f.Endorses(ctx)
}

// StopOrg stops one organisation's nodes.
func (n *Network) StopOrg(ctx context.Context, name string) error {
	f, err := n.Org(name)
	if err != nil {
		return err
	}
	return f.Stop(ctx)
}

// Down stops every node and keeps everything on disk: the next Up continues the chain.
func (n *Network) Down(ctx context.Context) error {
	if err := n.load(); err != nil {
		return err
	}
	unlock, err := n.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return n.stop(ctx)
}

func (n *Network) stop(ctx context.Context) error {
	if err := n.adopt(); err != nil {
		return err
	}
	return n.each(func(i int) error {
		f, err := n.folder(i)
		if err != nil {
			return err
		}
		return f.Stop(ctx)
	})
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
	if err := n.stop(ctx); err != nil {
		return err
	}
	return os.RemoveAll(n.dir)
}

// adopt moves what an older version kept at the top, where its processes are known by it, to the
// organisations' own folders.
func (n *Network) adopt() error {
	for _, node := range n.Nodes() {
		for folder, ext := range map[string]string{"run": ".json", "logs": ".log"} {
			from := filepath.Join(n.dir, folder, node.Name+ext)
			to := filepath.Join(n.orgDir(node.Org), folder, node.Name+ext)
			if _, err := os.Stat(from); err != nil {
				continue
			}
			if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
				return err
			}
			if err := os.Rename(from, to); err != nil {
				return err
			}
		}
	}
	return nil
}
