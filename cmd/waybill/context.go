package main

import (
	"context"
	"encoding/json"
	"io"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

func newContextCmd(a *app) *cobra.Command {
	cmd := parentCmd("context", "Variables your organisation publishes for the rules")
	cmd.Example = examples(`waybill context set incident true --as security/admin`, `waybill context list`)
	set := &cobra.Command{
		Use: "set NAME VALUE", Short: "Publish a variable: true, false, a number or a text", Args: operands("NAME", "VALUE"),
		Example: examples(`waybill context set incident true --as security/admin`),
		Long:    "Publish a variable that policies may use: spec.context of a policy says whose\nvalue counts. A VALUE that is not JSON is taken as text; null removes it.",
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			value := args[1]
			if !json.Valid([]byte(value)) {
				b, err := json.Marshal(value)
				if err != nil {
					return err
				}
				value = string(b)
			}
			r, err := a.submit(ctx, "context:Set", args[0], value)
			if err != nil {
				return err
			}
			return a.printCommitted(r, nil, "context.%s is %s", args[0], value)
		}),
	}
	cmd.AddCommand(set, &cobra.Command{
		Use: "list", Short: "List the variables and who publishes them", Args: operands(),
		Example: examples(`waybill context list`),
		RunE: a.withTimeout(func(ctx context.Context, _ []string) error {
			return query(ctx, a, func(c gatewayAPI) (*waybillv1.ListContextResponse, error) { return c.ListContext(ctx) }, func(w io.Writer, res *waybillv1.ListContextResponse) {
				t := table("ORGANISATION", "VARIABLE", "VALUE", "SINCE")
				for _, v := range res.GetVariables() {
					t.row(v.GetMsp(), v.GetName(), v.GetValue(), when(v.GetAt()))
				}
				t.write(w, "no variable is published: waybill context set NAME VALUE")
			})
		}),
	})
	return cmd
}
