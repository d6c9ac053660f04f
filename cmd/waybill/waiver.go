package main

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

func newWaiverCmd(a *app) *cobra.Command {
	cmd := group("waiver", "Dated exceptions to one rule, approved by organisations")
	cmd.AddCommand(newWaiverRequestCmd(a),
		newWaiverActCmd(a, "approve", "Approve a waiver for your organisation", "waiver:Approve", "approved waiver", false),
		newWaiverActCmd(a, "revoke", "End a waiver before its time", "waiver:Revoke", "revoked waiver", true),
		newWaiverListCmd(a))
	return cmd
}

func newWaiverRequestCmd(a *app) *cobra.Command {
	var stage, rule, reason, until string
	var lasts time.Duration
	cmd := &cobra.Command{
		Use: "request IMAGE|HOST/REPOSITORY --to STAGE --rule RULE --reason REASON --for DURATION", Short: "Ask for an exception to one rule", Args: operands("IMAGE|HOST/REPOSITORY"),
		Long: "Ask for an exception to one rule of a stage, for one image or for every image of a\nrepository. RULE is named as a verdict names it: evidence/scan, soak. It counts once\nthe organisations the policy names approved it, and ends at its time.",
		RunE: a.do(func(ctx context.Context, args []string) error {
			if _, _, err := a.signer(); err != nil {
				return err // before a gateway is asked for anything
			}
			if lasts > 0 {
				// The ledger's clock is the transaction's; rules are at minute grain.
				until = time.Now().UTC().Add(lasts).Truncate(time.Minute).Format(time.RFC3339)
			}
			if until == "" {
				return usagef("a waiver ends: want --for DURATION or --until TIME")
			}
			host, repo, digest := provenance.Host(""), provenance.Repository(""), ""
			var err error
			if host, repo, err = parseRepository(args[0]); err != nil {
				ref, err := a.digestOf(ctx, args[0])
				if err != nil {
					return err
				}
				host, repo, digest = ref.Host, ref.Repository, ref.Digest.String()
			}
			r, err := a.act(ctx, "waiver:Request", string(host), string(repo), digest, stage, rule, reason, until)
			if err != nil {
				return err
			}
			w, err := result[state.Waiver](r)
			if err != nil {
				return err
			}
			return a.printAct(r, nil, "requested waiver %s of %s for %s to %s until %s", w.ID, rule, args[0], stage, w.Until.Format(time.DateTime))
		}),
	}
	stageFlag(cmd, &stage)
	cmd.Flags().StringVar(&rule, "rule", "", "the rule, as a verdict names it")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	cmd.Flags().DurationVar(&lasts, "for", 0, "how long it lasts, as 24h")
	cmd.Flags().StringVar(&until, "until", "", "when it ends (RFC 3339), instead of --for")
	require(cmd, "rule", "reason")
	return cmd
}

func newWaiverActCmd(a *app, use, short, fn, said string, reasoned bool) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: use + " HOST/REPOSITORY ID", Short: short, Args: operands("HOST/REPOSITORY", "ID"),
		RunE: a.do(func(ctx context.Context, args []string) error {
			host, repo, err := parseRepository(args[0])
			if err != nil {
				return err
			}
			values := []string{string(host), string(repo), args[1]}
			if reasoned {
				values = append(values, reason)
			}
			r, err := a.act(ctx, fn, values...)
			if err != nil {
				return err
			}
			return a.printAct(r, nil, "%s %s", said, args[1])
		}),
	}
	if reasoned {
		cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
		require(cmd, "reason")
	}
	return cmd
}

func newWaiverListCmd(a *app) *cobra.Command {
	var repository string
	cmd := &cobra.Command{
		Use: "list", Short: "List waivers and how they stand", Args: operands(),
		RunE: a.do(func(ctx context.Context, _ []string) error {
			return query(ctx, a, func(c answers) (*waybillv1.ListWaiversResponse, error) { return c.ListWaivers(ctx, repository) }, func(w io.Writer, res *waybillv1.ListWaiversResponse) {
				t := table("WAIVER", "OF", "STAGE", "RULE", "STATUS", "UNTIL", "APPROVED BY", "MISSING", "REASON")
				for _, x := range res.GetWaivers() {
					of := x.GetHost() + "/" + x.GetRepository()
					if x.GetDigest() != "" {
						of += "@" + short(x.GetDigest())
					}
					t.row(x.GetId(), of, x.GetStage(), x.GetRule(), x.GetStatus(), when(x.GetUntil()), whoAll(x.GetApprovers()), dash(strings.Join(x.GetMissing(), ", ")), x.GetReason())
				}
				t.write(w, "there is no waiver")
			})
		}),
	}
	cmd.Flags().StringVar(&repository, "repository", "", "only of this host/repository")
	return cmd
}
