// Waybill-verify checks a proof of what the ledger says, a verdict say, with a file and a pinned hash, and nothing
// else: it opens no connection, and is linked with nothing that could.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/waybill-dev/waybill/proof"
)

// version is set by the build.
var version = "devel"

func main() { os.Exit(run(os.Args[1:], time.Now(), os.Stdin, os.Stdout, os.Stderr)) }

const usage = `waybill-verify checks a proof that a member of a Waybill network made, without a network.

  waybill-verify FILE --genesis HASH [flags]

FILE is a receipt or another proof, "-" for standard input. HASH is the hash of the
channel's first block, 64 hex digits; it has to come to you another way than FILE.

`

const exits = `
Exit codes: 0 allowed (of a transaction: valid), 1 error, 2 usage, 10 unknown,
11 denied (of a transaction: invalid), 12 pending, 13 quarantined, 14 older than
--max-age, 15 proof invalid, 16 incomplete, 17 of a version that is not known.
`

// Exit codes of what is no answer.
const (
	exitError = 1
	exitUsage = 2
)

// run is the program; now is its clock.
func run(args []string, now time.Time, in io.Reader, out, errs io.Writer) int {
	file, o, format, err := options(args, now, errs)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errVersion):
		_, _ = fmt.Fprintln(out, version)
		return 0
	case err != nil:
		_, _ = fmt.Fprintln(errs, "waybill-verify:", err)
		return exitUsage
	}
	if o.config != "" {
		if o.Config, err = read(o.config, in); err != nil {
			_, _ = fmt.Fprintln(errs, "waybill-verify:", err)
			return exitError
		}
	}
	b, err := read(file, in)
	if err != nil {
		_, _ = fmt.Fprintln(errs, "waybill-verify:", err)
		return exitError
	}
	report := proof.Verify(b, o.Options)
	if format == "json" {
		_, err = out.Write(report.JSON())
	} else {
		err = report.WriteText(out)
	}
	if err != nil { // an answer that nobody read is none
		_, _ = fmt.Fprintln(errs, "waybill-verify:", err)
		return exitError
	}
	return report.Exit()
}

// wanted are the options, and the file that holds the configuration.
type wanted struct {
	proof.Options
	config string
}

var errVersion = errors.New("the version is asked for")

// options reads the command line; FILE may stand before, between or after the flags.
func options(args []string, now time.Time, errs io.Writer) (file string, o wanted, format string, err error) {
	var genesis, at string
	var shown bool
	flags := flag.NewFlagSet("waybill-verify", flag.ContinueOnError)
	flags.SetOutput(errs)
	flags.Usage = func() {
		_, _ = fmt.Fprint(errs, usage)
		flags.PrintDefaults()
		_, _ = fmt.Fprint(errs, exits)
	}
	flags.StringVar(&genesis, "genesis", "", "`hash` of the channel's first block")
	flags.StringVar(&o.config, "config", "", "`file` with the configuration blocks, where FILE leaves them out")
	flags.IntVar(&o.Orgs, "orgs", 0, "peers of so many organisations must have signed (default more than half of the channel's)")
	flags.StringVar(&o.Image, "image", "", "what the receipt has to be about: REGISTRY/REPOSITORY@DIGEST, or without the digest")
	flags.StringVar(&o.Stage, "stage", "", "the stage that the receipt has to be about")
	flags.StringVar(&o.Chaincode, "chaincode", "waybill", "`name` of the contract on the channel")
	flags.DurationVar(&o.MaxAge, "max-age", 0, "refuse what is as of longer ago, e.g. 24h (default any age)")
	flags.StringVar(&at, "at", "", "the `time` to judge age by, e.g. 2026-03-02T09:00:00Z (default now)")
	flags.StringVar(&format, "o", "text", "how to print: text or json")
	flags.BoolVar(&shown, "version", false, "print the version")
	var files []string
	for rest := args; ; {
		if err := flags.Parse(rest); err != nil {
			return "", o, "", err
		}
		if flags.NArg() == 0 {
			break
		}
		files, rest = append(files, flags.Arg(0)), flags.Args()[1:]
	}
	switch {
	case shown:
		return "", o, "", errVersion
	case len(files) != 1:
		return "", o, "", errors.New("want one FILE; see -h")
	case format != "text" && format != "json":
		return "", o, "", fmt.Errorf("-o %q: want text or json", format)
	case o.Orgs < 0 || o.MaxAge < 0:
		return "", o, "", errors.New("--orgs and --max-age are not negative")
	}
	if o.Genesis, err = proof.ParseHash(genesis); err != nil {
		return "", o, "", fmt.Errorf("--genesis: %w", err)
	}
	if o.At = now; at != "" {
		if o.At, err = time.Parse(time.RFC3339, at); err != nil {
			return "", o, "", fmt.Errorf("--at %q: want a time as in 2026-03-02T09:00:00Z", at)
		}
	}
	return files[0], o, format, nil
}

// read reads a file up to the size that a proof may have, and a byte: then it is refused as too large.
func read(name string, in io.Reader) ([]byte, error) {
	if name != "-" {
		f, err := os.Open(name) //nolint:gosec // the reader's own file
		if err != nil {
			return nil, err
		}
		defer f.Close() //nolint:errcheck // only read from
		in = f
	}
	return io.ReadAll(io.LimitReader(in, proof.MaxFile+1))
}
