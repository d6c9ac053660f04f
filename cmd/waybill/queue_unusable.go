package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

func newQueueUnusableCmd(a *app) *cobra.Command {
	q := &waybillv1.ListUnusableRequest{}
	cmd := &cobra.Command{
		Use: "unusable", Short: "List what registries sent and nothing could be made of", Args: operands(),
		Long:    "What known senders sent and nothing could be made of, with the reason: events\nand whole bodies. They were answered like recorded ones, for a registry that\nis refused may repeat itself for ever. The newest 1,000 of a connector are\nkept. With -o json the body's beginning is shown as well.",
		Example: examples(`waybill queue unusable --as vendor/admin`, `waybill queue unusable -o json --as vendor/admin`),
		RunE: a.withTimeout(func(ctx context.Context, _ []string) error {
			a.ownOnly = true
			return query(ctx, a, func(c gatewayAPI) (*waybillv1.ListUnusableResponse, error) { return c.ListUnusable(ctx, q) }, func(w io.Writer, res *waybillv1.ListUnusableResponse) {
				t := table("ID", "LAST", "TIMES", "CONNECTOR", "BYTES", "SHA256", "REASON")
				for _, u := range res.GetEvents() {
					t.row(number(u.GetId()), when(u.GetLastAt()), number(u.GetTimes()), u.GetConnector(), number(u.GetSize()), short("sha256:"+u.GetSha256()), u.GetReason())
				}
				t.write(w, "everything could be used")
				for _, c := range res.GetCounts() {
					if c.GetDropped() > 0 {
						fmt.Fprintf(w, "\nconnector %s: %d more had to leave for newer ones\n", c.GetConnector(), c.GetDropped())
					}
				}
				nextPage(w, res.GetNextPageToken())
			})
		}),
	}
	pageFlags(cmd, &q.PageSize, &q.PageToken)
	return cmd
}

func newQueueRemoveCmd(a *app) *cobra.Command {
	q := &waybillv1.RemoveUnusableRequest{}
	cmd := &cobra.Command{
		Use: "remove ID... | --all", Short: "Remove what could not be used and was looked at",
		Example: examples(`waybill queue remove 17 18 --as vendor/admin`, `waybill queue remove --all --as vendor/admin`),
		Args:    idsOrAll("waybill queue unusable", &q.Ids, &q.All),
		RunE: a.withTimeout(func(ctx context.Context, _ []string) error {
			a.ownOnly = true
			return query(ctx, a, func(c gatewayAPI) (*waybillv1.RemoveUnusableResponse, error) { return c.RemoveUnusable(ctx, q) }, func(w io.Writer, res *waybillv1.RemoveUnusableResponse) {
				fmt.Fprintf(w, "%d removed\n", res.GetRemoved())
			})
		}),
	}
	cmd.Flags().BoolVar(&q.All, "all", false, "everything that could not be used")
	return cmd
}

// idsOrAll takes the ids that a list shows, or the flag --all.
func idsOrAll(list string, ids *[]int64, all *bool) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if (len(args) > 0) == *all {
			return fmt.Errorf("want the ids of %s, or --all", list)
		}
		*ids = nil
		for _, s := range args {
			id, err := strconv.ParseInt(s, 10, 64)
			if err != nil || id < 1 {
				return fmt.Errorf("id %q is not a number from %s", s, list)
			}
			*ids = append(*ids, id)
		}
		return nil
	}
}
