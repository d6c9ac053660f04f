package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/proof"
)

const offlineHelp = `With --offline FILE nobody is asked: the receipt in FILE is checked with the
hash of the channel's first block (--genesis), as waybill-verify does, and has
to be about IMAGE, named by its digest, and the stage. Then the exit code may
also be 14 (older than --max-age), 15 (the receipt is invalid), 16 (its
configuration was left out: --config) or 17 (of a version that is not known).

`

// receiptFlags are the flags of verify that check a receipt.
type receiptFlags struct {
	file, genesis, config string
	orgs                  int
	maxAge                time.Duration
}

// withReceipt lets a command that asks check a receipt instead.
func (a *app) withReceipt(cmd *cobra.Command) *cobra.Command {
	var r receiptFlags
	ask := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if r.file == "" {
			return ask(cmd, args)
		}
		a.started = true
		stage, _ := cmd.Flags().GetString("stage") // it has that flag
		return a.verifyReceipt(args[0], stage, r)
	}
	flags := cmd.Flags()
	flags.StringVar(&r.file, "offline", "", "check the receipt in this `file` and ask nobody")
	flags.StringVar(&r.genesis, "genesis", "", "with --offline: `hash` of the channel's first block")
	flags.StringVar(&r.config, "config", "", "with --offline: `file` with the configuration blocks, where the receipt leaves them out")
	flags.IntVar(&r.orgs, "orgs", 0, "with --offline: peers of so many organisations must have signed (default more than half)")
	flags.DurationVar(&r.maxAge, "max-age", 0, "with --offline: refuse a receipt as of longer ago, e.g. 24h (default any age)")
	return cmd
}

func (a *app) verifyReceipt(image, stage string, r receiptFlags) error {
	ref, err := parseImage(image)
	if err != nil {
		return err
	}
	if ref.Digest.IsZero() {
		return hint(usagef("a receipt is about a digest, and %s names none", image), "what a tag names changes: IMAGE is host/repository@sha256:... here")
	}
	o := proof.Options{Orgs: r.orgs, MaxAge: r.maxAge, At: time.Now(), Image: byDigest(ref), Stage: stage}
	if o.Genesis, err = proof.ParseHash(r.genesis); err != nil {
		return asUsage(fmt.Errorf("--genesis: %w", err))
	}
	if r.config != "" {
		if o.Config, err = readProof(r.config); err != nil {
			return err
		}
	}
	b, err := readProof(r.file)
	if err != nil {
		return err
	}
	report := proof.Verify(b, o)
	if report.Result == proof.Valid && report.Verdict == nil {
		return provenance.Errorf(provenance.Invalid, "%s is no receipt, but of kind %q: waybill-verify reads it", r.file, report.Kind)
	}
	if a.output == formatTable {
		err = report.WriteText(a.out)
	} else {
		err = a.emit(report, func(io.Writer) {})
	}
	if err != nil {
		return err
	}
	if code := report.Exit(); code != exitYes {
		return receiptError(code)
	}
	return nil
}

// readProof reads a file up to the size that a proof may have, and a byte: then it is refused as too large.
func readProof(name string) ([]byte, error) {
	f, err := os.Open(name) //nolint:gosec // the caller's own file
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read from
	return io.ReadAll(io.LimitReader(f, proof.MaxFile+1))
}

// receiptError carries the exit code of a report that was already printed.
type receiptError int

// Error implements error.
func (e receiptError) Error() string { return fmt.Sprintf("exit %d", int(e)) }
