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
			return a.decide(ctx, "requested promotion of", "promotion:Request", args[0], stage, typed())
		}),
	}
	stageFlag(cmd, &stage)
	return cmd
}

func newWithdrawCmd(a *app) *cobra.Command {
	return newReasonedCmd(a, "withdraw IMAGE --to STAGE --reason REASON", "Withdraw your organisation's approval", "Until the image is released. ", "withdrew the approval of", "promotion:Withdraw", justReason)
}

// justReason is what an act says that is about an image, a stage and nothing else.
func justReason(_, reason *string) words { return typed(reason) }

// newReasonedCmd makes a command whose act is on an image and a stage, and says why.
func newReasonedCmd(a *app, use, short, more, said, fn string, says func(stage, reason *string) words) *cobra.Command {
	var stage, reason string
	cmd := &cobra.Command{
		Use: use, Short: short, Long: short + ". " + more + actHelp, Args: operands("IMAGE"),
		RunE: a.do(func(ctx context.Context, args []string) error {
			return a.decide(ctx, said, fn, args[0], stage, says(&stage, &reason))
		}),
	}
	stageFlag(cmd, &stage)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	require(cmd, "reason")
	return cmd
}

func stageFlag(cmd *cobra.Command, stage *string) {
	cmd.Flags().StringVar(stage, "to", "", "the stage, as the policy names it")
	require(cmd, "to")
}
