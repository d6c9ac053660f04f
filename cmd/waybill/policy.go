package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

func newPolicyCmd(a *app) *cobra.Command {
	cmd := parentCmd("policy", "Release rules and the votes on them")
	cmd.Example = examples(
		`waybill policy simulate -f policy.yaml`,
		`waybill policy propose -f policy.yaml --as vendor/admin`,
		`waybill policy show default`,
	)
	cmd.AddCommand(newPolicyProposeCmd(a), newPolicyListCmd(a), newPolicyShowCmd(a), newPolicyDiffCmd(a), newPolicySimulateCmd(a),
		newVoteCmd(a), newProposalWithdrawCmd(a), newPolicyVersionsCmd(a))
	return cmd
}

func newPolicyProposeCmd(a *app) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "propose -f FILE", Aliases: []string{"apply"}, Short: "Propose a policy text, or vote for the same text, as an admin", Args: operands(),
		Example: examples(`waybill policy propose -f policy.yaml --as vendor/admin`),
		Long:    "Propose a policy text, YAML or JSON; - reads standard input. It is in force once\nadmins of a majority of the organisations agree: proposing the same text is a\nvote for it, and so is waybill proposal vote ID yes.",
		RunE: a.withTimeout(func(ctx context.Context, _ []string) error {
			p, err := a.readPolicy(file)
			if err != nil {
				return err
			}
			return a.propose(ctx, state.ProposePolicy, string(p.Canonical()), "proposed policy "+p.Metadata.Name)
		}),
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "the policy's file")
	requireFlags(cmd, "file")
	return cmd
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
		Example: examples(`waybill policy list`),
		RunE: a.withTimeout(func(ctx context.Context, _ []string) error {
			return query(ctx, a, func(c gatewayAPI) (*waybillv1.ListPoliciesResponse, error) { return c.ListPolicies(ctx) }, func(w io.Writer, res *waybillv1.ListPoliciesResponse) {
				t := table("POLICY", "VERSION", "MATCHES", "SINCE", "VOTED BY")
				for _, p := range res.GetPolicies() {
					t.row(p.GetName(), number(p.GetVersion()), strings.Join(p.GetMatch(), ", "), when(p.GetAt()), whoAll(p.GetVoters()))
				}
				t.write(w, "no policy is in force: waybill policy propose -f FILE --as ORG/admin")
				if len(res.GetProposals()) > 0 {
					blank(w)
					writeProposals(w, res.GetProposals())
				}
			})
		}),
	}
}

func newPolicyVersionsCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "versions NAME", Short: "List the versions a policy had", Args: operands("NAME"),
		Example: examples(`waybill policy versions default`),
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			return query(ctx, a, func(c gatewayAPI) (*waybillv1.ListPolicyVersionsResponse, error) {
				return c.ListPolicyVersions(ctx, args[0])
			}, func(w io.Writer, res *waybillv1.ListPolicyVersionsResponse) {
				t := table("VERSION", "HASH", "SINCE", "VOTED BY", "")
				for _, p := range res.GetVersions() {
					active := ""
					if p.GetActive() {
						active = "in force"
					}
					t.row(number(p.GetVersion()), shortHash(p.GetHash()), when(p.GetAt()), whoAll(p.GetVoters()), active)
				}
				t.write(w, "there is no policy of that name")
			})
		}),
	}
}

func newPolicyShowCmd(a *app) *cobra.Command {
	var version int
	cmd := &cobra.Command{
		Use: "show NAME", Short: "Print a policy's text and who voted for it", Args: operands("NAME"),
		Example: examples(`waybill policy show default`, `waybill policy show default --version 2`),
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			return query(ctx, a, func(c gatewayAPI) (*waybillv1.GetPolicyResponse, error) { return c.GetPolicy(ctx, args[0], version) }, func(w io.Writer, res *waybillv1.GetPolicyResponse) {
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
	fmt.Fprintf(w, "# %s version %d, %s since %s\n", sanitize(p.GetName()), p.GetVersion(), state, when(p.GetAt()))
	fmt.Fprintf(w, "# voted by %s\n", sanitize(whoAll(p.GetVoters())))
	text, err := yaml.JSONToYAML(bytes.TrimSpace([]byte(p.GetText())))
	if err != nil {
		text = []byte(p.GetText() + "\n")
	}
	fmt.Fprint(w, sanitizeLines(string(text)))
}
