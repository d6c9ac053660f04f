package main

import (
	"context"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

func newLabelCmd(a *app) *cobra.Command {
	cmd := parentCmd("label", "Labels of repositories, for the rules")
	cmd.Example = examples(
		`waybill label set reg.example/app tier=critical --as vendor/admin`,
		`waybill label list --repository reg.example/app`,
	)
	set := &cobra.Command{
		Use: "set HOST/REPOSITORY NAME=VALUE", Short: "Set a label, or remove it with an empty value", Args: operands("HOST/REPOSITORY", "NAME=VALUE"),
		Example: examples(`waybill label set reg.example/app tier=critical --as vendor/admin`),
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			host, repo, err := parseRepository(args[0])
			if err != nil {
				return err
			}
			name, value, ok := strings.Cut(args[1], "=")
			if !ok {
				return usagef("label %q: want NAME=VALUE", args[1])
			}
			r, err := a.submit(ctx, "label:Set", string(host), string(repo), name, value)
			if err != nil {
				return err
			}
			return a.printCommitted(r, nil, "label %s of %s is %q", name, args[0], value)
		}),
	}
	var repository string
	list := &cobra.Command{
		Use: "list", Short: "List labels", Args: operands(),
		Example: examples(`waybill label list --repository reg.example/app`),
		RunE: a.withTimeout(func(ctx context.Context, _ []string) error {
			return query(ctx, a, func(c gatewayAPI) (*waybillv1.ListLabelsResponse, error) { return c.ListLabels(ctx, repository) }, func(w io.Writer, res *waybillv1.ListLabelsResponse) {
				t := table("REPOSITORY", "LABEL", "VALUE")
				for _, l := range res.GetLabels() {
					t.row(l.GetHost()+"/"+l.GetRepository(), l.GetName(), l.GetValue())
				}
				t.write(w, "no label is set: waybill label set HOST/REPOSITORY NAME=VALUE")
			})
		}),
	}
	list.Flags().StringVar(&repository, "repository", "", "only of this host/repository")
	cmd.AddCommand(set, list)
	return cmd
}
