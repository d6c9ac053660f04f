package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

func newRegistryCmd(a *app) *cobra.Command {
	cmd := group("registry", "Registries and who records their events")
	cmd.AddCommand(newRegistryAddCmd(a), newRegistryListCmd(a))
	return cmd
}

func newRegistryAddCmd(a *app) *cobra.Command {
	kind := "distribution"
	cmd := &cobra.Command{
		Use: "add HOST", Short: "Put a registry on the ledger, owned by your organisation", Args: operands("HOST"),
		Long: "Put a registry on the ledger. The signer's organisation owns it from then on:\nonly its gateways record what happens there. HOST is as in an image's name.",
		RunE: a.do(func(ctx context.Context, args []string) error {
			host, err := provenance.ParseHost(args[0])
			if err != nil {
				return usageError{err}
			}
			r, err := a.act(ctx, "registry:Add", string(host), kind)
			if err != nil {
				return err
			}
			return a.printAct(r, nil, "added registry %s", host)
		}),
	}
	cmd.Flags().StringVar(&kind, "kind", kind, "what software it is")
	return cmd
}

func newRegistryListCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the registries on the ledger", Args: operands(),
		RunE: a.do(func(ctx context.Context, _ []string) error {
			return query(ctx, a, func(c answers) (*waybillv1.ListRegistriesResponse, error) { return c.ListRegistries(ctx) }, func(w io.Writer, res *waybillv1.ListRegistriesResponse) {
				t := table("HOST", "OWNER", "KIND", "ADDED", "BY")
				for _, r := range res.GetRegistries() {
					t.row(r.GetHost(), r.GetOwner(), r.GetKind(), when(r.GetAt()), who(r.GetBy()))
				}
				t.write(w, "no registry is on the ledger: waybill registry add HOST --as ORG/admin")
			})
		}),
	}
}
