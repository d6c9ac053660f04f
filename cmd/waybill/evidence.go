package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

func newEvidenceCmd(a *app) *cobra.Command {
	var typ string
	cmd := &cobra.Command{
		Use: "evidence IMAGE", Short: "List the verified evidence about an image", Args: operands("IMAGE"),
		RunE: a.do(func(ctx context.Context, args []string) error {
			ref, err := a.digestOf(ctx, args[0])
			if err != nil {
				return err
			}
			return query(ctx, a, func(c answers) (*waybillv1.GetEvidenceResponse, error) { return c.GetEvidence(ctx, byDigest(ref), typ) }, writeEvidence)
		}),
	}
	cmd.Flags().StringVar(&typ, "type", "", "only of this type")
	return cmd
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
		return s.GetIdentity() + " (" + s.GetMsp() + ", root " + s.GetKey() + ")"
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
	return &cobra.Command{
		Use: "tree IMAGE", Short: "Draw an image: its platforms, what refers to it, its evidence", Args: operands("IMAGE"),
		RunE: a.do(func(ctx context.Context, args []string) error {
			ref, err := a.digestOf(ctx, args[0])
			if err != nil {
				return err
			}
			return query(ctx, a, func(c answers) (*waybillv1.GetTreeResponse, error) { return c.GetTree(ctx, byDigest(ref)) }, func(w io.Writer, res *waybillv1.GetTreeResponse) {
				writeTree(w, res.GetRoot(), "", "")
				if res.GetTruncated() {
					fmt.Fprintln(w, "there is more than is shown")
				}
			})
		}),
	}
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
	fmt.Fprintf(w, "%s%s\n", first, clean(line))
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
		fmt.Fprintf(w, "%s%s\n", head, clean(fmt.Sprintf("%s %s by %s", mark, e.GetType(), signedBy(e.GetSigner()))))
	}
	for i, c := range n.GetChildren() {
		head, more := branch(len(n.GetEvidence()) + i)
		writeTree(w, c, head, more)
	}
}
