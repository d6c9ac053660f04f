package main

import (
	"context"

	"github.com/spf13/cobra"
)

// decisionHelp says what the exit code of a decision on a promotion means.
const decisionHelp = "The exit code is the\nverdict that follows from the act: 0 released, 12 recorded and more is needed.\n\n" + exitHelp

func newPromoteCmd(a *app) *cobra.Command {
	var stage string
	cmd := &cobra.Command{
		Use: "promote IMAGE --to STAGE", Short: "Request the release of an image to a stage", Args: operands("IMAGE"),
		Long: "Request the release of an image to a stage. " + decisionHelp,
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			return a.decide(ctx, "requested promotion of", "promotion:Request", args[0], stage, fixedArgs())
		}),
	}
	stageFlag(cmd, &stage)
	return cmd
}

func newWithdrawCmd(a *app) *cobra.Command {
	return newReasonedCmd(a, "withdraw IMAGE --to STAGE --reason REASON", "Withdraw your organisation's approval", "Until the image is released. ", "withdrew the approval of", "promotion:Withdraw", reasonOnly)
}

// reasonOnly is the argument of a decision that is about an image, a stage and nothing else.
func reasonOnly(_, reason *string) extraArgs { return fixedArgs(reason) }

// newReasonedCmd makes a command for a decision on an image and a stage that says why.
func newReasonedCmd(a *app, use, short, more, done, fn string, says func(stage, reason *string) extraArgs) *cobra.Command {
	var stage, reason string
	cmd := &cobra.Command{
		Use: use, Short: short, Long: short + ". " + more + decisionHelp, Args: operands("IMAGE"),
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			return a.decide(ctx, done, fn, args[0], stage, says(&stage, &reason))
		}),
	}
	stageFlag(cmd, &stage)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	requireFlags(cmd, "reason")
	return cmd
}

func stageFlag(cmd *cobra.Command, stage *string) {
	cmd.Flags().StringVar(stage, "to", "", "the stage, as the policy names it")
	requireFlags(cmd, "to")
}
