package network

import (
	"context"
	"fmt"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"golang.org/x/sync/errgroup"
)

// probeFunction reads one key and needs no role; it is answered before there is any member.
const probeFunction = "policy:List"

// WaitReady returns when, for every organisation, its own peer endorses and its gateway finds
// enough others to satisfy the endorsement policy. Listening ports and healthy processes do not
// say that: after a start, endorsement fails until the peers have heard of each other.
func (n *Network) WaitReady(ctx context.Context) error {
	orgs, err := n.dialAll()
	if err != nil {
		return err
	}
	defer orgs.close()
	return n.ready(ctx, orgs)
}

func (n *Network) ready(ctx context.Context, orgs conns) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, c := range orgs {
		group.Go(func() error {
			err := n.await(ctx, func(ctx context.Context) error { return c.probe(ctx, c.org.MSPID) }, c.peer, c.chaincode)
			if err != nil {
				return err
			}
			return n.await(ctx, func(ctx context.Context) error { return c.probe(ctx) }, c.peer, c.chaincode)
		})
	}
	return group.Wait()
}

// probe endorses, and never submits, a call by the named organisations, or by whichever the
// gateway plans when none is named.
func (c *conn) probe(ctx context.Context, msps ...string) error {
	var opts []client.ProposalOption
	if len(msps) > 0 {
		opts = append(opts, client.WithEndorsingOrganizations(msps...))
	}
	proposal, err := c.contract.NewProposal(probeFunction, opts...)
	if err != nil {
		return fmt.Errorf("make probe: %w", err)
	}
	if _, err := proposal.EndorseWithContext(ctx); err != nil {
		return fmt.Errorf("probe endorsement: %w", withDetails(err))
	}
	return nil
}
