package org

import (
	"context"
	"fmt"

	"github.com/hyperledger/fabric-gateway/pkg/client"
)

// probeFunction reads one key and needs no role; it is answered before there is any member.
const probeFunction = "policy:List"

// Endorses returns when the organisation's own peer endorses. Others may be down: it does not ask
// whether they are ready.
func (f *Folder) Endorses(ctx context.Context) error { return f.awaitProbe(ctx, f.spec.MSPID) }

// Ready returns when the organisation's own peer endorses and finds enough others to satisfy the
// endorsement policy. Listening ports and healthy processes do not say that: after a start,
// endorsement fails until the peers have heard of each other.
func (f *Folder) Ready(ctx context.Context) error {
	if err := f.Endorses(ctx); err != nil {
		return err
	}
	return f.awaitProbe(ctx)
}

// Decides returns when the peer finds enough organisations that endorse, its own among them or not: a
// definition that was just committed is of use once peers have told each other that they run it.
func (f *Folder) Decides(ctx context.Context) error { return f.awaitProbe(ctx) }

func (f *Folder) awaitProbe(ctx context.Context, msps ...string) error {
	c, err := f.dial(robot)
	if err != nil {
		return err
	}
	defer c.close()
	return f.await(ctx, func(ctx context.Context) error { return c.probe(ctx, msps...) }, f.node(KindPeer), f.node(KindChaincode))
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
