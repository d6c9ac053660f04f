package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

func newQuarantineCmd(a *app) *cobra.Command {
	return newHoldCmd(a, "quarantine", "Keep an image from running anywhere", "quarantine:Set", "quarantined")
}

func newUnquarantineCmd(a *app) *cobra.Command {
	return newHoldCmd(a, "unquarantine", "Lift your organisation's quarantine of an image", "quarantine:Lift", "lifted the quarantine of")
}

func newHoldCmd(a *app, use, short, fn, said string) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: use + " IMAGE --reason REASON", Short: short, Args: operands("IMAGE"),
		Long: short + ".\n\nA quarantine is of the content: it holds in every repository and stage, for\nevery organisation, until the organisation that set it lifts it. IMAGE may be a\ndigest alone.",
		RunE: a.do(func(ctx context.Context, args []string) error {
			if _, _, err := a.signer(); err != nil {
				return err // before a gateway is asked for anything
			}
			d, err := provenance.ParseDigest(args[0])
			if err != nil {
				ref, err := a.digestOf(ctx, args[0])
				if err != nil {
					return err
				}
				d = ref.Digest
			}
			r, err := a.act(ctx, fn, d.String(), reason)
			if err != nil {
				return err
			}
			return a.printAct(r, nil, "%s %s", said, d)
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	require(cmd, "reason")
	return cmd
}
