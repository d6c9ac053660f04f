package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

func newPolicyCmd(a *app) *cobra.Command {
	cmd := group("policy", "Release rules and the votes on them")
	cmd.AddCommand(newPolicyApplyCmd(a), newPolicyListCmd(a), newPolicyShowCmd(a))
	return cmd
}

// vote is what policy:Apply returns.
type vote struct {
	Name    string   `json:"name"`
	Version int      `json:"version"`
	Active  bool     `json:"active"`
	Votes   []string `json:"votes"`
	Needed  int      `json:"needed"`
}

func newPolicyApplyCmd(a *app) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "apply -f FILE", Short: "Vote for a policy text as an admin", Args: operands(),
		Long: "Vote for a policy text, YAML or JSON; - reads standard input. It is in force once\nadmins of a majority of the organisations applied the same text.",
		RunE: a.do(func(ctx context.Context, _ []string) error {
			p, err := a.readPolicy(file)
			if err != nil {
				return err
			}
			r, err := a.act(ctx, "policy:Apply", string(p.Canonical()))
			if err != nil {
				return err
			}
			var v vote
			if err := json.Unmarshal(r.Result, &v); err != nil {
				return fmt.Errorf("read the result of transaction %s: %w", r.TxID, err)
			}
			return a.printAct(r, func(w io.Writer) { writeVote(w, v) }, "applied policy %s", p.Metadata.Name)
		}),
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "the policy's file")
	require(cmd, "file")
	return cmd
}

func writeVote(w io.Writer, v vote) {
	if v.Active {
		fmt.Fprintf(w, "in force as version %d\n", v.Version)
		return
	}
	fmt.Fprintf(w, "%d of %d votes (%s): an admin of another organisation applies the same file\n", len(v.Votes), v.Needed, clean(strings.Join(v.Votes, ", ")))
}

// readPolicy reads and checks a policy before anything is signed. A defect is
// reported with the file's name; a doubled key is one.
func (a *app) readPolicy(file string) (policy.Policy, error) {
	var b []byte
	var err error
	if file == "-" {
		b, err = io.ReadAll(io.LimitReader(a.in, policy.MaxBytes+1))
	} else {
		b, err = os.ReadFile(file)
	}
	if err != nil {
		return policy.Policy{}, fmt.Errorf("read the policy: %w", err)
	}
	doc, err := yaml.YAMLToJSONStrict(b)
	if err != nil {
		return policy.Policy{}, fmt.Errorf("%s: %w", file, err)
	}
	p, err := policy.Parse(doc)
	if err != nil {
		return policy.Policy{}, fmt.Errorf("%s: %w", file, err)
	}
	return p, nil
}

func newPolicyListCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the policies in force and the open votes", Args: operands(),
		RunE: a.do(func(ctx context.Context, _ []string) error {
			return query(ctx, a, func(c answers) (*waybillv1.ListPoliciesResponse, error) { return c.ListPolicies(ctx) }, func(w io.Writer, res *waybillv1.ListPoliciesResponse) {
				t := table("POLICY", "VERSION", "MATCHES", "SINCE", "VOTED BY")
				for _, p := range res.GetPolicies() {
					t.row(p.GetName(), number(p.GetVersion()), strings.Join(p.GetMatch(), ", "), when(p.GetAt()), whoAll(p.GetVoters()))
				}
				t.write(w, "no policy is in force: waybill policy apply -f FILE --as ORG/admin")
				open := table("OPEN VOTE", "TEXT", "VOTED BY")
				for _, b := range res.GetBallots() {
					open.row(b.GetName(), shortHash(b.GetHash()), whoAll(b.GetVoters()))
				}
				if len(open.rows) > 0 {
					blank(w)
					open.write(w, "")
				}
			})
		}),
	}
}

func shortHash(h string) string { return h[:min(12, len(h))] }

func newPolicyShowCmd(a *app) *cobra.Command {
	var version int
	cmd := &cobra.Command{
		Use: "show NAME", Short: "Print a policy's text and who voted for it", Args: operands("NAME"),
		RunE: a.do(func(ctx context.Context, args []string) error {
			return query(ctx, a, func(c answers) (*waybillv1.GetPolicyResponse, error) { return c.GetPolicy(ctx, args[0], version) }, func(w io.Writer, res *waybillv1.GetPolicyResponse) {
				writePolicy(w, res.GetPolicy())
			})
		}),
	}
	cmd.Flags().IntVar(&version, "version", 0, "which version; 0 is the one in force")
	return cmd
}

// writePolicy prints a policy as a file that can be applied again; what is not
// part of the text stands in comments.
func writePolicy(w io.Writer, p *waybillv1.Policy) {
	state := "replaced by a later version"
	if p.GetActive() {
		state = "in force"
	}
	fmt.Fprintf(w, "# %s version %d, %s since %s\n", clean(p.GetName()), p.GetVersion(), state, when(p.GetAt()))
	fmt.Fprintf(w, "# voted by %s\n", clean(whoAll(p.GetVoters())))
	text, err := yaml.JSONToYAML(bytes.TrimSpace([]byte(p.GetText())))
	if err != nil {
		text = []byte(p.GetText() + "\n")
	}
	fmt.Fprint(w, cleanLines(string(text)))
}
