package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/gateway/queue"
	"github.com/waybill-dev/waybill/network/backup"
	"github.com/waybill-dev/waybill/network/org"
)

func newOrgBackupCmd(a *app) *cobra.Command {
	var to string
	var keys, encrypt bool
	cmd := &cobra.Command{
		Use: "backup -o FILE", Short: "Write all that only your organisation has to a file, while it runs", Args: operands(), DisableFlagsInUseLine: true,
		Example: examples(`waybill org backup -o vendor.backup`, `waybill org backup --with-keys -o vendor.backup`),
		Long: `Write configuration, certificates and the gateway's queue to one file, while
everything runs. Ledgers and the index are left out: the channel gives them
back. With --with-keys, private keys and the connectors' secrets are in it, and
the file is encrypted with a passphrase (age); without, nothing in it opens
anything, but the queue names who pulled. A queue on PostgreSQL is not in it.`,
		RunE: a.withoutTimeout(func(ctx context.Context, _ []string) error {
			f, err := a.ownOrg()
			if err != nil {
				return err
			}
			o := backup.Options{WithKeys: keys, Queue: queue.CopyFile}
			if keys || encrypt {
				if o.Passphrase, err = a.newPassphrase("the backup"); err != nil {
					return err
				}
			}
			m, err := a.writeBackup(ctx, f.Dir(), to, o)
			if err != nil {
				return err
			}
			a.notice("%d files, keys %s: %s", len(m.Files), map[bool]string{true: "among them, encrypted", false: "not among them"}[keys], to)
			return nil
		}),
	}
	cmd.Flags().StringVarP(&to, "output", "o", "", "the `file` that is written; it must not be there")
	cmd.Flags().BoolVar(&keys, "with-keys", false, "private keys and secrets too; the file is encrypted then")
	cmd.Flags().BoolVar(&encrypt, "encrypt", false, "encrypt the file without keys in it as well")
	requireFlags(cmd, "output")
	return cmd
}

// writeBackup writes the file whole or not at all.
func (a *app) writeBackup(ctx context.Context, dir, to string, o backup.Options) (backup.Manifest, error) {
	if _, err := os.Lstat(to); err == nil {
		return backup.Manifest{}, fmt.Errorf("%s is there already", to)
	}
	out, err := os.CreateTemp(filepath.Dir(to), ".backup-*")
	if err != nil {
		return backup.Manifest{}, err
	}
	defer func() { _ = os.Remove(out.Name()) }() // gone already once renamed
	m, err := backup.Write(ctx, dir, out, o)
	if err == nil {
		err = out.Sync()
	}
	if closing := out.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return m, err
	}
	return m, os.Rename(out.Name(), to)
}

func newOrgRestoreCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "restore FILE", Short: "Make your organisation's folder again from a backup", Args: operands("FILE"),
		Example: examples(`waybill org restore vendor.backup --dir /srv/waybill`),
		Long: `Make the folder that --dir names, which must be empty, from a backup; every
file is compared with what the backup says of it. Then start the nodes, which
read the chain from the others. The gateway first learns what is recorded
already, and makes its index of the chain: docs/operate/lost-host.md has the
steps.`,
		RunE: a.withoutTimeout(func(_ context.Context, args []string) error {
			in, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer func() { _ = in.Close() }() // only read from
			from := bufio.NewReader(in)
			var passphrase []byte
			if backup.Encrypted(from) {
				if passphrase, err = a.passphrase("the backup"); err != nil {
					return err
				}
			}
			m, err := backup.Restore(from, a.dir, passphrase)
			if err != nil {
				return err
			}
			return a.emit(m, func(w io.Writer) {
				fmt.Fprintf(w, "%d files of %s in %s\n", len(m.Files), m.Made.Format(time.DateTime), sanitize(a.dir))
				if !m.WithKeys {
					fmt.Fprintln(w, "no keys were in it, and no node starts without: put those that are kept elsewhere back first;")
					fmt.Fprintln(w, "what to do where some are lost: docs/operate/lost-host.md, Without keys")
				}
				fmt.Fprintf(w, "\nnext: waybill org up --dir %s\n", sanitize(a.dir))
			})
		}),
	}
}

func newOrgResyncCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "resync NODE", Short: "Have your peer or orderer read the chain anew from the others", Args: operands("NODE"),
		ValidArgs: []string{"peer", "orderer"},
		Example:   examples(`waybill org resync peer`),
		Long: `Stop the peer or the orderer, put its data aside, and start it: it joins the
channel by its first block and reads the chain from the others. Never do this
to two orderers of a channel at once. A supervisor (waybill org up --foreground)
leaves the node alone meanwhile, and starts it afterwards.`,
		RunE: a.withoutTimeout(func(ctx context.Context, args []string) error {
			f, err := a.ownOrg()
			if err != nil {
				return err
			}
			aside, err := backup.Resync(ctx, f, org.Kind(args[0]), time.Now())
			if aside != "" {
				a.notice("what it had is in %s; delete it when the node has caught up", aside)
			}
			return err
		}),
	}
}
