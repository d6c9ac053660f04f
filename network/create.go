package network

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/network/channel"
	"github.com/waybill-dev/waybill/network/disk"
	"github.com/waybill-dev/waybill/network/org"
)

// create makes what is missing on disk. Each file is written whole, and those that others depend
// on are never replaced, so a crash at any point is repaired by calling it again.
func (n *Network) create(ctx context.Context) error {
	if err := n.choosePrograms(ctx); err != nil {
		return err
	}
	// What was approved stays, even if a later Waybill packs differently.
	if n.state.PackageID == "" {
		_, id, err := org.Package(n.topology.Chaincode, org.FirstVersion)
		if err != nil {
			return err
		}
		n.state.PackageID = id
	}
	// First of all: from here on the directory is known to be ours.
	if err := n.save(); err != nil {
		return err
	}
	have, err := disk.Exists(n.genesisPath())
	if err != nil {
		return err
	}
	if !have {
		n.step(ctx, "making keys and the first block")
	}
	err = n.each(func(i int) error {
		_, err := org.Create(ctx, n.orgDir(n.topology.Orgs[i].Name), n.topology.spec(i, n.state), n.orgOptions())
		return err
	})
	if err != nil {
		return err
	}
	if !have {
		if err := n.makeGenesis(); err != nil {
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
	if have, err := disk.Exists(n.state.Tools.Peer); err != nil || !have {
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
	if have, err := disk.Exists(n.state.ChaincodeBinary); err == nil && have {
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
		if have, err := disk.Exists(beside); err == nil && have {
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

// makeGenesis makes the channel's first block, of the descriptors that the organisations export, as
// they would on hosts of their own. It exists once in a network's life: each node pins it, and so
// does every proof.
func (n *Network) makeGenesis() error {
	var orgs []channel.Descriptor
	for i := range n.topology.Orgs {
		f, err := n.folder(i)
		if err != nil {
			return err
		}
		file, err := f.Export()
		if err != nil {
			return fmt.Errorf("export %s: %w", n.topology.Orgs[i].Name, err)
		}
		d, err := channel.Open(file)
		if err != nil {
			return fmt.Errorf("export %s: %w", n.topology.Orgs[i].Name, err)
		}
		orgs = append(orgs, d)
	}
	block, err := channel.Found(channel.Parameters{Channel: n.topology.Channel}, orgs)
	if err != nil {
		return fmt.Errorf("make first block: %w", err)
	}
	raw, err := proto.Marshal(block)
	if err != nil {
		return fmt.Errorf("make first block: %w", err)
	}
	return disk.Write(n.genesisPath(), raw, 0o644)
}
