package main

import (
	"context"

	"github.com/spf13/cobra"
)

func newReleaseCmd(a *app) *cobra.Command {
	var stage string
	cmd := &cobra.Command{
		Use: "release IMAGE --to STAGE", Short: "Release an image again, or roll back to it", Args: operands("IMAGE"),
		Long: "Complete a promotion whose rules are met, or make an image that was released\nbefore the stage's current one again. A rollback pins the stage: gateways release\nnothing there by themselves until a person releases or resumes. The rules are\nasked anew, and a refusal is recorded. " + decisionHelp,
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			return a.decide(ctx, "asked to release", "release:Release", args[0], stage, fixedArgs())
		}),
	}
	stageFlag(cmd, &stage)
	return cmd
}

func newResumeCmd(a *app) *cobra.Command {
	var stage string
	cmd := &cobra.Command{
		Use: "resume HOST/REPOSITORY --to STAGE", Short: "Let gateways release by themselves again after a rollback", Args: operands("HOST/REPOSITORY"),
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			host, repo, err := parseRepository(args[0])
			if err != nil {
				return err
			}
			r, err := a.submit(ctx, "release:Resume", string(host), string(repo), stage)
			if err != nil {
				return err
			}
			return a.printReceipt(r, nil, "resumed releases of %s to %s", args[0], stage)
		}),
	}
	stageFlag(cmd, &stage)
	return cmd
}

func newBreakGlassCmd(a *app) *cobra.Command {
	return newReasonedCmd(a, "break-glass IMAGE --to STAGE --reason REASON", "Release in an emergency, without rules the policy lets go",
		"It makes a debt: another organisation reviews\nthe release in time, or the image is quarantined. A refusal is recorded. ", "broke the glass for", "release:BreakGlass", reasonOnly)
}
