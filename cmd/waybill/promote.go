package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
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

func newBreakGlassCmd(a *app) *cobra.Command {
	return newReasonedCmd(a, "break-glass IMAGE --to STAGE --reason REASON", "Release in an emergency, without rules the policy lets go",
		"It makes a debt: another organisation reviews\nthe release in time, or the image is quarantined. A refusal is recorded. ", "broke the glass for", "release:BreakGlass", justReason)
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

func newReleaseCmd(a *app) *cobra.Command {
	var stage string
	cmd := &cobra.Command{
		Use: "release IMAGE --to STAGE", Short: "Release an image again, or roll back to it", Args: operands("IMAGE"),
		Long: "Complete a promotion whose rules are met, or make an image that was released\nbefore the stage's current one again. A rollback pins the stage: gateways release\nnothing there by themselves until a person releases or resumes. The rules are\nasked anew, and a refusal is recorded. " + actHelp,
		RunE: a.do(func(ctx context.Context, args []string) error {
			return a.decide(ctx, "asked to release", "release:Release", args[0], stage, typed())
		}),
	}
	stageFlag(cmd, &stage)
	return cmd
}

func newResumeCmd(a *app) *cobra.Command {
	var stage string
	cmd := &cobra.Command{
		Use: "resume HOST/REPOSITORY --to STAGE", Short: "Let gateways release by themselves again after a rollback", Args: operands("HOST/REPOSITORY"),
		RunE: a.do(func(ctx context.Context, args []string) error {
			host, repo, err := parseRepository(args[0])
			if err != nil {
				return err
			}
			r, err := a.act(ctx, "release:Resume", string(host), string(repo), stage)
			if err != nil {
				return err
			}
			return a.printAct(r, nil, "resumed releases of %s to %s", args[0], stage)
		}),
	}
	stageFlag(cmd, &stage)
	return cmd
}

// parseRepository reads HOST/REPOSITORY from a command line. An image is none:
// what is asked for one image must not be signed for all.
func parseRepository(s string) (provenance.Host, provenance.Repository, error) {
	ref, err := provenance.ParseReference(s + ":tag")
	if err != nil || !ref.Digest.IsZero() {
		return "", "", hint(usageError{fmt.Errorf("%q is no host/repository", s)}, "as in reg.example:5000/team/app")
	}
	return ref.Host, ref.Repository, nil
}

// printVerdict prints a verdict in the format that was asked for.
func (a *app) printVerdict(v policy.Verdict) error {
	return a.emit(v, func(w io.Writer) { a.writeVerdict(w, v) })
}

func stageFlag(cmd *cobra.Command, stage *string) {
	cmd.Flags().StringVar(stage, "to", "", "the stage, as the policy names it")
	require(cmd, "to")
}
