package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

func newPolicySimulateCmd(a *app) *cobra.Command {
	var file string
	var releases int
	cmd := &cobra.Command{
		Use: "simulate -f FILE", Short: "Say what a policy would have decided about the last releases", Args: operands(),
		Example: examples(`waybill policy simulate -f policy.yaml --releases 100`),
		Long:    "Judge the last releases again, with today's facts, under the policy in force and\nunder the file: what would change before anybody votes. Nothing is written.",
		RunE: a.withTimeout(func(ctx context.Context, _ []string) error {
			p, _, err := a.readPolicy(file)
			if err != nil {
				return err
			}
			return query(ctx, a, func(c gatewayAPI) (*waybillv1.SimulatePolicyResponse, error) {
				return c.SimulatePolicy(ctx, p.Canonical(), releases)
			}, writeSimulation)
		}),
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "the policy's file")
	cmd.Flags().IntVar(&releases, "releases", 0, "how many of the last releases (0 is 50)")
	requireFlags(cmd, "file")
	return cmd
}

func writeSimulation(w io.Writer, res *waybillv1.SimulatePolicyResponse) {
	t := table("STAGE", "IMAGE", "RELEASED", "IN FORCE SAYS", "THE FILE SAYS", "WHY")
	for _, r := range res.GetReleases() {
		why := []string{}
		for _, x := range r.GetReasons() {
			if x.GetOutcome() != string(policy.Satisfied) && x.GetOutcome() != string(policy.Waived) {
				why = append(why, x.GetRule()+": "+x.GetDetail())
			}
		}
		after := r.GetAfter()
		if r.GetChanged() {
			after += " (changed)"
		}
		t.row(r.GetStage(), r.GetHost()+"/"+r.GetRepository()+"@"+short(r.GetDigest()), when(r.GetReleasedAt()), r.GetBefore(), after, dash(strings.Join(why, "; ")))
	}
	t.write(w, "the policy governs no release yet")
	if len(res.GetReleases()) > 0 {
		fmt.Fprintf(w, "\n%d of %d would change\n", res.GetChanged(), len(res.GetReleases()))
	}
}
