package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/network/channel"
)

// configView is the configuration in force; -o json prints it.
type configView struct {
	Channel  string          `json:"channel"`
	Sequence uint64          `json:"sequence"`
	Block    uint64          `json:"block"`
	Fields   []channel.Field `json:"fields"`
}

func newChannelConfigCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "config", Short: "Print the channel's configuration in force, in words", Args: operands(),
		Example: examples(`waybill channel config --as vendor/auditor`),
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
			fields, err := channel.Fields(config)
			if err != nil {
				return err
			}
			v := configView{Channel: d.name, Sequence: config.GetSequence(), Block: block, Fields: fields}
			return a.emit(v, func(w io.Writer) {
				fmt.Fprintf(w, "channel %s, configuration %d of block %d\n\n", sanitize(v.Channel), v.Sequence, v.Block)
				writeFields(w, v.Fields)
			})
		}),
	}
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
