package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/cmd/reference"
	"github.com/waybill-dev/waybill/gateway"
)

// work is what a command does once the configuration is read and valid.
type work func(context.Context, *cobra.Command, gateway.Config) error

func newRootCmd() *cobra.Command {
	var path, level string
	root := &cobra.Command{
		Use:   "waybill-gateway",
		Short: "Bridge an organisation's registries and the ledger",
		Long: `waybill-gateway takes registry notifications, records them on the ledger,
follows its blocks into an index and answers questions from it.

Start with "init" once, then "run". Every key of the configuration that is not a
list can also be set in the environment: queue.lanes as WAYBILL_QUEUE_LANES.

Losing data_dir/queue.db loses events that were accepted and not recorded yet;
data_dir/index.db may be deleted at any time.`,
		Example: `  waybill-gateway init --config gateway.yaml
  waybill-gateway run --config gateway.yaml`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().StringVar(&path, "config", "gateway.yaml", "configuration `file` (YAML)")
	root.PersistentFlags().StringVar(&level, "log-level", "info", "debug, info, warn or error")

	configured := func(do work) func(*cobra.Command, []string) error {
		return func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(path)
			if err != nil {
				return err
			}
			if err := cfg.Validate(); err != nil {
				return fmt.Errorf("configuration %s:\n  %s", path, strings.ReplaceAll(err.Error(), "\n", "\n  "))
			}
			var l slog.Level
			if err := l.UnmarshalText([]byte(level)); err != nil {
				return fmt.Errorf("--log-level: %w", err)
			}
			cfg.Log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: l})).With(slog.String("org", cfg.Org))
			cfg.Version = version
			return do(cmd.Context(), cmd, cfg)
		}
	}
	cobra.EnableCommandSorting = false // init stands before run
	root.AddCommand(
		newInitCmd(configured),
		&cobra.Command{
			Use: "run", Short: "Run the gateway until it is stopped", Args: cobra.NoArgs,
			Example: "  waybill-gateway run --config gateway.yaml --log-level debug",
			RunE:    configured(func(ctx context.Context, _ *cobra.Command, cfg gateway.Config) error { return gateway.Run(ctx, cfg) }),
		},
		&cobra.Command{
			Use: "check-config", Short: "Say everything that is wrong with the configuration", Args: cobra.NoArgs,
			Example: "  waybill-gateway check-config --config gateway.yaml",
			RunE: configured(func(_ context.Context, cmd *cobra.Command, _ gateway.Config) error {
				fmt.Fprintf(cmd.OutOrStdout(), "%s is valid\n", path)
				return nil
			}),
		},
		&cobra.Command{
			Use: "reindex", Short: "Rebuild the index from block 0", Args: cobra.NoArgs,
			Long: `Rebuild the index from block 0. The gateway must be stopped, unless the index is
in PostgreSQL.`,
			Example: "  waybill-gateway reindex --config gateway.yaml",
			RunE: configured(func(ctx context.Context, cmd *cobra.Command, cfg gateway.Config) error {
				height, err := gateway.Reindex(ctx, cfg)
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "index rebuilt to height %d\n", height)
				return nil
			}),
		},
		newFsckCmd(configured),
		&cobra.Command{
			Use: "version", Short: "Print the version", Args: cobra.NoArgs, Example: "  waybill-gateway version",
			Run: func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), version) },
		},
		reference.NewCmd("waybill-gateway", newRootCmd),
	)
	root.InitDefaultCompletionCmd()
	addCompletionExamples(root)
	return root
}

// newInitCmd makes the databases. Where a start of the process cannot know whether it is the first,
// as in a pod, --once makes it safe to say it each time.
func newInitCmd(configured func(work) func(*cobra.Command, []string) error) *cobra.Command {
	var once bool
	cmd := &cobra.Command{
		Use: "init", Short: "Create the databases in an empty data_dir", Args: cobra.NoArgs,
		Example: "  waybill-gateway init --config gateway.yaml",
		RunE: configured(func(ctx context.Context, cmd *cobra.Command, cfg gateway.Config) error {
			create := gateway.Init
			if once {
				create = gateway.InitOnce
			}
			if err := create(ctx, cfg); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "created %s\n", cfg.DataDir)
			return nil
		}),
	}
	cmd.Flags().BoolVar(&once, "once", false, "succeed where the databases are there already")
	return cmd
}

// addCompletionExamples gives cobra's completion commands what all of ours have.
func addCompletionExamples(root *cobra.Command) {
	completion, _, err := root.Find([]string{"completion"})
	if err != nil {
		return
	}
	for _, c := range completion.Commands() {
		c.Example = "  waybill-gateway completion " + c.Name()
	}
}
