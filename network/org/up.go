package org

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sync/errgroup"

	"github.com/waybill-dev/waybill/network/disk"
)

// Joined tells whether the folder has the channel's first block: then it takes part.
func (f *Folder) Joined() (bool, error) { return disk.Exists(f.GenesisPath()) }

// Up starts what is stopped and returns when the nodes are of use: orderer and peer are in the
// channel, and the chaincode is installed. An organisation that has not joined a channel has
// nothing to start, which is an error.
func (f *Folder) Up(ctx context.Context) error {
	joined, err := f.Joined()
	if err != nil {
		return err
	}
	if !joined {
		return fmt.Errorf("%s has not joined a channel yet: it has no first block", f.spec.Name)
	}
	f.step(ctx, "starting the nodes of "+f.spec.Name)
	if err := f.Start(ctx); err != nil {
		return err
	}
	f.step(ctx, "waiting until "+f.spec.Name+" is in the channel")
	if err := f.join(ctx); err != nil {
		return err
	}
	return f.Settle(ctx)
}

// Stop stops those nodes, or all when none is named, a supervisor first. Everything on disk is kept. A single node that is
// supervised is started again at once.
func (f *Folder) Stop(ctx context.Context, names ...string) error {
	if err := f.load(); err != nil {
		return err
	}
	nodes, err := f.named(names)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		// It would start again what is stopped behind its back.
		if err := f.stopNode(ctx, supervisorName, supervisorGrace); err != nil {
			return err
		}
	}
	unlock, err := f.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if supervised, err := f.supervised(); err != nil {
		return err
	} else if supervised {
		for _, node := range nodes {
			if err := disk.Write(f.stoppedPath(node.Name), nil, 0o600); err != nil {
				return err
			}
		}
	}
	// Not errgroup.WithContext: one that will not stop is no reason to leave the others running.
	var group errgroup.Group
	errs := make([]error, len(nodes))
	for i, node := range nodes {
		group.Go(func() error {
			errs[i] = f.stopNode(ctx, node.Name, stopGrace)
			return nil
		})
	}
	_ = group.Wait() // every error is in errs
	if len(names) == 0 {
		errs = append(errs, f.stopNode(ctx, keeperName, stopGrace))
	}
	return errors.Join(errs...)
}

// Remove stops every node and removes the organisation with its keys and ledgers.
func (f *Folder) Remove(ctx context.Context) error {
	if err := f.Stop(ctx); err != nil {
		return err
	}
	return os.RemoveAll(f.dir)
}
