package network

import (
	"context"
	"fmt"
	"slices"

	"github.com/hyperledger/fabric-admin-sdk/pkg/chaincode"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The definition does not change with the chaincode's code: the package holds none, and an
// organisation that restarts its process with other code simply stops agreeing with the others.
const (
	chaincodeVersion  = "1"
	chaincodeSequence = 1
)

// deploy makes the organisations approve the chaincode's definition and commits it. Each step
// asks first whether it has been taken, so a crash or an unknown outcome is repaired by repeating.
func (n *Network) deploy(ctx context.Context, orgs conns) error {
	// With no policy named, the channel's own holds: a majority of the organisations.
	def := &chaincode.Definition{
		ChannelName: n.topology.Channel, Name: n.topology.Chaincode, PackageID: n.state.PackageID,
		Version: chaincodeVersion, Sequence: chaincodeSequence,
	}
	group, approving := errgroup.WithContext(ctx)
	for _, c := range orgs {
		group.Go(func() error {
			return n.await(approving, func(ctx context.Context) error { return c.approve(ctx, def) }, c.peer)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	first := orgs[0]
	return n.await(ctx, func(ctx context.Context) error { return first.commit(ctx, def) }, first.peer)
}

func (c *conn) committed(ctx context.Context, def *chaincode.Definition) (bool, error) {
	all, err := chaincode.NewGateway(c.grpc, c.admin).QueryCommitted(ctx, def.ChannelName)
	if err != nil {
		return false, err
	}
	for _, d := range all.GetChaincodeDefinitions() {
		if d.GetName() == def.Name && d.GetSequence() >= def.Sequence {
			return true, nil
		}
	}
	return false, nil
}

func (c *conn) approve(ctx context.Context, def *chaincode.Definition) error {
	done, err := c.committed(ctx, def)
	if err != nil || done {
		return err
	}
	gw := chaincode.NewGateway(c.grpc, c.admin)
	// An error here also means "not yet approved", so it is not one.
	if got, err := gw.QueryApproved(ctx, def.ChannelName, def.Name, def.Sequence); err == nil {
		if got.GetSource().GetLocalPackage().GetPackageId() == def.PackageID {
			return nil
		}
	}
	return gw.Approve(ctx, def)
}

func (c *conn) commit(ctx context.Context, def *chaincode.Definition) error {
	done, err := c.committed(ctx, def)
	if err != nil || done {
		return err
	}
	gw := chaincode.NewGateway(c.grpc, c.admin)
	ready, err := gw.CheckCommitReadiness(ctx, def)
	if err != nil {
		return err
	}
	var waiting []string
	for org, approved := range ready.GetApprovals() {
		if !approved {
			waiting = append(waiting, org)
		}
	}
	if len(waiting) > 0 {
		slices.Sort(waiting)
		return fmt.Errorf("no approval seen yet from %v", waiting)
	}
	if err := gw.Commit(ctx, def); err != nil && status.Code(err) != codes.AlreadyExists {
		return err
	}
	return nil
}
