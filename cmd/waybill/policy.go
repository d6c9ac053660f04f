package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
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
		Long:    "Propose a policy text, YAML or JSON; - reads standard input. It is in force once\nadmins of a majority of the organisations agree: proposing the same text is a\nvote for it, and so is waybill proposal vote ID yes. The text is kept as it is,\ncomments included, and voted on; waybill policy show gives it back.",
		RunE: a.withTimeout(func(ctx context.Context, _ []string) error {
			p, text, err := a.readPolicy(file)
			if err != nil {
				return err
			}
			return a.propose(ctx, state.ProposePolicy, text, "proposed policy "+p.Metadata.Name)
		}),
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "the policy's file")
	requireFlags(cmd, "file")
	return cmd
}

// readPolicy reads and checks a policy, as the contract will, before anything is
// signed, and returns it with its text, of which line ends alone are changed. A defect
// is reported with the file's name.
func (a *app) readPolicy(file string) (policy.Policy, string, error) {
	b, err := a.readFile("policy", file, maxText)
	if err != nil {
		return policy.Policy{}, "", err
	}
	b = bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
	p, err := policy.ParseText(b)
	if err != nil {
		return policy.Policy{}, "", fmt.Errorf("%s: %w", file, err)
	}
	return p, string(b), nil
}

// checkSource makes sure that a text says what stands beside it as its rules; "" is
// no text.
func checkSource(what, source string, canonical []byte) error {
	if source == "" {
		return nil
	}
	p, err := policy.ParseText([]byte(source))
	if err != nil {
		return fmt.Errorf("the text of %s: %w", what, err)
	}
	if !bytes.Equal(p.Canonical(), canonical) {
		return provenance.Errorf(provenance.Internal, "the text that is shown as that of %s does not say what is shown as its rules", what)
	}
	return nil
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
		Use: "show NAME", Short: "Print a policy as it was proposed and who voted for it", Args: operands("NAME"),
		Example: examples(`waybill policy show default`, `waybill policy show default --version 2`),
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			return query(ctx, a, func(c gatewayAPI) (*waybillv1.GetPolicyResponse, error) {
				res, err := c.GetPolicy(ctx, args[0], version)
				if err != nil {
					return nil, err
				}
				return res, checkSource("policy "+args[0], res.GetPolicy().GetSource(), []byte(res.GetPolicy().GetText()))
			}, func(w io.Writer, res *waybillv1.GetPolicyResponse) { a.writePolicy(w, res.GetPolicy()) })
		}),
	}
	cmd.Flags().IntVar(&version, "version", 0, "which version; 0 is the one in force")
	a.atFlag(cmd)
	return cmd
}

// writePolicy prints a policy as a file that can be applied again: the text that
// was proposed, to the byte, and what is no part of it as a notice; where there is
// none, its rules, and what is no part of them in comments.
func (a *app) writePolicy(w io.Writer, p *waybillv1.Policy) {
	state := "replaced by a later version"
	if p.GetActive() {
		state = "in force"
	}
	standing := fmt.Sprintf("%s version %d, %s since %s", p.GetName(), p.GetVersion(), state, when(p.GetAt()))
	if p.GetSource() != "" {
		a.notice("%s, voted by %s; comments decide nothing", standing, whoAll(p.GetVoters()))
		fmt.Fprint(w, sanitizeLines(p.GetSource()))
		return
	}
	fmt.Fprintf(w, "# %s\n# voted by %s\n", sanitize(standing), sanitize(whoAll(p.GetVoters())))
	fmt.Fprint(w, sanitizeLines(asYAML([]byte(p.GetText()))))
}

// asYAML is a document as YAML, or as it is where it is none.
func asYAML(document []byte) string {
	text, err := yaml.JSONToYAML(bytes.TrimSpace(document))
	if err != nil {
		return string(document) + "\n"
	}
	return string(text)
}
