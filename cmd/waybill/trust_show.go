package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/sigstore"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// rootView is a trusted root and a version of its text, as trust:Show returns it.
type rootView struct {
	Root    state.TrustedRoot `json:"root"`
	Version state.RootVersion `json:"version"`
}

func newTrustShowCmd(a *app) *cobra.Command {
	var org string
	var version int
	cmd := &cobra.Command{
		Use: "show NAME", Short: "Show a trusted root: its authorities, its age, where it came from", Args: operands("NAME"),
		Example: examples(`waybill trust show public-good --as vendor/auditor`, `waybill trust show ci --org VendorMSP --version 2 -o json`),
		Long: `Show a trusted root as your organisation's peer has it: the authorities that it
trusts and for which time, since when it is in force and where it came from.
Without --org it is one that the members share. -o json has the text.`,
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			if version < 0 {
				return usagef("--version %d: want a number from 1", version)
			}
			p, err := a.readerPeer()
			if err != nil {
				return err
			}
			defer p.close()
			v, root, err := p.trustedRoot(ctx, org, args[0], version)
			if err != nil {
				return err
			}
			return a.emit(v, func(w io.Writer) { writeRoot(w, v, root.Anchors(), time.Now()) })
		}),
	}
	cmd.Flags().StringVar(&org, "org", "", "whose it is (MSP id); without, one that members share")
	cmd.Flags().IntVar(&version, "version", 0, "this version; without, the one in force")
	return cmd
}

// trustedRoot reads a version of a root, 0 for the one in force, and makes sure that its
// text is the one that its hash names.
func (p ownPeer) trustedRoot(ctx context.Context, msp, name string, version int) (rootView, *sigstore.TrustedRoot, error) {
	v, err := evaluate[rootView](ctx, p, "trust:Show", msp, name, strconv.Itoa(version))
	if err != nil {
		return v, nil, err
	}
	if v.Root.MSP != msp || v.Root.Name != name || v.Version.MSP != msp || v.Version.Name != name || version != 0 && v.Version.Version != version {
		return v, nil, mismatch(p.me.org.Org+"'s peer", state.RootName(msp, name), v.Root.String())
	}
	if sum := sha256.Sum256([]byte(v.Version.Text)); hex.EncodeToString(sum[:]) != v.Version.Hash {
		return v, nil, provenance.Errorf(provenance.Internal, "the text of %s that %s's peer shows is not the one that its hash %.12s names", state.RootName(msp, name), p.me.org.Org, v.Version.Hash)
	}
	root, err := sigstore.ParseTrustedRoot([]byte(v.Version.Text))
	return v, root, err
}

func writeRoot(w io.Writer, v rootView, anchors []sigstore.Anchor, now time.Time) {
	t := table()
	t.row("root", v.Root.String())
	t.row("version", fmt.Sprintf("%d of %d, sha256 %s", v.Version.Version, v.Root.Version, v.Version.Hash))
	t.row("from", dash(v.Version.Origin))
	by := "by " + v.Version.By.String()
	if len(v.Version.Voters) > 0 {
		names := make([]string, len(v.Version.Voters))
		for i, voter := range v.Version.Voters {
			names[i] = voter.String()
		}
		by = "by the votes of " + strings.Join(names, ", ")
	}
	t.row("put in force", fmt.Sprintf("%s, %d days ago, %s", instant(v.Version.At), int(now.Sub(v.Version.At)/(24*time.Hour)), by))
	if x := v.Root.Withdrawn; x != nil {
		t.row("withdrawn", withdrawn(x)+" by "+x.By.String())
	}
	t.write(w, "")
	fmt.Fprintln(w)
	writeAnchors(w, anchors)
}

func writeAnchors(w io.Writer, anchors []sigstore.Anchor) {
	slices.SortFunc(anchors, func(a, b sigstore.Anchor) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), a.From.Compare(b.From), cmp.Compare(a.ID, b.ID))
	})
	t := table("AUTHORITY", "NAME", "TRUSTED FROM", "UNTIL", "ID")
	for _, x := range anchors {
		t.row(string(x.Kind), dash(x.Name), instant(x.From), instant(x.Until), x.ID)
	}
	t.write(w, "")
}

// trustChanges says what a proposal would do to a shared root: which authorities it
// adds, takes out, trusts for longer or for less.
func (p ownPeer) trustChanges(ctx context.Context, c state.Proposal) ([]string, error) {
	var change state.TrustChange
	if err := json.Unmarshal(c.Body, &change); err != nil {
		return nil, fmt.Errorf("the root of proposal %s: %w", c.ID, err)
	}
	if w := change.Withdraw; w != nil {
		line := "withdraws the shared root " + c.Name + ": " + w.Reason
		if !w.CompromisedSince.IsZero() {
			line += "; what was recorded since " + instant(w.CompromisedSince) + " counts no more"
		}
		return []string{line}, nil
	}
	to, err := sigstore.ParseTrustedRoot(change.Root)
	if err != nil {
		return nil, fmt.Errorf("the root of proposal %s: %w", c.ID, err)
	}
	from := dash(change.Origin)
	v, now, err := p.trustedRoot(ctx, "", c.Name, 0)
	switch {
	case provenance.CodeOf(err) == provenance.NotFound:
		return append([]string{"a new shared root, from " + from + ":"}, diffAnchors(nil, to.Anchors())...), nil
	case err != nil:
		return nil, err
	}
	lines := diffAnchors(now.Anchors(), to.Anchors())
	if len(lines) == 0 {
		lines = []string{"the same authorities for the same times; names and addresses change"}
	}
	return append([]string{fmt.Sprintf("from %s, against version %d, in force now:", from, v.Version.Version)}, lines...), nil
}

// diffAnchors says what changes between two lists of authorities, a line for each that
// does, with its whole id: a name says nothing of whose key it is.
func diffAnchors(from, to []sigstore.Anchor) []string {
	name := func(a sigstore.Anchor) string { return fmt.Sprintf("%s %s (%s)", a.Kind, dash(a.Name), a.ID) }
	window := func(a sigstore.Anchor) string {
		if a.Until.IsZero() {
			return "from " + instant(a.From) + " on"
		}
		return "from " + instant(a.From) + " until " + instant(a.Until)
	}
	find := func(list []sigstore.Anchor, id string) *sigstore.Anchor {
		if i := slices.IndexFunc(list, func(a sigstore.Anchor) bool { return a.ID == id }); i >= 0 {
			return &list[i]
		}
		return nil
	}
	lines := []string{}
	for _, a := range from {
		b := find(to, a.ID)
		switch {
		case b == nil:
			lines = append(lines, "- "+name(a)+" is trusted no more: what it vouched for counts no more")
		case a.From.Equal(b.From) && a.Until.Equal(b.Until):
			if a.Name != b.Name {
				lines = append(lines, "~ "+name(a)+" is called "+dash(b.Name))
			}
		default:
			line := "~ " + name(*b) + ": " + window(a) + " -> " + window(*b)
			if b.From.After(a.From) || !b.Until.IsZero() && (a.Until.IsZero() || b.Until.Before(a.Until)) {
				line += ": narrower, and what it vouched for outside counts no more"
			}
			lines = append(lines, line)
		}
	}
	for _, b := range to {
		if find(from, b.ID) == nil {
			lines = append(lines, "+ "+name(b)+", trusted "+window(b))
		}
	}
	return lines
}

// writeProposedRoot prints the authorities that a proposal would trust instead of their
// certificates, and tells whether it did: a vote shows what would change.
func writeProposedRoot(w io.Writer, p *waybillv1.Proposal) bool {
	var change state.TrustChange
	if p.GetKind() != string(state.ProposeTrust) || json.Unmarshal([]byte(p.GetBody()), &change) != nil || change.Withdraw != nil {
		return false
	}
	root, err := sigstore.ParseTrustedRoot(change.Root)
	if err != nil {
		return false
	}
	fmt.Fprintf(w, "shared root %s, from %s; -o json has its text\n\n", sanitize(p.GetName()), sanitize(dash(change.Origin)))
	writeAnchors(w, root.Anchors())
	return true
}
