package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

func newWaiverCmd(a *app) *cobra.Command {
	cmd := parentCmd("waiver", "Exceptions to a rule, approved and with an end")
	cmd.Example = examples(
		`waybill waiver request reg.example/app:1.0 --to production \`,
		`    --rule soak --reason "hotfix" --for 24h --as vendor/release-manager`,
		`waybill waiver list --repository reg.example/app`,
	)
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
		Example: examples(
			`waybill waiver request reg.example/app:1.0 --to production \`,
			`    --rule soak --reason "hotfix" --for 24h --as vendor/release-manager`,
		),
		Long: `Ask for an exception to one rule of a stage, for one image or for every image of
a repository. RULE is named as waybill explain names it: evidence/scan, soak.
The exception counts once the organisations that the policy names approved it,
and ends at its time.`,
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			if lasts > 0 {
				// The ledger's clock is the transaction's; rules are at minute grain.
				until = time.Now().UTC().Add(lasts).Truncate(time.Minute).Format(time.RFC3339)
			}
			if until == "" {
				return usagef("a waiver ends: want --for DURATION or --until TIME")
			}
			return a.requestWaiver(ctx, args[0], stage, rule, reason, until)
		}),
	}
	stageFlag(cmd, &stage)
	cmd.Flags().StringVar(&rule, "rule", "", "the rule, as a verdict names it")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	cmd.Flags().DurationVar(&lasts, "for", 0, "how long it lasts, as 24h")
	cmd.Flags().StringVar(&until, "until", "", "when it ends (RFC 3339), instead of --for")
	requireFlags(cmd, "rule", "reason")
	return cmd
}

// requestWaiver asks for a waiver of what was typed, and compares the answer with that.
func (a *app) requestWaiver(ctx context.Context, of, stage, rule, reason, until string) error {
	ends, err := time.Parse(time.RFC3339, until)
	if err != nil {
		return usagef("--until %q: want a time as in 2026-03-02T09:00:00Z", until)
	}
	p, err := a.signerPeer()
	if err != nil {
		return err
	}
	defer p.close()
	var ref provenance.Reference
	digest := ""
	if ref.Host, ref.Repository, err = parseRepository(of); err != nil {
		if ref, err = p.image(ctx, of); err != nil {
			return err
		}
		digest = ref.Digest.String()
	}
	r, err := p.submit(ctx, nil, "waiver:Request", string(ref.Host), string(ref.Repository), digest, stage, rule, reason, until)
	if err != nil {
		return err
	}
	w, err := result[state.Waiver](r)
	if err != nil {
		return err
	}
	if w.Host != ref.Host || w.Repository != ref.Repository || w.Digest != ref.Digest || w.Stage != stage || w.Rule != rule || w.Reason != reason || !w.Until.Equal(ends.Truncate(time.Second)) {
		return mismatch("transaction "+r.TxID, "a waiver of "+rule+" for "+of+" to "+stage+" until "+until, "waiver "+describeWaiver(w))
	}
	return a.printCommitted(r, nil, "requested waiver %s of %s for %s to %s until %s", w.ID, rule, of, stage, w.Until.Format(time.DateTime))
}

func newWaiverActCmd(a *app, use, short, fn, done string, reasoned bool) *cobra.Command {
	var reason string
	example := ""
	if reasoned {
		example = ` --reason "it is fixed"`
	}
	cmd := &cobra.Command{
		Use: use + " HOST/REPOSITORY ID", Short: short, Args: operands("HOST/REPOSITORY", "ID"),
		Example: examples("waybill waiver "+use+" reg.example/app $ID"+example+" \\", "    --as security/release-manager"),
		Long:    short + ". ID is the whole id. Your own\norganisation's peer says what it is; it is shown, and hashed on this machine:\nthe id that is signed is that hash.",
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			host, repo, err := parseRepository(args[0])
			if err != nil {
				return err
			}
			p, err := a.signerPeer()
			if err != nil {
				return err
			}
			defer p.close()
			w, err := p.waiver(ctx, host, repo, args[1])
			if err != nil {
				return err
			}
			a.notice("waiver %s: %s", w.ID, describeWaiver(w))
			values := []string{string(host), string(repo), w.ID}
			if reasoned {
				values = append(values, reason)
			}
			r, err := p.submit(ctx, nil, fn, values...)
			if err != nil {
				return err
			}
			after, err := result[state.Waiver](r)
			if err != nil {
				return err
			}
			if after.ID != w.ID || after.Hash() != w.ID {
				return mismatch("transaction "+r.TxID, "waiver "+w.ID, "waiver "+after.ID)
			}
			return a.printCommitted(r, nil, "%s %s", done, w.ID)
		}),
	}
	if reasoned {
		cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
		requireFlags(cmd, "reason")
	}
	return cmd
}

// waiver reads a waiver of a repository and makes sure that it is what its id
// names: all that was asked for, by whom and when.
func (p ownPeer) waiver(ctx context.Context, host provenance.Host, repo provenance.Repository, typed string) (state.Waiver, error) {
	if err := requireFullID("waiver", typed, "waybill waiver list"); err != nil {
		return state.Waiver{}, err
	}
	w, err := await(ctx, p, func() (state.Waiver, error) {
		all, err := evaluate[[]state.Waiver](ctx, p, "waiver:List", string(host), string(repo))
		if err != nil {
			return state.Waiver{}, err
		}
		at := slices.IndexFunc(all, func(w state.Waiver) bool { return w.ID == typed })
		if at < 0 {
			return state.Waiver{}, provenance.Errorf(provenance.NotFound, "no waiver %s of %s/%s", typed, host, repo)
		}
		return all[at], nil
	})
	if err != nil {
		return w, err
	}
	if id := w.ID; w.Hash() != id || w.Host != host || w.Repository != repo {
		return w, provenance.Errorf(provenance.Internal, "what %s's peer shows as waiver %.12s (%s) is not what that id names", p.me.org.Org, id, describeWaiver(w))
	}
	return w, nil
}

// describeWaiver says in a line what a waiver lets pass.
func describeWaiver(w state.Waiver) string {
	of := string(w.Host) + "/" + string(w.Repository)
	if w.Digest.IsZero() {
		of = "every image of " + of
	} else {
		of += "@" + w.Digest.String()
	}
	return fmt.Sprintf("%s of stage %s is waived for %s until %s, asked for by %s: %s", w.Rule, w.Stage, of, w.Until.UTC().Format(time.DateTime), w.By, w.Reason)
}

func newWaiverListCmd(a *app) *cobra.Command {
	var repository string
	cmd := &cobra.Command{
		Use: "list", Short: "List waivers and how they stand", Args: operands(),
		Example: examples(`waybill waiver list --repository reg.example/app`),
		RunE: a.withTimeout(func(ctx context.Context, _ []string) error {
			return query(ctx, a, func(c gatewayAPI) (*waybillv1.ListWaiversResponse, error) { return c.ListWaivers(ctx, repository) }, func(w io.Writer, res *waybillv1.ListWaiversResponse) {
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
