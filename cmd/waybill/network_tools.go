package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/network"
)

// newNetworkToolsCmd builds what a network needs beside Waybill itself. Only
// the demo and the curious call it: `network up` builds what it lacks.
func newNetworkToolsCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "tools", Short: "Build the Fabric programs, a registry and its client, and print the registry's folder", Hidden: true, Args: operands(),
		Example: examples(`waybill network tools`),
		RunE: a.withoutTimeout(func(ctx context.Context, _ []string) error {
			if _, err := network.BuildTools(ctx, a.errOut); err != nil {
				return err
			}
			programs, err := network.BuildRegistryTools(ctx, a.errOut)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.out, filepath.Dir(programs.Registry))
			return err
		}),
	}
}
