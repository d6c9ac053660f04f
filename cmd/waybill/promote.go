package main

import (
	"context"

	"github.com/spf13/cobra"
)

// decisionHelp says what the exit code of a decision on a promotion means.
const decisionHelp = "\n\nThe exit code is the verdict that follows: 0 released, 12 recorded, and more is\nneeded.\n\n" + exitHelp

func newPromoteCmd(a *app) *cobra.Command {
	var stage string
	cmd := &cobra.Command{
		Use: "promote IMAGE --to STAGE", Short: "Request the release of an image to a stage", Args: operands("IMAGE"),
		Long:    "Request the release of an image to a stage. It is released once the rules of the\npolicy are met, for instance when the last approval came." + decisionHelp,
		Example: examples("waybill promote reg.example/app:1.0 --to production --as vendor/publisher"),
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			return a.decide(ctx, "requested promotion of", "promotion:Request", args[0], stage, fixedArgs())
		}),
	}
	stageFlag(cmd, &stage)
	return cmd
}

func newWithdrawCmd(a *app) *cobra.Command {
	return newReasonedCmd(a, reasoned{
		name: "withdraw", short: "Withdraw your organisation's approval",
		long: "Withdraw your organisation's approval. It can be until the image is released.",
		why:  "the scan was of another build", signer: "security/release-manager",
		done: "withdrew the approval of", fn: "promotion:Withdraw", args: reasonOnly,
	})
}

// reasoned is a decision on an image and a stage that says why.
type reasoned struct {
	name, short, long string
	why, signer       string // of the example
	done              string // what is printed, before the image
	fn                string // the contract's function
	args              func(stage, reason *string) extraArgs
}

// reasonOnly is the argument of a decision that is about an image, a stage and nothing else.
func reasonOnly(_, reason *string) extraArgs { return fixedArgs(reason) }

func newReasonedCmd(a *app, r reasoned) *cobra.Command {
	var stage, reason string
	cmd := &cobra.Command{
		Use: r.name + " IMAGE --to STAGE --reason REASON", Short: r.short, Long: r.long + decisionHelp, Args: operands("IMAGE"),
		Example: examples("waybill "+r.name+" reg.example/app:1.0 --to production \\", "    --reason \""+r.why+"\" --as "+r.signer),
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			return a.decide(ctx, r.done, r.fn, args[0], stage, r.args(&stage, &reason))
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
