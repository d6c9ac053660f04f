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
	var snapshot string
	var agrees []string
	cmd := &cobra.Command{
		Use: "resync NODE", Short: "Have your peer or orderer read the chain anew from the others", Args: operands("NODE"),
		ValidArgs: []string{"peer", "orderer"},
		Example: examples(`waybill org resync peer`,
			`waybill org resync peer --snapshot 812 \`, `    --agrees security.json --agrees audit.json`),
		Long: `Stop the peer or the orderer, put its data aside, and start it: it joins the
channel by its first block and reads the chain from the others. Never do this
to two orderers of a channel at once. A supervisor (waybill org up --foreground)
leaves the node alone meanwhile, and starts it afterwards.

With --snapshot a peer begins with the snapshot of another organisation's peer
(waybill org snapshot). Nobody signs one: --agrees names the metadata that an
organisation's own peer wrote for the same block, of two organisations at least,
and each file has to be what they say. Such a peer has no earlier blocks: an
index that is made anew needs a peer that has them.`,
		RunE: a.withoutTimeout(func(ctx context.Context, args []string) error {
			f, err := a.ownOrg()
			if err != nil {
				return err
			}
			var aside string
			switch {
			case snapshot == "" && len(agrees) > 0:
				return usagef("--agrees wants --snapshot")
			case snapshot != "" && args[0] != string(org.KindPeer):
				return usagef("--snapshot is for a peer")
			case snapshot == "":
				aside, err = backup.Resync(ctx, f, org.Kind(args[0]), time.Now())
			default:
				var told [][]byte
				for _, file := range agrees {
					raw, err := a.readFile("metadata", file, 1<<20)
					if err != nil {
						return err
					}
					told = append(told, raw)
				}
				aside, err = backup.ResyncBySnapshot(ctx, f, snapshot, told, time.Now())
			}
			if aside != "" {
				a.notice("what it had is in %s; delete it when the node has caught up", aside)
			}
			return err
		}),
	}
	cmd.Flags().StringVar(&snapshot, "snapshot", "", "the `folder` of a snapshot to begin with")
	cmd.Flags().StringArrayVar(&agrees, "agrees", nil, "`file` with an organisation's metadata of that snapshot; give two or more")
	return cmd
}

func newOrgSnapshotCmd(a *app) *cobra.Command {
	var block uint64
	cmd := &cobra.Command{
		Use: "snapshot", Short: "Have your peer write what its ledger is after a block", Args: operands(),
		Example: examples(`waybill org snapshot`, `waybill org snapshot --block 812`),
		Long: `Have your own peer write a snapshot of its ledger, for a peer of another
organisation to begin with (waybill org resync peer --snapshot), and print its
folder. The file ` + org.SnapshotMetadata + ` in it is the same, byte
for byte, at every peer with the same ledger. To have two organisations say so,
name a block that is still to come with --block, and wait.`,
		RunE: a.withoutTimeout(func(ctx context.Context, _ []string) error {
			f, err := a.ownOrg()
			if err != nil {
				return err
			}
			dir, err := f.Snapshot(ctx, block)
			if err != nil {
				return orgHint(wrongPassphrase(err))
			}
			return a.emit(map[string]string{"dir": dir}, func(w io.Writer) { fmt.Fprintln(w, sanitize(dir)) })
		}),
	}
	cmd.Flags().Uint64Var(&block, "block", 0, "the `number` of the block after which it is; 0: the last one")
	return cmd
}
