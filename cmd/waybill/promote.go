package main

import (
	"context"
	"encoding/json"
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
			return a.decide(ctx, "requested promotion of", "promotion:Request", args[0], stage)
		}),
	}
	stageFlag(cmd, &stage)
	return cmd
}

func newApproveCmd(a *app) *cobra.Command {
	var stage, reason, ref, set string
	cmd := &cobra.Command{
		Use: "approve IMAGE --to STAGE", Short: "Approve a promotion for your organisation", Args: operands("IMAGE"),
		Long: `Approve a promotion for your organisation. What is signed is the digest, the
stage, the policy version and the hash of the evidence: by default those the
gateway's verdict shows now, or those you reviewed, named by --policy and
--evidence-set (both are in the JSON of waybill verify). When either has
changed the approval is refused (WB_STALE): look again.

The last approval a policy asks for releases the image in the same
transaction. ` + actHelp,
		RunE: a.do(func(ctx context.Context, args []string) error {
			if _, _, err := a.signer(); err != nil {
				return err // before a gateway is asked for anything
			}
			if ref == "" || set == "" {
				v, err := a.verdict(ctx, args[0], stage)
				if err != nil {
					return err
				}
				if v.Policy == nil || v.EvidenceSet == "" {
					if err := a.printVerdict(v); err != nil {
						return err
					}
					return answered(v)
				}
				if ref == "" {
					ref = policyRef(*v.Policy)
				}
				if set == "" {
					set = v.EvidenceSet
				}
				args[0] = v.Image // the tag may have moved since
				a.notice("approving %s under policy %s with evidence %.12s", v.Digest.Short(), ref, set)
			}
			return a.decide(ctx, "approved promotion of", "promotion:Approve", args[0], stage, ref, set, reason)
		}),
	}
	stageFlag(cmd, &stage)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	cmd.Flags().StringVar(&ref, "policy", "", "the policy version that was reviewed, as NAME@VERSION")
	cmd.Flags().StringVar(&set, "evidence-set", "", "the hash of the evidence that was reviewed")
	return cmd
}

// policyRef names a policy version as an approver signs it.
func policyRef(v policy.Version) string { return fmt.Sprintf("%s@%d", v.Name, v.Version) }

func newRejectCmd(a *app) *cobra.Command {
	return newReasonedCmd(a, "reject IMAGE --to STAGE --reason REASON", "Reject a promotion for your organisation", "", "rejected promotion of", "promotion:Reject")
}

func newWithdrawCmd(a *app) *cobra.Command {
	return newReasonedCmd(a, "withdraw IMAGE --to STAGE --reason REASON", "Withdraw your organisation's approval", "Until the image is released. ", "withdrew the approval of", "promotion:Withdraw")
}

func newBreakGlassCmd(a *app) *cobra.Command {
	return newReasonedCmd(a, "break-glass IMAGE --to STAGE --reason REASON", "Release in an emergency, without rules the policy lets go",
		"It makes a debt: another organisation reviews\nthe release in time, or the image is quarantined. A refusal is recorded. ", "broke the glass for", "release:BreakGlass")
}

func newReviewCmd(a *app) *cobra.Command {
	return newReasonedCmd(a, "review IMAGE --to STAGE --reason REASON", "Accept another organisation's break-glass release", "", "reviewed the release of", "release:Review")
}

func newReasonedCmd(a *app, use, short, more, said, fn string) *cobra.Command {
	var stage, reason string
	cmd := &cobra.Command{
		Use: use, Short: short, Long: short + ". " + more + actHelp, Args: operands("IMAGE"),
		RunE: a.do(func(ctx context.Context, args []string) error {
			return a.decide(ctx, said, fn, args[0], stage, reason)
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
			return a.decide(ctx, "asked to release", "release:Release", args[0], stage)
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

// parseRepository reads HOST/REPOSITORY from a command line.
func parseRepository(s string) (provenance.Host, provenance.Repository, error) {
	ref, err := provenance.ParseReference(s + "@" + provenance.SHA256Of(nil).String())
	if err != nil {
		return "", "", hint(usageError{fmt.Errorf("%q is no host/repository", s)}, "as in reg.example:5000/team/app")
	}
	return ref.Host, ref.Repository, nil
}

// printVerdict prints a verdict in the format that was asked for.
func (a *app) printVerdict(v policy.Verdict) error {
	return a.emit(v, func(w io.Writer) { a.writeVerdict(w, v) })
}

// result reads what a transaction returned.
func result[T any](r receipt) (T, error) {
	var v T
	if err := json.Unmarshal(r.Result, &v); err != nil {
		return v, fmt.Errorf("read the result of transaction %s: %w", r.TxID, err)
	}
	return v, nil
}

func stageFlag(cmd *cobra.Command, stage *string) {
	cmd.Flags().StringVar(stage, "to", "", "the stage, as the policy names it")
	require(cmd, "to")
}
