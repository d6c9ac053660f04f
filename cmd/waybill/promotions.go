package main

import (
	"context"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

func newPromotionsCmd(a *app) *cobra.Command {
	q := &waybillv1.ListPromotionsRequest{}
	cmd := &cobra.Command{
		Use: "promotions", Short: "List requests to release, newest first", Args: operands(),
		Example: examples(`waybill promotions --stage production --status open`),
		RunE: a.withTimeout(func(ctx context.Context, _ []string) error {
			return query(ctx, a, func(c gatewayAPI) (*waybillv1.ListPromotionsResponse, error) { return c.ListPromotions(ctx, q) }, func(w io.Writer, res *waybillv1.ListPromotionsResponse) {
				writePromotions(w, res.GetPromotions())
				nextPage(w, res.GetNextPageToken())
			})
		}),
	}
	cmd.Flags().StringVar(&q.Stage, "stage", "", "only of this stage")
	cmd.Flags().StringVar(&q.Repository, "repository", "", "only of this host/repository")
	cmd.Flags().StringVar(&q.Status, "status", "", "only open, released, rejected, withdrawn or expired ones")
	pageFlags(cmd, &q.PageSize, &q.PageToken)
	return cmd
}

func writePromotions(w io.Writer, promotions []*waybillv1.Promotion) {
	t := table("STAGE", "IMAGE", "STATUS", "REQUESTED", "BY", "DECISIONS")
	for _, p := range promotions {
		decisions := []string{}
		for _, x := range p.GetApprovals() {
			decision := "approved by "
			if x.GetReject() {
				decision = "rejected by "
			}
			decision += who(x.GetBy())
			if x.GetReason() != "" {
				decision += " (" + x.GetReason() + ")"
			}
			decisions = append(decisions, decision)
		}
		t.row(p.GetStage(), p.GetHost()+"/"+p.GetRepository()+"@"+short(p.GetDigest()), p.GetStatus(), when(p.GetAt()), who(p.GetRequester()), dash(strings.Join(decisions, "; ")))
	}
	t.write(w, "no promotion was requested: waybill promote IMAGE --to STAGE")
}
