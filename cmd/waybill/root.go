package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// app is one run of the program: its streams, its environment, the global
// flags, and the backends, which tests replace.
type app struct {
	program     string // how this program was called
	in          io.Reader
	out, errOut io.Writer
	getenv      func(string) string
	colour      bool
	backends    backends

	dir, as, gateway string
	output           format
	timeout          time.Duration
	// awaitTimeout is how long a transaction waits for what another organisation did just before.
	awaitTimeout time.Duration

	// ownOnly: the question is about one's own gateway; no other's answer will do.
	ownOnly bool
	// started: the command line was understood; errors are no longer usage errors.
	started bool
}

func newApp(program string, in io.Reader, out, errOut io.Writer, getenv func(string) string) *app {
	return &app{
		program: program, in: in, out: out, errOut: errOut, getenv: getenv, output: formatTable, awaitTimeout: 3 * time.Second,
		colour:   terminal(out) && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb",
		backends: liveBackends(),
	}
}

// terminal tells whether a person is likely to be looking at w.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, a *app, args []string) int {
	root := newRootCmd(a) //nolint:contextcheck // cobra hands each command its context when it runs
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !a.started {
		err = usageError{err}
		if hintOf(err) == usageHint {
			err = hint(err, "see %s --help", cmd.CommandPath())
		}
	}
	report(a.errOut, err)
	return exitOf(err)
}

func newRootCmd(a *app) *cobra.Command {
	root := parentCmd("waybill", "Container-image provenance that several organisations agree on")
	root.Long = `Waybill records what registries report, gathers approvals of several
organisations, and answers whether an image may run in a stage.

IMAGE is host/repository@sha256:... or host/repository:tag. A tag is looked up
on the ledger, never in the registry.

What is signed, and what verify answers, comes from the peer of your own
organisation (--as). A gateway answers other questions; where your organisation's
is not running another one's may, and that is said on stderr.

` + exitHelp
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.errOut)

	dir := a.getenv("WAYBILL_DIR")
	if dir == "" {
		dir = ".waybill/network"
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.dir, "dir", dir, "network folder (WAYBILL_DIR)")
	flags.StringVar(&a.as, "as", a.getenv("WAYBILL_AS"), "who asks or signs: ORG/NAME (WAYBILL_AS)")
	flags.StringVar(&a.gateway, "gateway", "", "ask the gateway at this address instead of the organisation's own")
	flags.VarP(&a.output, "output", "o", "how to print: table, json or yaml")
	flags.DurationVar(&a.timeout, "timeout", 30*time.Second, "how long to wait for the ledger or a gateway")
	_ = root.RegisterFlagCompletionFunc("as", a.completeIdentity) // fails only for a flag that is not there
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))

	root.AddCommand(
		newStatusCmd(a), newVerifyCmd(a), newExplainCmd(a), newHistoryCmd(a), newPullsCmd(a), newPromotionsCmd(a),
		newInboxCmd(a), newPromoteCmd(a), newApproveCmd(a), newRejectCmd(a), newWithdrawCmd(a), newCancelCmd(a), newReleaseCmd(a), newResumeCmd(a),
		newBreakGlassCmd(a), newReviewCmd(a), newQuarantineCmd(a), newUnquarantineCmd(a), newWaiverCmd(a),
		newAttestCmd(a), newEvidenceCmd(a), newTreeCmd(a), newKeyCmd(a), newSchemaCmd(a), newContextCmd(a), newLabelCmd(a),
		newPolicyCmd(a), newProposalCmd(a), newMemberCmd(a), newRegistryCmd(a), newQueueCmd(a), newSweepCmd(a), newConnectorCmd(a), newClockCmd(a),
		newNetworkCmd(a), newVersionCmd(a), newOutputTopic(),
	)
	return root
}

// parentCmd is a command that only holds others: alone it prints its help, with a
// word it does not know it says which one was meant.
func parentCmd(use, short string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			names := []string{}
			for _, c := range cmd.Commands() {
				if c.IsAvailableCommand() {
					names = append(names, c.Name())
				}
			}
			return hint(usagef("%s has no command %q", cmd.CommandPath(), args[0]), "%s", didYouMean(args[0], names))
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
}

// withTimeout makes a command's RunE: the work gets the --timeout as its deadline.
func (a *app) withTimeout(work func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		a.started = true
		ctx, cancel := context.WithTimeout(cmd.Context(), a.timeout)
		defer cancel()
		return work(ctx, args)
	}
}

// withoutTimeout makes the RunE of a command that takes the time it takes.
func withoutTimeout(a *app, work func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		a.started = true
		return work(cmd.Context(), args)
	}
}

// requireFlags marks flags a command cannot do without.
func requireFlags(cmd *cobra.Command, flags ...string) {
	for _, f := range flags {
		_ = cmd.MarkFlagRequired(f) // fails only for a flag that is not there
	}
}

// operands says what a command takes besides flags, by the names its help uses.
func operands(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return fmt.Errorf("%s is missing", names[len(args)])
		case len(args) > len(names) && len(names) == 0:
			return fmt.Errorf("%s takes no argument, not %q", cmd.CommandPath(), args[0])
		case len(args) > len(names):
			return fmt.Errorf("%q is one argument too many", args[len(names)])
		}
		return nil
	}
}

// siblingProgram names another of Waybill's programs as this one was called, so that
// what is printed can be pasted.
func (a *app) siblingProgram(name string) string {
	if dir := filepath.Dir(a.program); strings.ContainsRune(a.program, filepath.Separator) {
		return filepath.Join(dir, name)
	}
	return name
}
