package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/cmd/reference"
)

// app is one run of the program: its streams, its environment, the global
// flags, and the backends, which tests replace.
type app struct {
	program     string // how this program was called
	args        []string
	in          io.Reader
	out, errOut io.Writer
	getenv      func(string) string
	colour      bool
	backends    backends

	dir, as, gateway string
	passphraseFile   string
	output           format
	timeout          time.Duration
	// awaitTimeout is how long a transaction waits for what another organisation did just before.
	awaitTimeout time.Duration

	// at is as of when a question is asked: a height or a time; empty: now.
	at string
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
	a.args = args
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
on the ledger, never in the registry. STAGE is one that the policy names. MSP is
the id of an organisation on the ledger (VendorMSP), and ORG/NAME one of its
people as the network folder names them (vendor/admin).

What is signed, and what verify answers, comes from the peer of your own
organisation (--as). A gateway answers other questions. Where the gateway of
your organisation is not running, that of another one may answer, and a line on
standard error says so.

` + exitHelp
	root.Example = examples("waybill network up", "waybill status", "waybill verify reg.example/app:1.0 --stage production")
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.errOut)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return flagError(cmd, a.args, err) })

	dir := a.getenv("WAYBILL_DIR")
	if dir == "" {
		dir = ".waybill/network"
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.dir, "dir", dir, "`folder` of a network or an organisation (WAYBILL_DIR)")
	flags.StringVar(&a.as, "as", a.getenv("WAYBILL_AS"), "who asks or signs, as `ORG/NAME` (WAYBILL_AS)")
	flags.StringVar(&a.passphraseFile, "passphrase-file", a.getenv("WAYBILL_PASSPHRASE_FILE"), "`file` with the passphrase of an encrypted key")
	flags.StringVar(&a.gateway, "gateway", "", "ask the gateway at this `address` instead of the organisation's own")
	flags.VarP(&a.output, "output", "o", "how to print: table, json or yaml")
	flags.DurationVar(&a.timeout, "timeout", 30*time.Second, "how long to wait for the ledger or a gateway")
	_ = root.RegisterFlagCompletionFunc("as", a.completeIdentity) // fails only for a flag that is not there
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))

	addGroups(root, a)
	root.AddCommand(newOutputTopic(), reference.NewCmd("waybill", newPlainRootCmd))
	return root
}

// newPlainRootCmd is the root without an environment or streams: what the
// reference is made of.
func newPlainRootCmd() *cobra.Command {
	return newRootCmd(newApp("waybill", strings.NewReader(""), io.Discard, io.Discard, func(string) string { return "" }))
}

// siblingProgram names another of Waybill's programs as this one was called, so that
// what is printed can be pasted.
func (a *app) siblingProgram(name string) string {
	if dir := filepath.Dir(a.program); strings.ContainsRune(a.program, filepath.Separator) {
		return filepath.Join(dir, name)
	}
	return name
}
