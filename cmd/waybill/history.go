package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

func newHistoryCmd(a *app) *cobra.Command {
	q := &waybillv1.ListHistoryRequest{}
	cmd := &cobra.Command{
		Use: "history IMAGE|REPOSITORY", Short: "List what happened, in which block, and who did it", Args: operands("IMAGE or REPOSITORY"),
		Example: examples(`waybill history reg.example/app:1.0`, `waybill history reg.example/app --newest-first --limit 20`),
		Long:    "List what happened to an image (host/repository@digest, or a digest alone), to a\ntag (host/repository:tag) or in a whole repository (host/repository).",
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			image, err := a.wholeImage(ctx, args[0])
			if err != nil {
				return err
			}
			if err := checkSubject(image); err != nil {
				return err
			}
			q.Image = image
			return query(ctx, a, func(c gatewayAPI) (*waybillv1.ListHistoryResponse, error) { return c.ListHistory(ctx, q) }, func(w io.Writer, res *waybillv1.ListHistoryResponse) {
				writeHistory(w, res.GetEntries())
				nextPage(w, res.GetNextPageToken())
			})
		}),
	}
	cmd.Flags().BoolVar(&q.NewestFirst, "newest-first", false, "list the newest first")
	pageFlags(cmd, &q.PageSize, &q.PageToken)
	return cmd
}

// checkSubject accepts what history can be asked about. A repository alone is
// one more than an image: it is tried as if it had a tag.
func checkSubject(s string) error {
	if _, err := provenance.ParseDigest(s); err == nil {
		return nil
	}
	if _, err := parseImage(s + ":any"); err == nil {
		return nil
	}
	_, err := parseImage(s)
	return err
}

func writeHistory(w io.Writer, entries []*waybillv1.HistoryEntry) {
	t := table("BLOCK", "TIME (UTC)", "WHAT", "WHO", "WHERE", "DETAIL")
	for _, e := range entries {
		t.row(number(e.GetBlock()), when(e.GetTime()), what(e), who(e.GetBy()), where(e), detail(e))
	}
	t.write(w, "nothing is recorded about it")
}

// what names an entry as people say it.
func what(e *waybillv1.HistoryEntry) string {
	switch kind := e.GetKind(); {
	case kind == "push" && e.GetTag() != "" && e.GetPrevious() != "" && e.GetPrevious() != e.GetDigest():
		return "tag moved"
	case kind == "push" && e.GetTag() != "" && e.GetPrevious() == e.GetDigest():
		return "pushed again"
	case kind == "tag-delete":
		return "tag deleted"
	case kind == "hold":
		return "quarantine"
	case kind == "lift":
		return "quarantine lifted"
	default:
		return kind
	}
}

func where(e *waybillv1.HistoryEntry) string {
	s := e.GetHost()
	if e.GetRepository() != "" {
		s += "/" + e.GetRepository()
	}
	if e.GetTag() != "" {
		s += ":" + e.GetTag()
	}
	return dash(s)
}

// detail shows a move as previous -> new, and who did it as the registry says.
func detail(e *waybillv1.HistoryEntry) string {
	s := ""
	switch {
	case e.GetPrevious() != "" && e.GetPrevious() != e.GetDigest():
		s = short(e.GetPrevious()) + " -> " + short(e.GetDigest())
	case e.GetDigest() != "":
		s = short(e.GetDigest())
	}
	if e.GetActor() != "" {
		s = join(s, "by "+e.GetActor()+" at the registry")
	}
	if e.GetKind() == "push" {
		return dash(s) // what, where and the digests say it all
	}
	return dash(join(s, e.GetDetail()))
}
