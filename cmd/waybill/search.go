package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// searchPages bounds how many answers a search puts together for one page of output.
const searchPages = 200

func newSearchCmd(a *app) *cobra.Command {
	q := &waybillv1.SearchRequest{}
	var since, before string
	var asCSV bool
	cmd := &cobra.Command{
		Use: "search [DIGEST]", Short: "Find events and acts by what is known of them", Args: cobra.MaximumNArgs(1),
		Example: examples(`waybill search 4f2a9c`, `waybill search --repository 'reg.example/team/**' --decision refused`, `waybill search --text CVE-2026 --csv`),
		Long: `Find events and acts. What is given must all match: the digest or its first 6
digits or more, a tag, a repository or a pattern of it as in policies, who
pushed or acted, whose organisation recorded or acted, the kind as waybill
history -o json names it, or what was decided, and words of a reason. Pulls are
not among them: waybill pulls.

The newest come first. A search that finds little looks through the ledger for
as long as --timeout lets it.`,
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			if len(args) == 1 {
				q.Digest = args[0]
			}
			if err := timesOf(q, since, before); err != nil {
				return err
			}
			res, err := a.search(ctx, q)
			if err != nil {
				return err
			}
			if asCSV {
				return writeCSV(a.out, res.GetEntries())
			}
			return a.emit(plainJSON{res}, func(w io.Writer) {
				writeHistory(w, res.GetEntries())
				nextPage(w, res.GetNextPageToken())
			})
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&q.Tag, "tag", "", "of this tag")
	flags.StringVar(&q.Repository, "repository", "", "in this host/repository, or pattern of it")
	flags.StringVar(&q.Actor, "actor", "", "by whom: as the registry says, NAME or NAME@MSP")
	flags.StringVar(&q.Msp, "msp", "", "by people or gateways of this organisation")
	flags.StringVar(&q.Kind, "kind", "", "of this kind: push, approval, release, hold, ...")
	flags.StringVar(&q.Decision, "decision", "", "approved, rejected, released, refused, quarantined, lifted, withdrawn, waived or voted")
	flags.StringVar(&q.Stage, "stage", "", "about this stage")
	flags.StringVar(&q.Text, "text", "", "with these words in what an act says")
	flags.StringVar(&since, "since", "", "not before this time (RFC 3339) or day")
	flags.StringVar(&before, "before", "", "before this time or day")
	flags.BoolVar(&q.OldestFirst, "oldest-first", false, "list the oldest first")
	flags.BoolVar(&asCSV, "csv", false, "print comma-separated values")
	pageFlags(cmd, &q.PageSize, &q.PageToken)
	return cmd
}

func timesOf(q *waybillv1.SearchRequest, since, before string) error {
	for _, one := range []struct {
		flag, text string
		into       **timestamppb.Timestamp
	}{{"since", since, &q.Since}, {"before", before, &q.Before}} {
		if one.text == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339, one.text)
		if err != nil {
			if t, err = time.Parse(time.DateOnly, one.text); err != nil {
				return usagef("--%s %q: want a time as 2026-11-24T10:00:00Z, or a day", one.flag, one.text)
			}
		}
		*one.into = timestamppb.New(t)
	}
	return nil
}

// search puts answers together until there are as many entries as were asked for: one
// answer looks through a part of the ledger only.
func (a *app) search(ctx context.Context, q *waybillv1.SearchRequest) (*waybillv1.SearchResponse, error) {
	client, err := a.ask(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = client.Close() }() // only read from
	out, size := &waybillv1.SearchResponse{}, q.GetPageSize()
	for range searchPages {
		res, err := client.Search(ctx, q)
		if err != nil {
			return nil, err
		}
		entries := append(out.GetEntries(), res.GetEntries()...)
		out = res
		out.Entries = entries
		if res.GetNextPageToken() == "" || int32(len(entries)) >= size {
			break
		}
		q.PageToken, q.PageSize = res.GetNextPageToken(), size-int32(len(entries))
	}
	if out.GetStale() {
		a.notice("this gateway is behind the ledger: the answer is of block %d and may be old", out.GetHeight())
	}
	return out, nil
}

// writeCSV prints entries as RFC 4180 has it. A field that a spreadsheet would compute
// is text there.
func writeCSV(w io.Writer, entries []*waybillv1.HistoryEntry) error {
	out := csv.NewWriter(w)
	rows := [][]string{{"block", "transaction", "time", "kind", "by", "msp", "host", "repository", "tag", "digest", "previous", "stage", "actor", "detail"}}
	for _, e := range entries {
		at := e.GetTime().AsTime().UTC().Format(time.RFC3339)
		rows = append(rows, []string{number(e.GetBlock()), e.GetTxId(), at, e.GetKind(), e.GetBy().GetName(), e.GetBy().GetMsp(), e.GetHost(), e.GetRepository(),
			e.GetTag(), e.GetDigest(), e.GetPrevious(), e.GetStage(), e.GetActor(), e.GetDetail()})
	}
	for _, row := range rows {
		for i, cell := range row {
			if cell = sanitize(cell); strings.IndexAny(cell, "=+-@") == 0 {
				cell = "'" + cell
			}
			row[i] = cell
		}
	}
	if err := out.WriteAll(rows); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
