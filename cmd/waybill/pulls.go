package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

func newPullsCmd(a *app) *cobra.Command {
	q := &waybillv1.ListPullsRequest{}
	var since time.Duration
	cmd := &cobra.Command{
		Use: "pulls IMAGE", Short: "List who pulled an image, and from where", Args: operands("IMAGE"),
		Example: examples(`waybill pulls reg.example/app:1.0 --since 24h`),
		Long: `List who pulled an image (host/repository@digest, or a digest alone), or what a
tag (host/repository:tag) names now; the last recorded first. Who, and from
where, is what the registry said. How much of it is recorded is the choice of
the registry's owner (pulls in its gateway's configuration): with private, only
the owner's people see it, on their own gateway, and others see a salted hash.`,
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			if _, err := provenance.ParseDigest(args[0]); err != nil {
				ref, err := a.parseImage(ctx, args[0])
				if err != nil {
					return err
				}
				args[0] = ref.String()
			}
			if since < 0 {
				return usagef("--since %s: want a time that has passed, as in 24h", since)
			}
			q.Image = args[0]
			if since > 0 {
				q.Since = timestamppb.New(time.Now().Add(-since))
			}
			return query(ctx, a, func(c gatewayAPI) (*waybillv1.ListPullsResponse, error) { return c.ListPulls(ctx, q) }, writePulls)
		}),
	}
	cmd.Flags().DurationVar(&since, "since", 0, "only pulls of the last while, as in 24h (default all)")
	pageFlags(cmd, &q.PageSize, &q.PageToken)
	return cmd
}

func writePulls(w io.Writer, res *waybillv1.ListPullsResponse) {
	t := table("PULLED (UTC)", "WHO", "ADDRESS", "PROGRAM", "FROM", "GATEWAY", "BLOCK")
	for _, p := range res.GetPulls() {
		from := p.GetHost() + "/" + p.GetRepository()
		if p.GetTag() != "" {
			from += ":" + p.GetTag()
		}
		actor := dash(p.GetActor())
		if p.GetWithheld() != "" {
			hash, _ := provenance.ParseDigest(p.GetBlind()) // the zero digest prints as nothing
			actor = fmt.Sprintf("%s (%s)", hash.Short(), p.GetWithheld())
		}
		t.row(when(p.GetOccurredAt()), actor, dash(p.GetAddress()), dash(p.GetUserAgent()), from, who(p.GetGateway()), number(p.GetBlock()))
	}
	t.write(w, "no pull of it is on record for that time")
	if n := res.GetTotal(); n > int64(len(res.GetPulls())) {
		fmt.Fprintf(w, "\n%d of %d pulls on record\n", len(res.GetPulls()), n)
	}
	nextPage(w, res.GetNextPageToken())
}
