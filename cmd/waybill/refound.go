package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/network/channel"
)

func newChannelLastCmd(a *app) *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use: "last -o FILE", Short: "Say where your channel ended, for one that goes on from it", Args: operands(), DisableFlagsInUseLine: true,
		Example: examples(`waybill channel last -o last.json`),
		Long: `Write down where the channel ends on your own peer: the hash of its first block,
its height, the hash of its last block, and a hash over its whole state. Where
too many organisations are lost for a quorum, each of those who are left does so
and compares; of these files and their descriptors they found a new channel
(waybill channel found --after). docs/operate/founding-anew.md has the steps.`,
		RunE: a.withoutTimeout(func(ctx context.Context, _ []string) error {
			f, err := a.ownOrg()
			if err != nil {
				return err
			}
			p, err := f.Last(ctx)
			if err != nil {
				return err
			}
			if err := createFile(to, append(p.Bytes(), '\n')); err != nil {
				return err
			}
			return a.emit(p, func(w io.Writer) { writePredecessor(w, p) })
		}),
	}
	cmd.Flags().StringVarP(&to, "output", "o", "", "the `file` that is written; it must not be there")
	requireFlags(cmd, "output")
	return cmd
}

func writePredecessor(w io.Writer, p provenance.Predecessor) {
	t := table("GOES ON FROM", sanitize(p.Channel))
	t.row("genesis hash", channel.InGroups(p.Genesis))
	t.row("blocks", number(int(p.Height))) //nolint:gosec // G115: a height
	t.row("last header", channel.InGroups(p.Header))
	t.row("state", channel.InGroups(p.State))
	t.write(w, "")
}

// predecessor reads what waybill channel last wrote; nil where no file is named.
func (a *app) predecessor(file string) (*provenance.Predecessor, error) {
	if file == "" {
		return nil, nil
	}
	raw, err := a.readFile("channel's end", file, 1<<10)
	if err != nil {
		return nil, err
	}
	if n := len(raw); n > 0 && raw[n-1] == '\n' {
		raw = raw[:n-1]
	}
	p, err := provenance.ParsePredecessor(raw)
	if err != nil {
		return nil, provenance.Wrap(provenance.Invalid, err, "%s", file)
	}
	return &p, nil
}

func newOrgRefoundCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "refound BLOCK", Short: "Go on in a channel that your lost one's survivors found", Args: operands("BLOCK"),
		Example: examples(`waybill org refound anew.block`),
		Long: `Go on in the channel that a first block founds and that goes on from your own,
whose quorum is lost for good. The block has to name the end of your channel
exactly as your own peer has it, and to have your organisation as its own
descriptor says. The old ledger stays on your peer, to be read; your orderer and
peer join the new channel, and your gateway follows both. Then, as at first:
waybill chaincode approve by each, waybill chaincode commit by one, and waybill
channel import by one.`,
		RunE: a.withoutTimeout(func(ctx context.Context, args []string) error {
			f, err := a.ownOrg()
			if err != nil {
				return err
			}
			raw, err := a.readFile("block", args[0], maxBlock)
			if err != nil {
				return err
			}
			if err := f.Refound(ctx, raw); err != nil {
				return orgHint(wrongPassphrase(err))
			}
			a.notice("%s goes on in channel %s", f.Spec().Name, f.Spec().Channel)
			a.notice("the others too; then each: waybill chaincode approve, one: waybill chaincode commit, and one: waybill channel import")
			return nil
		}),
	}
}

func newChannelImportCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "import", Short: "Import the state of the channel that yours goes on from", Args: operands(),
		Example: examples(`waybill channel import --as vendor/admin`),
		Long: `Bring the whole state of the channel before into this one, a page a transaction.
Nothing is sent: the peers of a majority of the founders each read their own
copy of the old ledger, and a page stands where they read the same. Until the
last one nobody is a member and nothing else is written. Run it again after an
error: it goes on where it was.`,
		RunE: a.withoutTimeout(func(ctx context.Context, _ []string) error {
			f, err := a.ownOrg()
			if err != nil {
				return err
			}
			founders, err := f.Founders()
			if err != nil {
				return err
			}
			p, err := a.signerPeer()
			if err != nil {
				return err
			}
			defer p.Close() //nolint:errcheck // every transaction is final by now, or failed already
			for {
				r, err := p.SubmitTransient(ctx, nil, "genesis:Import", string(f.Spec().After.Bytes()), founders)
				if err != nil {
					return p.peerError(err)
				}
				var g state.Genesis
				if err := json.Unmarshal(r.Payload, &g); err != nil {
					return provenance.Wrap(provenance.Internal, err, "read the answer")
				}
				if !g.Done {
					a.notice("%d keys", g.Keys)
					continue
				}
				return a.emit(g, func(w io.Writer) {
					fmt.Fprintf(w, "%d keys of channel %s are imported; their hash is the one that the first block names\n", g.Keys, sanitize(g.After.Channel))
					for _, m := range g.Left {
						fmt.Fprintf(w, "%s is no member any more\n", sanitize(m))
					}
				})
			}
		}),
	}
}
