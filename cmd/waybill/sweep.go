package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// sweepAPI are the questions about sweeps.
type sweepAPI interface {
	StartSweep(ctx context.Context, registry string, dryRun bool) (*waybillv1.StartSweepResponse, error)
	GetSweeps(ctx context.Context, registry string) (*waybillv1.GetSweepsResponse, error)
}

// sweepPoll is how often a sweep's progress is asked for.
const sweepPoll = time.Second

func newSweepCmd(a *app) *cobra.Command {
	var dry, last, detach bool
	cmd := &cobra.Command{
		Use: "sweep [REGISTRY]", Short: "Compare registries with the ledger, and record what was missed",
		Example: examples(`waybill sweep reg.example:5000 --dry-run --as vendor/admin`, `waybill sweep --last --as vendor/admin`),
		Long: `Compare a registry with the ledger, or all that your organisation's gateway
reads: images and tags that were pushed, moved or deleted without a
notification are recorded, with the source "sweep"; a registry that serves
other bytes for a recorded digest is an alarm. The gateway does it; this
command follows it, and may be interrupted. A difference is believed only
when it lasts (sweep.grace of the gateway's configuration), so that a
notification under way is not taken for one that was lost.

Only people of the gateway's own organisation may ask: --as ORG/NAME. The exit
code says whether the sweep was finished, whatever it found.`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) > 1:
				return fmt.Errorf("%q is one argument too many", args[1])
			case len(args) == 1:
				_, err := provenance.ParseHost(args[0])
				return err
			case last && (dry || detach):
				return fmt.Errorf("--last starts nothing: --dry-run and --detach do not go with it")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			a.started, a.ownOnly = true, true
			registry := strings.Join(args, "")
			if last {
				return a.withTimeout(func(ctx context.Context, _ []string) error {
					return query(ctx, a, func(c gatewayAPI) (*waybillv1.GetSweepsResponse, error) { return c.GetSweeps(ctx, registry) }, writeSweeps)
				})(cmd, args)
			}
			return a.sweep(cmd.Context(), registry, dry, detach)
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only report: record nothing, raise no alert")
	cmd.Flags().BoolVar(&last, "last", false, "show what runs, the last results and the alerts; start nothing")
	cmd.Flags().BoolVar(&detach, "detach", false, "start it and do not wait")
	return cmd
}

// sweep starts sweeps and follows them to their end. --timeout is for each
// question: a sweep takes what it takes.
func (a *app) sweep(ctx context.Context, registry string, dry, detach bool) error {
	started, err := fetchWithin(ctx, a, func(ctx context.Context, c gatewayAPI) (*waybillv1.StartSweepResponse, error) {
		return c.StartSweep(ctx, registry, dry)
	})
	if err != nil {
		return err
	}
	if detach {
		return a.emit(plainJSON{started}, func(w io.Writer) {
			for _, s := range started.GetSweeps() {
				fmt.Fprintf(w, "sweep of %s started; see: waybill sweep --last\n", sanitize(s.GetRegistry()))
			}
		})
	}
	wanted := map[string]string{}
	for _, s := range started.GetSweeps() {
		wanted[s.GetRegistry()] = s.GetId()
		if s.GetJoined() {
			a.notice("a sweep of %s runs already; following it", s.GetRegistry())
		}
	}
	res, err := a.follow(ctx, registry, wanted)
	if err != nil {
		return err
	}
	if err := a.emit(plainJSON{res}, func(w io.Writer) { writeSweeps(w, res) }); err != nil {
		return err
	}
	for _, r := range res.GetRegistries() {
		if e := r.GetLast().GetError(); e != "" {
			return provenance.Errorf(provenance.Unavailable, "the sweep of %s was not finished: %s", r.GetRegistry(), e)
		}
	}
	return nil
}

// follow waits until the wanted sweeps are finished, tells how far they are,
// and returns their results. A gateway that restarts goes on with them, so one
// that does not answer is asked again for --timeout.
func (a *app) follow(ctx context.Context, registry string, wanted map[string]string) (*waybillv1.GetSweepsResponse, error) {
	tick := time.NewTicker(sweepPoll)
	defer tick.Stop()
	heard, told := time.Now(), ""
	for {
		res, err := fetchWithin(ctx, a, func(ctx context.Context, c gatewayAPI) (*waybillv1.GetSweepsResponse, error) {
			return c.GetSweeps(ctx, registry)
		})
		switch {
		case ctx.Err() != nil:
			return nil, hint(ctx.Err(), "the gateway goes on with it; see: waybill sweep --last")
		case err != nil && (exitOf(err) != exitUnavailable || time.Since(heard) > a.timeout):
			return nil, err
		case err == nil:
			heard = time.Now()
			ended, progress := sweepsEnded(res, wanted)
			if ended != nil {
				return ended, nil
			}
			if progress != told && a.output == formatTable {
				told = progress
				fmt.Fprintln(a.errOut, sanitize(progress))
			}
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// sweepsEnded returns the results once every wanted sweep is finished, and otherwise
// says how far they are. A sweep that is neither running nor the last was
// followed by another one, and its findings are in the alerts.
func sweepsEnded(res *waybillv1.GetSweepsResponse, wanted map[string]string) (ended *waybillv1.GetSweepsResponse, progress string) {
	out := &waybillv1.GetSweepsResponse{Height: res.GetHeight(), Stale: res.GetStale()}
	var lines []string
	for _, r := range res.GetRegistries() {
		id, ok := wanted[r.GetRegistry()]
		if !ok {
			continue
		}
		if r.GetRunning().GetId() == id {
			lines = append(lines, r.GetRegistry()+": "+sweepProgress(r.GetRunning()))
			continue
		}
		out.Registries = append(out.Registries, &waybillv1.RegistrySweeps{Registry: r.GetRegistry(), Last: r.GetLast(), Next: r.GetNext()})
	}
	if len(lines) == 0 {
		return out, ""
	}
	return nil, strings.Join(lines, "; ")
}

func sweepProgress(s *waybillv1.Sweep) string {
	text := fmt.Sprintf("%d of %d repositories, %d tags, %d images", s.GetDone(), s.GetTotal(), s.GetTags(), s.GetImages())
	if n := s.GetWaiting(); n > 0 {
		text += fmt.Sprintf(", %d to look at again", n)
	}
	if s.GetDoing() != "" {
		text += "; " + s.GetDoing()
	}
	return text
}

// fetchWithin asks one question with the --timeout for itself.
func fetchWithin[R response](ctx context.Context, a *app, ask func(context.Context, gatewayAPI) (R, error)) (R, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	return fetch(ctx, a, func(c gatewayAPI) (R, error) { return ask(ctx, c) })
}

func writeSweeps(w io.Writer, res *waybillv1.GetSweepsResponse) {
	if len(res.GetRegistries()) == 0 {
		fmt.Fprintln(w, "no registry was swept yet: waybill sweep --as ORG/NAME")
		return
	}
	for i, r := range res.GetRegistries() {
		if i > 0 {
			blank(w)
		}
		if s := r.GetRunning(); s != nil {
			fmt.Fprintf(w, "%s: running since %s, %s\n", sanitize(r.GetRegistry()), when(s.GetStartedAt()), sanitize(sweepProgress(s)))
		}
		if s := r.GetLast(); s != nil {
			writeSweep(w, r.GetRegistry(), s)
		}
		if n := len(r.GetAlerts()); n > 0 {
			fmt.Fprintln(w, "\nalerts, the newest last:")
			writeFindings(w, r.GetAlerts(), true)
		}
		if r.GetNext() != nil {
			fmt.Fprintf(w, "next sweep at %s\n", when(r.GetNext()))
		}
	}
}

func writeSweep(w io.Writer, registry string, s *waybillv1.Sweep) {
	what := "swept"
	switch {
	case s.GetError() != "":
		what = "not finished"
	case s.GetDryRun():
		what = "compared, nothing recorded"
	}
	took := s.GetFinishedAt().AsTime().Sub(s.GetStartedAt().AsTime()).Round(time.Second)
	fmt.Fprintf(w, "%s: %s %s, in %s: %d repositories, %d tags, %d images, %d requests\n", sanitize(registry), what, when(s.GetFinishedAt()), took,
		s.GetDone(), s.GetTags(), s.GetImages(), s.GetRequests())
	if s.GetError() != "" {
		fmt.Fprintf(w, "  it ended: %s\n", sanitize(s.GetError()))
	}
	for _, n := range s.GetNotes() {
		fmt.Fprintf(w, "  note: %s\n", sanitize(n))
	}
	total := int64(0)
	for _, c := range s.GetCounts() {
		total += c.GetCount()
	}
	if total == 0 {
		fmt.Fprintln(w, "  the registry is as recorded")
		return
	}
	writeFindings(w, s.GetFindings(), false)
	if more := total - int64(len(s.GetFindings())); more > 0 {
		fmt.Fprintf(w, "and %d more\n", more)
	}
}

func writeFindings(w io.Writer, findings []*waybillv1.SweepFinding, dated bool) {
	head := []string{"FOUND", "WHERE", "AT THE REGISTRY", "RECORDED", "OUTCOME", "DETAIL"}
	if dated {
		head = append([]string{"TIME"}, head...)
	}
	t := table(head...)
	for _, f := range findings {
		where, there, recorded := f.GetRepository(), short(f.GetDigest()), short(f.GetRecorded())
		switch {
		case f.GetTag() != "":
			where += ":" + f.GetTag()
		case f.GetDigest() != "":
			where += "@" + short(f.GetDigest())
			there, recorded = "-", short(f.GetDigest())
			if f.GetKind() == "unrecorded" || f.GetKind() == "restored" { // listed there without a tag
				there, recorded = recorded, "-"
			}
		}
		cells := []string{f.GetKind(), where, there, recorded, f.GetOutcome(), f.GetDetail()}
		if dated {
			cells = append([]string{when(f.GetAt())}, cells...)
		}
		t.row(cells...)
	}
	t.write(w, "")
}
