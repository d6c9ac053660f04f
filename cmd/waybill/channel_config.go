package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/network/channel"
)

// configView is the configuration in force; -o json prints it.
type configView struct {
	Channel  string          `json:"channel"`
	Sequence uint64          `json:"sequence"`
	Block    uint64          `json:"block"`
	Fields   []channel.Field `json:"fields"`
	// Warnings say where it is not as this program makes one.
	Warnings []string `json:"warnings,omitempty"`
}

func newChannelConfigCmd(a *app) *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use: "config", Short: "Print the channel's configuration in force, in words", Args: operands(),
		Example: examples(`waybill channel config --as vendor/auditor`, `waybill channel config --block config.block --as vendor/auditor`),
		RunE: a.withTimeout(func(ctx context.Context, _ []string) error {
			d, err := a.openChannel(true)
			if err != nil {
				return err
			}
			defer d.close()
			config, block, err := d.current(ctx)
			if err != nil {
				return err
			}
			if to != "" {
				return d.writeBlock(ctx, to)
			}
			fields, err := channel.Fields(config)
			if err != nil {
				return err
			}
			v := configView{Channel: d.name, Sequence: config.GetSequence(), Block: block, Fields: fields, Warnings: channel.Doubts(config)}
			return a.emit(v, func(w io.Writer) {
				fmt.Fprintf(w, "channel %s, configuration %d of block %d\n\n", sanitize(v.Channel), v.Sequence, v.Block)
				writeFields(w, v.Fields)
				for _, warning := range v.Warnings {
					fmt.Fprintf(w, "WARNING: %s\n", sanitize(warning))
				}
			})
		}),
	}
	cmd.Flags().StringVar(&to, "block", "", "write the block that it is in to this `file` instead, e.g. for an organisation that joins")
	return cmd
}

// writeBlock writes the block with the configuration in force.
func (d channelDoor) writeBlock(ctx context.Context, to string) error {
	block, err := d.ConfigBlock(ctx)
	if err != nil {
		return provenance.Wrap(provenance.Unavailable, err, "%s's peer", d.me.org.Org)
	}
	raw, err := proto.Marshal(block)
	if err != nil {
		return fmt.Errorf("encode the block: %w", err)
	}
	if err := createFile(to, raw); err != nil {
		return err
	}
	d.a.notice("block %d of channel %s is in %s", block.GetHeader().GetNumber(), d.name, to)
	return nil
}

func writeFields(w io.Writer, fields []channel.Field) {
	for _, f := range fields {
		fmt.Fprintln(w, sanitize(f.Path))
		writeIndented(w, "    ", f.Text)
		if f.Want != "" {
			fmt.Fprintln(w, "  the descriptors say:")
			writeIndented(w, "    ", f.Want)
		}
	}
}
