// Command images makes the OCI images of Waybill's programs and of Fabric's, without a container
// engine: each is one static binary, the names of a user who is not root, and the roots of the
// public web where the program dials it. The same sources, Go and version give the same digests.
// Beside each image lie an SBOM and a provenance statement, as OCI referrers.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

// options are what a run was told.
type options struct {
	source, out string
	push        string // registry/prefix, or nothing
	insecure    bool
	tag         string
	version     string // what the programs call themselves
	commit      string // of the source; may be empty
	origin      string // where the source comes from
	builder     string // who builds, in the provenance
	platforms   []v1.Platform
	only        []string
	created     time.Time
}

// result is what became of one image: a line of digests.json.
type result struct {
	Name     string `json:"name"`
	Platform string `json:"platform"`
	Digest   string `json:"digest"`
	Image    string `json:"image,omitempty"` // where it was pushed to
	SBOM     string `json:"sbom"`            // files beside digests.json, for `waybill attest --file`
	Evidence string `json:"provenance"`
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	opts, err := parse(args, stderr)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "waybill-images-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	if err := os.MkdirAll(opts.out, 0o755); err != nil {
		return err
	}
	var results []result
	for _, p := range programs() {
		if len(opts.only) > 0 && !slices.Contains(opts.only, p.name) {
			continue
		}
		made, err := p.make(ctx, opts, work)
		if err != nil {
			return fmt.Errorf("image %s: %w", p.name, err)
		}
		for _, r := range made {
			fmt.Fprintf(stdout, "%-18s %-12s %s\n", r.Name, r.Platform, r.Digest)
		}
		results = append(results, made...)
	}
	list, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(opts.out, "digests.json"), append(list, '\n'), 0o644)
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	var platforms, only string
	flags := flag.NewFlagSet("images", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.source, "source", "../..", "the repository's `folder`")
	flags.StringVar(&o.out, "o", "bin/images", "`folder` for the images, each an OCI layout, and their documents")
	flags.StringVar(&o.push, "push", "", "push them as well: `registry/prefix`")
	flags.BoolVar(&o.insecure, "insecure", false, "the registry speaks plain HTTP")
	flags.StringVar(&o.version, "version", "devel", "the programs' version, and the images' tag")
	flags.StringVar(&o.commit, "commit", "", "the source's commit, for labels and provenance")
	flags.StringVar(&o.origin, "origin", "https://github.com/waybill-dev/waybill", "where the source comes from")
	flags.StringVar(&o.builder, "builder", "https://github.com/waybill-dev/waybill/deploy/images", "who builds, for the provenance")
	flags.StringVar(&platforms, "platform", "linux/"+goarch(), "comma-separated; several make an index")
	flags.StringVar(&only, "only", "", "comma-separated `names`; default: all")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	o.tag = tagOf(o.version)
	for name := range strings.SplitSeq(platforms, ",") {
		p, err := v1.ParsePlatform(name)
		if err != nil || p.OS != "linux" || p.Architecture == "" {
			return o, fmt.Errorf("platform %q: want linux/amd64 or another of linux", name)
		}
		o.platforms = append(o.platforms, *p)
	}
	if only != "" {
		o.only = strings.Split(only, ",")
		for _, name := range o.only {
			if !slices.ContainsFunc(programs(), func(p program) bool { return p.name == name }) {
				return o, fmt.Errorf("there is no image %q", name)
			}
		}
	}
	seconds, err := epoch()
	o.created = time.Unix(seconds, 0).UTC()
	return o, err
}

// epoch is SOURCE_DATE_EPOCH, the date that images and documents bear: a clock has no part in them.
func epoch() (int64, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		return 0, nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 {
		return 0, errors.New("SOURCE_DATE_EPOCH: want seconds since 1970")
	}
	return seconds, nil
}

// tagOf makes a version a tag: build metadata has a character that tags have not.
func tagOf(version string) string { return strings.ReplaceAll(version, "+", "_") }
