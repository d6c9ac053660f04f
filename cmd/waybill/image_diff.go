package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

func newDiffCmd(a *app) *cobra.Command {
	var stage, from, to string
	cmd := &cobra.Command{
		Use: "diff IMAGE [IMAGE]", Short: "Say what differs between two images, or of one at two times", Args: cobra.RangeArgs(1, 2),
		Example: examples(`waybill diff reg.example/app:1.0 reg.example/app:1.1`, `waybill diff reg.example/app:1.0 --stage production --from 2026-11-01`),
		Long: `Say what differs between two images, or of one image at two times (--from and
--to, heights or times; without --to up to now): platforms, packages and
findings as far as the recorded facts list them, evidence that counts, and with
--stage the verdict's rules, the policy's version and who approved. A gateway
answers. What the facts cut short is said.`,
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			if len(args) == 1 && from == "" {
				return usagef("what with? a second IMAGE is missing, or --from HEIGHT or TIME")
			}
			if len(args) == 2 && (from != "" || to != "") {
				return usagef("--from and --to are about one image at two times")
			}
			one, err := a.side(ctx, args[0], stage, from)
			if err != nil {
				return err
			}
			two, err := a.side(ctx, args[len(args)-1], stage, to)
			if err != nil {
				return err
			}
			d := differenceOf(one, two)
			return a.emit(d, func(w io.Writer) { writeDifference(w, d) })
		}),
	}
	cmd.Flags().StringVar(&stage, "stage", "", "compare how it stands for this stage, too")
	cmd.Flags().StringVar(&from, "from", "", "of one image: as of this `HEIGHT or TIME`")
	cmd.Flags().StringVar(&to, "to", "", "up to this `HEIGHT or TIME` instead of now")
	return cmd
}

// side is one of two things that are compared: what is said of it, by section and name.
type side struct {
	Image    string `json:"image"`
	Height   uint64 `json:"height"`
	AsOf     string `json:"asOf,omitempty"`
	sections map[string]map[string]string
	notes    []string
}

// sections are what is compared, in the order of the output.
func sections() []string {
	return []string{"platforms", "tags", "packages", "findings", "evidence", "holds", "policy", "verdict", "approvals"}
}

func (s *side) set(section, name, value string) {
	if s.sections[section] == nil {
		s.sections[section] = map[string]string{}
	}
	s.sections[section][name] = value
}

func (a *app) side(ctx context.Context, image, stage, at string) (*side, error) {
	a.at = at
	ref, err := a.askedImage(ctx, image)
	if err != nil {
		return nil, err
	}
	client, err := a.ask(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = client.Close() }() // only read from
	s := &side{Image: byDigest(ref), sections: map[string]map[string]string{}}
	res, err := client.GetImage(ctx, byDigest(ref))
	if err != nil {
		return nil, err
	}
	s.Height, s.AsOf = res.GetHeight(), ""
	if res.GetAsOf() != nil {
		s.AsOf = when(res.GetAsOf())
	}
	s.image(res, stage)
	evidence, err := client.GetEvidence(ctx, byDigest(ref), "")
	if err != nil {
		return nil, err
	}
	for _, e := range evidence.GetEvidence() {
		if e.GetCounts() {
			s.evidence(e)
		}
	}
	if stage == "" {
		return s, nil
	}
	return s, s.verdict(ctx, client, ref, stage)
}

func (s *side) image(res *waybillv1.GetImageResponse, stage string) {
	for _, p := range res.GetPlaces() {
		for _, c := range p.GetChildren() {
			s.set("platforms", c, "")
		}
		for _, t := range p.GetTags() {
			s.set("tags", t, "")
		}
		if p.GetDeleted() {
			s.notes = append(s.notes, "it was deleted")
		}
	}
	for _, h := range res.GetHolds() {
		if !h.GetLifted() {
			s.set("holds", h.GetMsp(), h.GetReason())
		}
	}
	for _, p := range res.GetPromotions() {
		if stage == "" || p.GetStage() != stage {
			continue
		}
		for _, word := range p.GetApprovals() {
			text := "approved"
			if word.GetReject() {
				text = "rejected"
			}
			if word.GetStale() != "" {
				text += " (does not count: " + word.GetStale() + ")"
			}
			s.set("approvals", who(word.GetBy()), text)
		}
	}
}

// evidence adds a piece that counts, and what its facts list.
func (s *side) evidence(e *waybillv1.Evidence) {
	s.set("evidence", e.GetType()+" by "+signedBy(e.GetSigner()), shortHash(e.GetId()))
	var facts struct {
		Packages  json.RawMessage `json:"packages"`
		Truncated bool            `json:"truncated"`
		Findings  []struct {
			ID       string `json:"id"`
			Severity string `json:"severity"`
		} `json:"findings"`
	}
	if json.Unmarshal([]byte(e.GetFacts()), &facts) != nil {
		return
	}
	var purls []string
	if json.Unmarshal(facts.Packages, &purls) == nil && e.GetType() == "sbom" {
		for _, purl := range purls {
			name, version, _ := strings.Cut(purl, "@")
			s.set("packages", name, version)
		}
	}
	for _, f := range facts.Findings {
		s.set("findings", f.ID, f.Severity)
	}
	if facts.Truncated {
		s.notes = append(s.notes, e.GetType()+" by "+signedBy(e.GetSigner())+" lists more than the ledger keeps")
	}
}

func (s *side) verdict(ctx context.Context, client imageAPI, ref provenance.Reference, stage string) error {
	v, err := client.GetVerdict(ctx, byDigest(ref), stage)
	if err != nil {
		return err
	}
	s.set("verdict", "answer", v.GetVerdict())
	for _, r := range v.GetReasons() {
		s.set("verdict", r.GetRule(), r.GetOutcome()+": "+r.GetDetail())
	}
	if p := v.GetPolicy(); p != nil {
		s.set("policy", p.GetName(), fmt.Sprintf("version %d", p.GetVersion()))
	}
	return nil
}

// difference is what two sides do not have in common.
type difference struct {
	From     *side               `json:"from"`
	To       *side               `json:"to"`
	Sections []sectionDifference `json:"sections"`
	Notes    []string            `json:"notes"`
}

type sectionDifference struct {
	Name    string   `json:"name"`
	Added   []string `json:"added"`
	Removed []string `json:"removed"`
	Changed []change `json:"changed"`
}

type change struct {
	What string `json:"what"`
	Was  string `json:"was"`
	Is   string `json:"is"`
}

func differenceOf(one, two *side) difference {
	d := difference{From: one, To: two, Sections: []sectionDifference{}, Notes: []string{}}
	for _, name := range sections() {
		was, is := one.sections[name], two.sections[name]
		names := slices.Collect(maps.Keys(was))
		names = slices.AppendSeq(names, maps.Keys(is))
		slices.Sort(names)
		s := sectionDifference{Name: name, Added: []string{}, Removed: []string{}, Changed: []change{}}
		for _, item := range slices.Compact(names) {
			before, had := was[item]
			after, has := is[item]
			switch {
			case !had:
				s.Added = append(s.Added, joined(item, after))
			case !has:
				s.Removed = append(s.Removed, joined(item, before))
			case before != after:
				s.Changed = append(s.Changed, change{item, before, after})
			}
		}
		if len(s.Added)+len(s.Removed)+len(s.Changed) > 0 {
			d.Sections = append(d.Sections, s)
		}
	}
	for _, s := range []*side{one, two} {
		for _, note := range s.notes {
			d.Notes = append(d.Notes, s.Image+": "+note)
		}
	}
	slices.Sort(d.Notes)
	d.Notes = slices.Compact(d.Notes)
	return d
}

func joined(name, value string) string {
	if value == "" {
		return name
	}
	return name + " " + value
}

func writeDifference(w io.Writer, d difference) {
	line := func(format string, args ...any) { fmt.Fprintln(w, sanitize(fmt.Sprintf(format, args...))) }
	line("--- %s at height %d %s", d.From.Image, d.From.Height, d.From.AsOf)
	line("+++ %s at height %d %s", d.To.Image, d.To.Height, d.To.AsOf)
	if len(d.Sections) == 0 {
		line("nothing differs")
	}
	for _, s := range d.Sections {
		blank(w)
		line("%s", s.Name)
		for _, text := range s.Removed {
			line("- %s", text)
		}
		for _, text := range s.Added {
			line("+ %s", text)
		}
		for _, c := range s.Changed {
			line("~ %s: %s -> %s", c.What, c.Was, c.Is)
		}
	}
	for _, note := range d.Notes {
		line("note: %s", note)
	}
}
