package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

func newInboxCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "inbox", Short: "List what waits for your organisation and for you", Args: operands(),
		Example: examples(`waybill inbox --as security/release-manager`),
		Long:    "List what waits for your organisation and for you: promotions to approve (again,\nwhen an approval went stale), evidence to give, proposals to vote on, waivers,\nbreak-glass releases to review; each with the command that does it.",
		RunE: a.withTimeout(func(ctx context.Context, _ []string) error {
			return query(ctx, a, func(c gatewayAPI) (*waybillv1.GetInboxResponse, error) { return c.GetInbox(ctx) }, writeInbox)
		}),
	}
}

func writeInbox(w io.Writer, res *waybillv1.GetInboxResponse) {
	if len(res.GetItems()) == 0 {
		fmt.Fprintf(w, "nothing waits for %s\n", sanitize(who(res.GetCaller())))
		return
	}
	for i, item := range res.GetItems() {
		if i > 0 {
			fmt.Fprintln(w)
		}
		mark := " "
		if item.GetMine() {
			mark = "*"
		}
		fmt.Fprintf(w, "%s %s: %s\n", mark, sanitize(item.GetKind()), sanitize(item.GetDetail()))
		if item.GetStale() != "" {
			fmt.Fprintf(w, "    the earlier approval is stale: %s\n", sanitize(item.GetStale()))
		}
		for _, r := range item.GetLacks() {
			fmt.Fprintf(w, "    %s is %s: %s\n", sanitize(r.GetRule()), sanitize(r.GetOutcome()), sanitize(r.GetDetail()))
		}
		if item.GetDue() != nil {
			fmt.Fprintf(w, "    due %s\n", when(item.GetDue()))
		}
		fmt.Fprintf(w, "    %s\n", sanitize(item.GetCommand()))
	}
	fmt.Fprintln(w, "\n* you can do it; the rest takes somebody else of your organisation")
	if res.GetTruncated() {
		fmt.Fprintln(w, "there is more than is shown")
	}
}
