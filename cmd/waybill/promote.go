package main

import (
	"context"

	"github.com/spf13/cobra"
)

// actHelp says how an act on a promotion ends.
const actHelp = "The exit code is the\nverdict that follows from the act: 0 released, 12 recorded and more is needed.\n\n" + exitHelp

func newPromoteCmd(a *app) *cobra.Command {
	var stage string
	cmd := &cobra.Command{
		Use: "promote IMAGE --to STAGE", Short: "Request the release of an image to a stage", Args: operands("IMAGE"),
		Long: "Request the release of an image to a stage. " + actHelp,
		RunE: a.do(func(ctx context.Context, args []string) error {
			return a.decide(ctx, "requested promotion of", "promotion:Request", args[0], stage)
		}),
	}
	stageFlag(cmd, &stage)
	return cmd
}

func newApproveCmd(a *app) *cobra.Command {
	var stage, reason string
	cmd := &cobra.Command{
		Use: "approve IMAGE --to STAGE", Short: "Approve a promotion for your organisation", Args: operands("IMAGE"),
		Long: "Approve a promotion for your organisation. The last approval a policy asks for\nreleases the image in the same transaction. " + actHelp,
		RunE: a.do(func(ctx context.Context, args []string) error {
			return a.decide(ctx, "approved promotion of", "promotion:Approve", args[0], stage, reason)
		}),
	}
	stageFlag(cmd, &stage)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	return cmd
}

func newRejectCmd(a *app) *cobra.Command {
	var stage, reason string
	cmd := &cobra.Command{
		Use: "reject IMAGE --to STAGE --reason REASON", Short: "Reject a promotion for your organisation", Args: operands("IMAGE"),
		Long: "Reject a promotion for your organisation. " + actHelp,
		RunE: a.do(func(ctx context.Context, args []string) error {
			return a.decide(ctx, "rejected promotion of", "promotion:Reject", args[0], stage, reason)
		}),
	}
	stageFlag(cmd, &stage)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	require(cmd, "reason")
	return cmd
}

func newReleaseCmd(a *app) *cobra.Command {
	var stage string
	cmd := &cobra.Command{
		Use: "release IMAGE --to STAGE", Short: "Release an image again, or roll back to it", Args: operands("IMAGE"),
		Long: "Make an image the stage's current one again. The rules are asked anew,\nand a refusal is recorded. " + actHelp,
		RunE: a.do(func(ctx context.Context, args []string) error {
			return a.decide(ctx, "asked to release", "release:Release", args[0], stage)
		}),
	}
	stageFlag(cmd, &stage)
	return cmd
}

func stageFlag(cmd *cobra.Command, stage *string) {
	cmd.Flags().StringVar(stage, "to", "", "the stage, as the policy names it")
	require(cmd, "to")
}
