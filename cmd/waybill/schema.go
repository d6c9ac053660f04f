package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

func newSchemaCmd(a *app) *cobra.Command {
	cmd := parentCmd("schema", "Schemas of your own types of evidence")
	cmd.Example = examples(`waybill schema add load-test -f load-test.schema.json --as vendor/admin`, `waybill schema list`)
	var file string
	add := &cobra.Command{
		Use: "add NAME -f FILE", Short: "Register the JSON schema of an evidence type, as an admin", Args: operands("NAME"),
		Example: examples(`waybill schema add load-test -f load-test.schema.json --as vendor/admin`),
		Long:    "Register the JSON schema of an evidence type of your own. The type is\ncustom/MSP/NAME, where MSP is your organisation's: no two can claim one name.",
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			schema, err := a.readFile("schema", file, maxText)
			if err != nil {
				return err
			}
			if err := evidence.CheckSchema(schema); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			r, err := a.submit(ctx, "schema:Add", args[0], string(schema))
			if err != nil {
				return err
			}
			_, me, err := a.signer()
			if err != nil {
				return err
			}
			return a.printCommitted(r, nil, "registered the schema of %s", customType(me.org.MSPID, args[0]))
		}),
	}
	add.Flags().StringVarP(&file, "file", "f", "", "the schema's file")
	requireFlags(add, "file")
	cmd.AddCommand(add, &cobra.Command{
		Use: "list", Short: "List the schemas", Args: operands(),
		Example: examples(`waybill schema list`),
		RunE: a.withTimeout(func(ctx context.Context, _ []string) error {
			return query(ctx, a, func(c gatewayAPI) (*waybillv1.ListSchemasResponse, error) { return c.ListSchemas(ctx) }, func(w io.Writer, res *waybillv1.ListSchemasResponse) {
				t := table("TYPE", "ORGANISATION", "REGISTERED", "BY")
				for _, s := range res.GetSchemas() {
					t.row(customType(s.GetMsp(), s.GetName()), s.GetMsp(), when(s.GetAt()), who(s.GetBy()))
				}
				t.write(w, "no schema is registered")
			})
		}),
	})
	return cmd
}

// customType is the evidence type that an organisation's schema is for.
func customType(msp, name string) string {
	return evidence.CustomPrefix + msp + "/" + strings.TrimPrefix(name, msp+"/")
}
