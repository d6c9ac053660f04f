package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

func newQueueCmd(a *app) *cobra.Command {
	cmd := parentCmd("queue", "Events that were given up, or could not be used")
	cmd.Example = examples(`waybill queue list --as vendor/admin`, `waybill queue retry --all --as vendor/admin`, `waybill queue unusable --as vendor/admin`)
	cmd.Long = "Events that the gateway gave up recording (dead letters), and what registries\nsent and nothing could be made of. Only people of the gateway's own\norganisation may look: --as ORG/NAME."
	cmd.AddCommand(newQueueListCmd(a), newQueueRetryCmd(a), newQueueUnusableCmd(a), newQueueRemoveCmd(a))
	return cmd
}

func newQueueListCmd(a *app) *cobra.Command {
	q := &waybillv1.ListDeadLettersRequest{}
	cmd := &cobra.Command{
		Use: "list", Short: "List what was given up, and why", Args: operands(),
		Example: examples(`waybill queue list --as vendor/admin`),
		RunE: a.withTimeout(func(ctx context.Context, _ []string) error {
			a.ownOnly = true
			return query(ctx, a, func(c gatewayAPI) (*waybillv1.ListDeadLettersResponse, error) { return c.ListDeadLetters(ctx, q) }, func(w io.Writer, res *waybillv1.ListDeadLettersResponse) {
				t := table("ID", "RECEIVED", "CONNECTOR", "EVENT", "ATTEMPTS", "REASON")
				for _, l := range res.GetLetters() {
					name := l.GetHost() + "/" + l.GetRepository()
					if l.GetTag() != "" {
						name += ":" + l.GetTag()
					}
					if l.GetDigest() != "" {
						name += "@" + short(l.GetDigest())
					}
					t.row(number(l.GetId()), when(l.GetReceivedAt()), l.GetConnector(), l.GetAction()+" "+name, number(l.GetAttempts()), l.GetReason())
				}
				t.write(w, "nothing was given up")
				nextPage(w, res.GetNextPageToken())
			})
		}),
	}
	pageFlags(cmd, &q.PageSize, &q.PageToken)
	return cmd
}

func newQueueRetryCmd(a *app) *cobra.Command {
	q := &waybillv1.RetryDeadLettersRequest{}
	cmd := &cobra.Command{
		Use: "retry ID... | --all", Short: "Try events that were given up once more",
		Example: examples(`waybill queue retry 17 18 --as vendor/admin`, `waybill queue retry --all --as vendor/admin`),
		Args:    idsOrAll("waybill queue list", &q.Ids, &q.All),
		RunE: a.withTimeout(func(ctx context.Context, _ []string) error {
			a.ownOnly = true
			return query(ctx, a, func(c gatewayAPI) (*waybillv1.RetryDeadLettersResponse, error) { return c.RetryDeadLetters(ctx, q) }, func(w io.Writer, res *waybillv1.RetryDeadLettersResponse) {
				fmt.Fprintf(w, "%d put back into the queue\n", res.GetRetried())
			})
		}),
	}
	cmd.Flags().BoolVar(&q.All, "all", false, "everything that was given up")
	return cmd
}
