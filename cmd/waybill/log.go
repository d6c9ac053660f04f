package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// followWait is how long a question waits for the next event, in seconds.
const followWait = 15

func newLogCmd(a *app) *cobra.Command {
	q := &waybillv1.ListEventsRequest{}
	var follow bool
	cmd := &cobra.Command{
		Use: "log", Short: "Print what happens on the ledger, in its order", Args: operands(),
		Example: examples(`waybill log --last 20`, `waybill log --follow -o json`, `waybill log --follow --after TOKEN`),
		Long: `Print the last events and acts of the whole ledger, pulls not among them; with
--follow go on with what comes, until it is interrupted. --after goes on where a
token ends that was printed before: nothing is left out or printed twice. With
-o json each entry is a line. The token is printed on standard error at the end.`,
		RunE: a.withoutTimeout(func(ctx context.Context, _ []string) error {
			q.PageSize = maxLogPage
			if q.GetAfter() != "" {
				q.Last = 0
			}
			return a.log(ctx, q, follow)
		}),
	}
	cmd.Flags().BoolVar(&follow, "follow", false, "go on with what comes")
	cmd.Flags().Int32Var(&q.Last, "last", 20, "begin with the last so many, at most 500")
	cmd.Flags().StringVar(&q.After, "after", "", "begin after this token")
	return cmd
}

const maxLogPage = 500

func (a *app) log(ctx context.Context, q *waybillv1.ListEventsRequest, follow bool) error {
	client, err := a.ask(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }() // only read from
	for {
		res, err := client.ListEvents(ctx, q)
		if ctx.Err() != nil {
			a.notice("go on with: waybill log --after %s", q.GetAfter())
			return nil //nolint:nilerr // interrupted, as it was told to be
		}
		if err != nil {
			return err
		}
		for _, e := range res.GetEntries() {
			if err := a.logLine(e); err != nil {
				return err
			}
		}
		q.After, q.Last = res.GetNext(), 0
		if !follow && len(res.GetEntries()) < maxLogPage {
			a.notice("go on with: waybill log --after %s", res.GetNext())
			return nil
		}
		if follow {
			q.WaitSeconds = followWait
		}
	}
}

func (a *app) logLine(e *waybillv1.HistoryEntry) error {
	if a.output == formatTable {
		_, err := fmt.Fprintln(a.out, sanitize(fmt.Sprintf("%s %s %s %s %s %s", number(e.GetBlock()), when(e.GetTime()), what(e), who(e.GetBy()), where(e), detail(e))))
		return err
	}
	b, err := plainJSON{e}.MarshalJSON()
	if err != nil {
		return err
	}
	_, err = io.WriteString(a.out, string(escapeJSON(b))+"\n")
	return err
}
