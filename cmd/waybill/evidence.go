package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

func newEvidenceCmd(a *app) *cobra.Command {
	var typ string
	cmd := &cobra.Command{
		Use: "evidence IMAGE", Short: "List the verified evidence about an image", Long: "List the verified evidence about an image, what counts and what does not.\n\n" + asOfHelp, Args: parentOrOperands("IMAGE"),
		Example: examples(`waybill evidence reg.example/app:1.0`, `waybill evidence reg.example/app:1.0 --type sbom -o json`),
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			ref, err := a.askedImage(ctx, args[0])
			if err != nil {
				return err
			}
			return query(ctx, a, func(c gatewayAPI) (*waybillv1.GetEvidenceResponse, error) {
				return c.GetEvidence(ctx, byDigest(ref), typ)
			}, writeEvidence)
		}),
	}
	cmd.Flags().StringVar(&typ, "type", "", "only of this type")
	a.atFlag(cmd)
	cmd.AddCommand(newEvidenceWithdrawCmd(a), newEvidenceReplayCmd(a))
	return cmd
}

func newEvidenceWithdrawCmd(a *app) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "withdraw IMAGE TYPE ID --reason REASON", Short: "Take back evidence that one of your people gave", Args: operands("IMAGE", "TYPE", "ID"),
		Example: examples(
			`waybill evidence withdraw reg.example/app:1.0 vuln-scan 1f2e3d4c \`,
			`    --reason "the scanner was misconfigured" --as security/admin`,
		),
		Long: `Take back a piece of evidence about an image that one of your organisation's
people vouched for (what a key signed is withdrawn with the key: waybill key
withdraw). It stays in the history and counts no more. ID is the whole id, or
its first 8 digits or more; IMAGE may be a digest alone.`,
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			return a.withdrawEvidence(ctx, args[0], args[1], args[2], reason)
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	requireFlags(cmd, "reason")
	return cmd
}

func (a *app) withdrawEvidence(ctx context.Context, image, typ, typed, reason string) error {
	p, err := a.signerPeer()
	if err != nil {
		return err
	}
	defer p.close()
	d, err := p.digest(ctx, image)
	if err != nil {
		return err
	}
	id, err := p.evidenceID(ctx, d, typ, typed)
	if err != nil {
		return err
	}
	r, err := p.submit(ctx, nil, "evidence:Withdraw", d.String(), typ, id, reason)
	if err != nil {
		return err
	}
	return a.printCommitted(r, nil, "withdrew %s evidence %.12s about %s", typ, id, d)
}

// evidenceID completes the id of a piece of evidence, which is the hash of what was handed in.
func (p ownPeer) evidenceID(ctx context.Context, d provenance.Digest, typ, typed string) (string, error) {
	if fullID.MatchString(typed) {
		return typed, nil
	}
	if err := checkPrefix("evidence", typed); err != nil {
		return "", err
	}
	all, err := evaluate[[]struct {
		Evidence state.Evidence `json:"evidence"`
	}](ctx, p, "evidence:List", d.String())
	if err != nil {
		return "", err
	}
	ids := []string{}
	for _, v := range all {
		if e := v.Evidence; e.Type == typ && e.Digest == d {
			ids = append(ids, e.ID)
		}
	}
	return completeID(typ+" evidence about "+d.Short(), typed, ids)
}

func writeEvidence(w io.Writer, res *waybillv1.GetEvidenceResponse) {
	t := table("TYPE", "EVIDENCE", "SIGNED BY", "RECORDED", "COUNTS", "FACTS")
	for _, e := range res.GetEvidence() {
		counts := "yes"
		if e.GetInherited() {
			counts = "yes, through index " + short(e.GetDigest())
		}
		if !e.GetCounts() {
			counts = "no: " + e.GetWhy()
		}
		t.row(e.GetType(), shortHash(e.GetId()), signedBy(e.GetSigner()), when(e.GetAt()), counts, facts(e.GetFacts()))
	}
	t.write(w, "there is no evidence about this image: cosign sign, cosign attest, or waybill attest IMAGE --type TYPE --file FILE")
}

func signedBy(s *waybillv1.Signer) string {
	switch {
	case s.GetIdentity() != "":
		name := s.GetIdentity()
		if s.GetIssuer() != "" {
			name += " by " + s.GetIssuer()
		}
		if s.GetMsp() == "" {
			return name + " (" + state.RootName("", s.GetKey()) + ")"
		}
		return name + " (" + s.GetMsp() + ", root " + s.GetKey() + ")"
	case s.GetKey() != "":
		return "key " + s.GetKey() + " of " + s.GetMsp()
	}
	return s.GetName() + "@" + s.GetMsp()
}

// facts prints the plain facts of a piece of evidence; lists and objects only as their size.
func facts(text string) string {
	var values map[string]any
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	if dec.Decode(&values) != nil {
		return "-"
	}
	names := []string{}
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	parts := []string{}
	for _, name := range names {
		switch v := values[name].(type) {
		case []any:
			parts = append(parts, fmt.Sprintf("%s=[%d]", name, len(v)))
		case map[string]any:
			parts = append(parts, fmt.Sprintf("%s={%d}", name, len(v)))
		case string:
			if v != "" {
				parts = append(parts, name+"="+v)
			}
		default:
			parts = append(parts, fmt.Sprintf("%s=%v", name, v))
		}
	}
	s := strings.Join(parts, " ")
	if runes := []rune(s); len(runes) > 120 {
		s = string(runes[:119]) + "…"
	}
	return dash(s)
}

func newTreeCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "tree IMAGE", Short: "Draw an image: its platforms, what refers to it, its evidence", Args: operands("IMAGE"),
		Example: examples(`waybill tree reg.example/app:1.0`),
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			ref, err := a.askedImage(ctx, args[0])
			if err != nil {
				return err
			}
			return query(ctx, a, func(c gatewayAPI) (*waybillv1.GetTreeResponse, error) { return c.GetTree(ctx, byDigest(ref)) }, func(w io.Writer, res *waybillv1.GetTreeResponse) {
				writeTree(w, res.GetRoot(), "", "")
				if res.GetTruncated() {
					fmt.Fprintln(w, "there is more than is shown")
				}
			})
		}),
	}
	a.atFlag(cmd)
	return cmd
}

// writeTree draws a node; first and rest are what stands before its first and its other lines.
func writeTree(w io.Writer, n *waybillv1.TreeNode, first, rest string) {
	line := n.GetKind() + " " + short(n.GetDigest())
	if len(n.GetTags()) > 0 {
		line += " [" + strings.Join(n.GetTags(), ", ") + "]"
	}
	if n.GetArtifactType() != "" {
		line += " " + n.GetArtifactType()
	}
	switch {
	case len(n.GetQuarantinedBy()) > 0:
		line += " (quarantined by " + strings.Join(n.GetQuarantinedBy(), ", ") + ")"
	case n.GetDeleted():
		line += " (deleted)"
	case !n.GetRecorded():
		line += " (its push is not on the ledger)"
	}
	fmt.Fprintf(w, "%s%s\n", first, sanitize(line))
	last := len(n.GetEvidence()) + len(n.GetChildren()) - 1
	branch := func(i int) (string, string) {
		if i == last {
			return rest + "└── ", rest + "    "
		}
		return rest + "├── ", rest + "│   "
	}
	for i, e := range n.GetEvidence() {
		head, _ := branch(i)
		mark := "✓"
		if !e.GetCounts() {
			mark = "✗ " + e.GetWhy() + ":"
		}
		fmt.Fprintf(w, "%s%s\n", head, sanitize(fmt.Sprintf("%s %s by %s", mark, e.GetType(), signedBy(e.GetSigner()))))
	}
	for i, c := range n.GetChildren() {
		head, more := branch(len(n.GetEvidence()) + i)
		writeTree(w, c, head, more)
	}
}
