package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"
)

// followEvery is how often a followed log is looked at again.
const followEvery = 200 * time.Millisecond

func newNetworkLogsCmd(a *app) *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use: "logs NODE", Short: "Print what a node logged", Args: operands("NODE"),
		Example: examples(`waybill network logs vendor-peer --follow`),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			n, err := a.open()
			if err != nil {
				return nil, cobra.ShellCompDirectiveError
			}
			return nodeNames(n), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: a.withoutTimeout(func(ctx context.Context, args []string) error {
			n, err := a.open()
			if err != nil {
				return err
			}
			names := nodeNames(n)
			if !contains(names, args[0]) {
				return hint(usagef("there is no node %q", args[0]), "%s", didYouMean(args[0], names))
			}
			return a.printLog(ctx, n.LogPath(args[0]), follow)
		}),
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on as the node logs more")
	return cmd
}

func nodeNames(n localNetwork) []string {
	names := []string{}
	for _, node := range n.Nodes() {
		names = append(names, node.Name)
	}
	return names
}

// printLog copies a log to the output; followed, until ctx ends, which is how
// following ends and no error.
func (a *app) printLog(ctx context.Context, path string, follow bool) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return hint(errors.New("the node has logged nothing"), "start it with: waybill network up")
	}
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	defer func() { _ = f.Close() }() // only read from
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		if _, err := io.Copy(sanitizingWriter{a.out}, f); err != nil || !follow {
			return err
		}
		if err := fromTheTop(f); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// fromTheTop goes back to the beginning of a log that was put aside meanwhile, and is shorter than what was read of it.
func fromTheTop(f *os.File) error {
	at, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && info.Size() < at {
		_, err = f.Seek(0, io.SeekStart)
	}
	return err
}

// sanitizingWriter drops what could repaint the terminal. Bytes that are no control are
// passed through, so a character cut in two by a buffer stays whole.
type sanitizingWriter struct{ to io.Writer }

// Write implements io.Writer.
func (c sanitizingWriter) Write(p []byte) (int, error) {
	safe := make([]byte, 0, len(p))
	for _, b := range p {
		if b >= 0x20 && b != 0x7f || b == '\n' || b == '\t' {
			safe = append(safe, b)
		}
	}
	if _, err := c.to.Write(safe); err != nil {
		return 0, err
	}
	return len(p), nil
}
