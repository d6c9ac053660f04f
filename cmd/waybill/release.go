package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

func newReleaseCmd(a *app) *cobra.Command {
	var stage string
	cmd := &cobra.Command{
		Use: "release IMAGE --to STAGE", Short: "Release an image whose rules are met", Args: operands("IMAGE"),
		Long: `Complete a promotion whose rules have come to be met, for instance with time. An
image that was released before is brought back, as with waybill rollback. The
rules are judged anew, and a refusal is recorded.` + decisionHelp,
		Example: examples(`waybill release reg.example/app:1.0 --to production \`, `    --as vendor/release-manager`),
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			return a.decide(ctx, "asked to release", "release:Release", args[0], stage, fixedArgs())
		}),
	}
	stageFlag(cmd, &stage)
	return cmd
}

func newRollbackCmd(a *app) *cobra.Command {
	var stage string
	cmd := &cobra.Command{
		Use: "rollback IMAGE --to STAGE", Short: "Bring back an image that was released before", Args: operands("IMAGE"),
		Long: `Bring back an image that was released to the stage before the current one. Then
gateways release nothing to the stage by themselves until a person releases, or
resumes (waybill resume). The rules are judged anew, and a refusal is recorded.
An image that was never released to the stage is refused: promote it instead.` + decisionHelp,
		Example: examples(
			`waybill history reg.example/app --newest-first    # which image was before?`,
			`waybill rollback reg.example/app:0.9 --to production \`, `    --as vendor/release-manager`),
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			return a.decide(ctx, "asked to bring back", "release:Release", args[0], stage,
				func(ctx context.Context, p ownPeer, ref provenance.Reference) ([]string, error) {
					return nil, p.releasedBefore(ctx, ref, stage)
				})
		}),
	}
	stageFlag(cmd, &stage)
	return cmd
}

// releasedBefore is NotFound for an image that the own peer has never seen
// released to the stage: to bring it back would be its first release.
func (p ownPeer) releasedBefore(ctx context.Context, ref provenance.Reference, stage string) error {
	_, err := evaluate[releaseView](ctx, p, "release:Get", string(ref.Host), string(ref.Repository), ref.Digest.String(), stage)
	if provenance.CodeOf(err) == provenance.NotFound {
		return hint(err, "request its release with: waybill promote %s --to %s", byDigest(ref), stage)
	}
	return err
}

func newResumeCmd(a *app) *cobra.Command {
	var stage string
	cmd := &cobra.Command{
		Use: "resume HOST/REPOSITORY --to STAGE", Short: "Let gateways release by themselves again after a rollback", Args: operands("HOST/REPOSITORY"),
		Example: examples(`waybill resume reg.example/app --to production --as vendor/release-manager`),
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			host, repo, err := parseRepository(args[0])
			if err != nil {
				return err
			}
			r, err := a.submit(ctx, "release:Resume", string(host), string(repo), stage)
			if err != nil {
				return err
			}
			return a.printCommitted(r, nil, "resumed releases of %s to %s", args[0], stage)
		}),
	}
	stageFlag(cmd, &stage)
	return cmd
}

func newBreakGlassCmd(a *app) *cobra.Command {
	return newReasonedCmd(a, reasoned{
		name: "break-glass", short: "Release in an emergency, with rules left out",
		long: "Release in an emergency, without the rules that the policy lets one leave out\nthen. Another organisation must review the release in time (waybill review), or\nthe image is quarantined. A refusal is recorded.",
		why:  "site is down, this is the fix", signer: "vendor/release-manager",
		done: "asked for a break-glass release of", fn: "release:BreakGlass", args: reasonOnly,
	})
}
