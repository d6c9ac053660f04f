package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/network/org"
)

func newOrgRestartCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "restart NODE", Short: "Stop one node and start it, return when it is of use", Args: operands("NODE"),
		Example: examples(`waybill org restart orderer`),
		Long: `Stop one node and start it: peer, orderer, chaincode or gateway. Where a
supervisor runs (waybill org up --foreground), it is the one who starts it.`,
		RunE: a.withoutTimeout(func(ctx context.Context, args []string) error {
			f, err := a.ownOrg()
			if err != nil {
				return err
			}
			return a.eachNode(f, args, func(n org.Node) error {
				if f.Spec().Elsewhere {
					return orgHint(org.ErrElsewhere)
				}
				if err := f.Stop(ctx, n.Name); err != nil {
					return err
				}
				return startNode(ctx, f, n)
			})
		}),
	}
}

// eachNode does something for the nodes of these names, one after the other, once all of them are known.
func (a *app) eachNode(f *org.Folder, names []string, do func(org.Node) error) error {
	var nodes []org.Node
	for _, name := range names {
		n, err := f.Find(name)
		if err != nil {
			return hint(usagef("there is no node %q", name), "there are: %v", kindsOf(f))
		}
		nodes = append(nodes, n)
	}
	for _, n := range nodes {
		if err := do(n); err != nil {
			return err
		}
		a.notice("done: %s", n.Name)
	}
	return nil
}

// startNode starts a node and waits until it answers.
func startNode(ctx context.Context, f *org.Folder, n org.Node) error {
	if err := f.Start(ctx, n.Name); err != nil {
		return orgHint(err)
	}
	return orgHint(f.Answers(ctx, n))
}
