package network

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sync/errgroup"
)

// create makes what is missing on disk. Each file is written whole, and those that others depend
// on are never replaced, so a crash at any point is repaired by calling it again.
func (n *Network) create(ctx context.Context) error {
	if err := n.choosePrograms(ctx); err != nil {
		return err
	}
	pkg, id, err := chaincodePackage(n.topology.Chaincode)
	if err != nil {
		return err
	}
	// What was approved stays, even if a later Waybill packs differently.
	if n.state.PackageID == "" {
		n.state.PackageID = id
	}
	// First of all: from here on the directory is known to be ours.
	if err := n.save(); err != nil {
		return err
	}
	if err := writeOnce(filepath.Join(n.dir, "package.tgz"), pkg, 0o644); err != nil {
		return err
	}
	have, err := exists(n.genesisPath())
	if err != nil {
		return err
	}
	if !have {
		n.step(ctx, "making keys and the first block")
	}
	var orgs errgroup.Group
	for _, o := range n.topology.Orgs {
		orgs.Go(func() error { return n.makeCrypto(o) })
	}
	if err := orgs.Wait(); err != nil {
		return err
	}
	if err := n.makeConfig(); err != nil {
		return err
	}
	if !have {
		if err := n.makeGenesis(ctx); err != nil {
			return err
		}
	}
	return n.writeClients()
}

// choosePrograms settles which programs run the nodes.
func (n *Network) choosePrograms(ctx context.Context) error {
	if n.opts.Tools != (Tools{}) {
		n.state.Tools = n.opts.Tools
	}
	if have, err := exists(n.state.Tools.Peer); err != nil || !have {
		tools, err := BuildTools(ctx, n.opts.Progress)
		if err != nil {
			return err
		}
		n.state.Tools = tools
	}
	if n.opts.ChaincodeBinary != "" {
		bin, err := filepath.Abs(n.opts.ChaincodeBinary)
		if err != nil {
			return err
		}
		n.state.ChaincodeBinary = bin
	}
	if have, err := exists(n.state.ChaincodeBinary); err == nil && have {
		return nil
	}
	if n.opts.ChaincodeBinary != "" {
		return fmt.Errorf("chaincode program %s is not there; build it with make build", n.state.ChaincodeBinary)
	}
	bin, err := findChaincode()
	if err != nil {
		return err
	}
	n.state.ChaincodeBinary = bin
	return nil
}

func findChaincode() (string, error) {
	const name = "waybill-chaincode"
	if exe, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(exe), name)
		if have, err := exists(beside); err == nil && have {
			return beside, nil
		}
	}
	if wd, err := os.Getwd(); err == nil {
		rel := filepath.Join("bin", name)
		if root, err := above(wd, rel); err == nil {
			return filepath.Join(root, rel), nil
		}
	}
	return "", errors.New(name + " found neither beside this program nor in bin/; build it with make build")
}

// makeGenesis makes the channel's first block. It exists once in a network's life: each node
// pins it, and so does every proof.
func (n *Network) makeGenesis(ctx context.Context) error {
	yaml, err := n.channelYAML()
	if err != nil {
		return err
	}
	dir := filepath.Join(n.dir, "channel")
	if err := writeFile(filepath.Join(dir, "configtx.yaml"), yaml, 0o644); err != nil {
		return err
	}
	block := filepath.Join(dir, "genesis.block")
	cmd := exec.CommandContext(ctx, n.state.Tools.Configtxgen, "-profile", "Waybill",
		"-channelID", n.topology.Channel, "-outputBlock", block, "-configPath", dir)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "FABRIC_CFG_PATH=" + dir}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make first block: %w\n%s", err, out)
	}
	return os.Rename(block, n.genesisPath())
}
