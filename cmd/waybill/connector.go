package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
	"github.com/waybill-dev/waybill/gateway/selftest"
)

// connectorAPI are the questions about a gateway's connectors.
type connectorAPI interface {
	ListConnectors(ctx context.Context) (*waybillv1.ListConnectorsResponse, error)
	TestConnector(ctx context.Context, name, repository string) (*waybillv1.TestConnectorResponse, error)
}

func newConnectorCmd(a *app) *cobra.Command {
	cmd := parentCmd("connector", "Where the gateway's notifications come from")
	cmd.Example = examples(`waybill connector list --as vendor/admin`, `waybill connector test harbor --as vendor/admin`)
	cmd.Long = "Where the gateway's notifications come from. Only admins of the gateway's own\norganisation may look: --as ORG/admin."
	cmd.AddCommand(newConnectorListCmd(a), newConnectorTestCmd(a))
	return cmd
}

func newConnectorListCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the gateway's connectors, and what came to them", Args: operands(),
		Example: examples(`waybill connector list --as vendor/admin`),
		Long: `List the connectors in the gateway's configuration: the registry that each
speaks for, the path of its hook, how its senders prove themselves, and what
came since the gateway process was started. What is weak about a proof stands
below.`,
		RunE: a.withTimeout(func(ctx context.Context, _ []string) error {
			a.ownOnly = true
			return query(ctx, a, func(c gatewayAPI) (*waybillv1.ListConnectorsResponse, error) { return c.ListConnectors(ctx) }, writeConnectors)
		}),
	}
}

func writeConnectors(w io.Writer, res *waybillv1.ListConnectorsResponse) {
	t := table("NAME", "KIND", "REGISTRY", "HOOK", "REPOSITORIES", "AUTHENTICATION", "ACCEPTED", "DUPLICATE", "IGNORED", "REFUSED", "LAST EVENT")
	weak := table()
	for _, c := range res.GetConnectors() {
		repositories, proof := strings.Join(c.GetRepositories(), ", "), c.GetAuthentication()
		if repositories == "" {
			repositories = "all"
		}
		if c.GetWeakness() != "" {
			proof += " (weak)"
			weak.row("weak: "+c.GetName(), c.GetWeakness())
		}
		refused := number(c.GetRefused())
		if c.GetRefused() > 0 {
			refused += fmt.Sprintf(", last %s with %d", when(c.GetLastRefused()), c.GetLastRefusedStatus())
		}
		t.row(c.GetName(), c.GetKind(), c.GetHost(), c.GetPath(), repositories, proof, number(c.GetAccepted()), number(c.GetDuplicate()),
			number(c.GetIgnored()), refused, when(c.GetLastEvent()))
	}
	t.write(w, "this gateway has no connectors: docs/guides says how to add one")
	if len(weak.rows) > 0 {
		blank(w)
		weak.write(w, "")
	}
}

func newConnectorTestCmd(a *app) *cobra.Command {
	var repository string
	cmd := &cobra.Command{
		Use: "test NAME", Short: "Send a sample through a connector and show each step",
		Example: examples(`waybill connector test harbor --as vendor/admin`),
		Long: `Make the gateway send itself the request with which a connector's registry would
report a push: over HTTP to its own hook, proved with the connector's secret,
which does not leave the gateway. The sample passes what a notification passes:
listener, authentication, reading, repositories, mapping, and the queue, where
it is written and taken back in one commit. It is recorded as a test and never
on the ledger. The same is then sent again, to see whether a repeated
notification is known, and the registry is asked whether the gateway may read
it. Where a step fails, what to paste into the registry is printed.

A connector of a kind whose proof only a cloud can sign (gar, or acr-eventgrid
with tokens) cannot be tested in this way.

Only admins of the gateway's organisation may: --as ORG/admin. The exit code is
0 when every step went well, 1 when one failed, and 10 when there is no such
connector.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := operands("NAME")(cmd, args); err != nil || repository == "" {
				return err
			}
			_, err := provenance.ParseRepository(repository)
			return err
		},
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			a.ownOnly = true
			res, err := fetch(ctx, a, func(c gatewayAPI) (*waybillv1.TestConnectorResponse, error) {
				return c.TestConnector(ctx, args[0], repository)
			})
			if err != nil {
				return err
			}
			if err := a.emit(plainJSON{res}, func(w io.Writer) { writeConnectorTest(w, res) }); err != nil {
				return err
			}
			if res.GetOutcome() != selftest.Recorded {
				return errors.New("connector " + res.GetConnector() + " failed its test")
			}
			return nil
		}),
	}
	cmd.Flags().StringVar(&repository, "repository", "", "`repository` of the sample, without the host (default one made up from the connector's repositories)")
	return cmd
}

func writeConnectorTest(w io.Writer, res *waybillv1.TestConnectorResponse) {
	fmt.Fprintf(w, "connector %s (%s) for %s, %s\n\n", sanitize(res.GetConnector()), sanitize(res.GetKind()), sanitize(res.GetHost()), sanitize(res.GetPath()))
	t := table("STEP", "RESULT", "DETAIL")
	var advice []string
	for _, s := range res.GetSteps() {
		t.row(s.GetName(), s.GetResult(), s.GetDetail())
		if s.GetAdvice() != "" {
			advice = append(advice, s.GetResult()+" "+s.GetName()+": "+s.GetAdvice())
		}
	}
	t.write(w, "")
	if len(advice) > 0 {
		blank(w)
	}
	for _, line := range advice {
		fmt.Fprintln(w, sanitize(line))
	}
	if res.GetOutcome() == selftest.Recorded {
		fmt.Fprintln(w, "\nrecorded as a test; nothing of it is on the ledger")
		return
	}
	fmt.Fprintf(w, "\nwhat to paste into the registry (docs/guides/%s.md has the reasons):\n\n", sanitize(res.GetKind()))
	for line := range strings.Lines(res.GetSettings()) {
		fmt.Fprintln(w, "  "+sanitize(strings.TrimSuffix(line, "\n")))
	}
}
