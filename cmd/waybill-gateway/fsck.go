package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/gateway"
)

// fsck's exit codes, those of diff: what it found is no failure.
const (
	exitDiffers = 1
	exitTrouble = 2
)

// exitError carries an exit code that is not the usual one.
type exitError struct {
	code int
	error
}

func (e exitError) Unwrap() error { return e.error }

// newFsckCmd compares queue, index and ledger.
func newFsckCmd(configured func(work) func(*cobra.Command, []string) error) *cobra.Command {
	var repair bool
	var output string
	cmd := &cobra.Command{
		Use: "fsck", Short: "Compare queue, index and ledger",
		Example: `  waybill-gateway fsck --config gateway.yaml
  waybill-gateway fsck --config gateway.yaml --repair -o json`,
		Long: `Compare queue, index and ledger, and name what differs. The gateway and its
replicas must be stopped, and the peer must run. Every block is read and an
index is built beside the one there is: it takes as long as reindex.

With --repair, what the ledger proves is repaired: events that stand there are
closed as recorded, and so are segments (blocks of events that were recorded
together); a queue that is an old copy goes on after the last segment; an index
that differs is replaced. The ledger itself cannot be repaired, and what cannot
be known is left as it is.

Exit codes: 0 nothing differs, or all of it was repaired; 1 differences are
left; 2 it could not be compared. With -o json the codes of findings are stable.`,
	}
	cmd.Flags().BoolVar(&repair, "repair", false, "repair what the ledger proves")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	run := configured(func(ctx context.Context, cmd *cobra.Command, cfg gateway.Config) error {
		return fsck(ctx, cmd, cfg, repair, output)
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return trouble(run(cmd, args)) }
	cmd.Args = func(cmd *cobra.Command, args []string) error { return trouble(cobra.NoArgs(cmd, args)) }
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return trouble(err) })
	return cmd
}

// trouble is every error but that of differences that are left.
func trouble(err error) error {
	if exit := (exitError{}); err == nil || errors.As(err, &exit) {
		return err
	}
	return exitError{exitTrouble, err}
}

func fsck(ctx context.Context, cmd *cobra.Command, cfg gateway.Config, repair bool, output string) error {
	if output != "text" && output != "json" {
		return fmt.Errorf("--output: want text or json, not %q", output)
	}
	report, err := gateway.Fsck(ctx, cfg, repair)
	if err != nil && len(report.Findings) == 0 {
		return err
	}
	// After a repair that failed, those before it are worth knowing.
	if output == "json" {
		encoder := json.NewEncoder(cmd.OutOrStdout())
		encoder.SetIndent("", "  ")
		err = errors.Join(err, encoder.Encode(report))
	} else {
		fmt.Fprint(cmd.OutOrStdout(), report)
	}
	if err != nil {
		return err
	}
	if n := report.Left(); n > 0 {
		return exitError{exitDiffers, fmt.Errorf("%d of %d differences are left", n, len(report.Findings))}
	}
	return nil
}
