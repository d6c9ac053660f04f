package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

func newRegistryCmd(a *app) *cobra.Command {
	cmd := parentCmd("registry", "Registries and who records their events")
	cmd.Example = examples(`waybill registry add reg.example:5000 --as vendor/admin`, `waybill registry list`)
	cmd.AddCommand(newRegistryAddCmd(a), newRegistryListCmd(a))
	return cmd
}

func newRegistryAddCmd(a *app) *cobra.Command {
	kind, owner := "distribution", ""
	cmd := &cobra.Command{
		Use: "add HOST[/NAMESPACE]", Short: "Propose who records a registry's events, or vote for it", Args: operands("HOST[/NAMESPACE]"),
		Example: examples(
			`waybill registry add reg.example:5000 --as vendor/admin`,
			`waybill registry add docker.io/team --kind dockerhub --owner VendorMSP \`,
			`    --as security/admin`,
		),
		Long: `Propose that an organisation owns a registry, or a namespace of one: only its
gateways record what happens there. HOST is as in an image's name; NAMESPACE is
the first part of its repositories' names, and all that can be had of a host
that others share (docker.io, ghcr.io, quay.io).

It is in force once admins of a majority of the organisations agree: the same
command with the same --owner is a vote for it, and so is waybill proposal vote
ID yes. A registry that has an owner is given to another one in the same way.`,
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			host, namespace, err := parseRegistry(args[0])
			if err != nil {
				return err
			}
			_, me, err := a.signer()
			if err != nil {
				return err
			}
			if owner == "" {
				owner = me.org.MSPID
			}
			body, err := json.Marshal(registryBody{host, namespace, owner, kind})
			if err != nil {
				return err
			}
			s, r, err := a.openProposal(ctx, state.ProposeRegistry, string(body))
			if err != nil {
				return err
			}
			name := strings.TrimSuffix(string(host)+"/"+string(namespace), "/")
			return a.printCommitted(r, func(w io.Writer) { writeRegistryVote(w, s, name, kind, owner) }, "registry %s for %s", name, owner)
		}),
	}
	cmd.Flags().StringVar(&kind, "kind", kind, "what software it is")
	cmd.Flags().StringVar(&owner, "owner", "", "whose it shall be (MSP id; default your organisation)")
	return cmd
}

// registryBody is the body of a proposal of kind registry.
type registryBody struct {
	Host      provenance.Host       `json:"host"`
	Namespace provenance.Repository `json:"namespace"`
	Owner     string                `json:"owner"`
	Kind      string                `json:"kind"`
}

// parseRegistry reads HOST or HOST/NAMESPACE.
func parseRegistry(s string) (provenance.Host, provenance.Repository, error) {
	name, path, has := strings.Cut(s, "/")
	host, err := provenance.ParseHost(name)
	if err != nil || !has {
		return host, "", asUsage(err)
	}
	namespace, err := provenance.ParseRepository(path)
	return host, namespace, asUsage(err)
}

func writeRegistryVote(w io.Writer, s tally, name, kind, owner string) {
	switch s.Proposal.Status {
	case state.ProposalAccepted:
		fmt.Fprintf(w, "agreed and in force: %s records the events of %s\n", sanitize(owner), sanitize(name))
	case state.ProposalOpen:
		fmt.Fprintf(w, "%d of %d organisations agreed (%s); it is in force once they all have\n", len(s.Yes), s.Needed, sanitize(strings.Join(s.Yes, ", ")))
		fmt.Fprintf(w, "an admin of another one: waybill registry add %s --kind %s --owner %s --as ORG/admin\n", sanitize(name), sanitize(kind), sanitize(owner))
		fmt.Fprintf(w, "                     or: waybill proposal vote %s yes --as ORG/admin\n", sanitize(s.Proposal.ID))
	default:
		writeTally(w, s)
	}
}

func newRegistryListCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the registries on the ledger", Args: operands(),
		Example: examples(`waybill registry list`),
		RunE: a.withTimeout(func(ctx context.Context, _ []string) error {
			return query(ctx, a, func(c gatewayAPI) (*waybillv1.ListRegistriesResponse, error) { return c.ListRegistries(ctx) }, func(w io.Writer, res *waybillv1.ListRegistriesResponse) {
				t := table("REGISTRY", "OWNER", "KIND", "ADDED", "BY")
				for _, r := range res.GetRegistries() {
					t.row(strings.TrimSuffix(r.GetHost()+"/"+r.GetNamespace(), "/"), r.GetOwner(), r.GetKind(), when(r.GetAt()), who(r.GetBy()))
				}
				t.write(w, "no registry is on the ledger: waybill registry add HOST --as ORG/admin")
			})
		}),
	}
}
