package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/network/channel"
)

// maxBlock bounds the file of a first block: 64 organisations with all their certificates fit.
const maxBlock = 16 << 20

func newChannelCmd(a *app) *cobra.Command {
	cmd := parentCmd("channel", "The channel that organisations share, and changes of it")
	cmd.Example = examples(
		`waybill channel found --org vendor.json --org audit.json -o genesis.block`,
		`waybill channel inspect genesis.block --org vendor.json --org audit.json`,
		`waybill channel propose org-add retail.json --as vendor/admin`,
	)
	cmd.AddCommand(
		newChannelFoundCmd(a), newChannelInspectCmd(a), newChannelLastCmd(a), newChannelImportCmd(a), newChannelConfigCmd(a),
		newChannelProposeCmd(a), newChannelShowCmd(a), newChannelVoteCmd(a), newChannelSubmitCmd(a),
	)
	return cmd
}

func newChannelFoundCmd(a *app) *cobra.Command {
	var files []string
	var name, to, last string
	cmd := &cobra.Command{
		Use: "found --org FILE... -o FILE", Short: "Make a channel's first block of descriptors", Args: operands(),
		DisableFlagsInUseLine: true,
		Example: examples(
			`waybill channel found --org vendor.json --org security.json \`,
			`    --org platform.json --org audit.json -o genesis.block`,
		),
		Long: `Make a channel's first block of the organisations' descriptors. It needs no key:
everybody makes the same block of the same descriptors, byte for byte, and
compares the hash that is printed. Before, compare the fingerprint of each
descriptor with its organisation, by other means than those the file came by.

With --after FILE (waybill channel last) the new channel goes on from another
one, whose quorum is lost for good: docs/operate/founding-anew.md.`,
		RunE: a.withoutTimeout(func(_ context.Context, _ []string) error {
			orgs, err := a.descriptors(files)
			if err != nil {
				return err
			}
			after, err := a.predecessor(last)
			if err != nil {
				return err
			}
			if after == nil && provenance.IsSuccessor(name) {
				return usagef("--channel %s: that is the name of a channel that goes on from another one, which --after makes", name)
			}
			block, err := channel.Found(channel.Parameters{Channel: name, After: after}, orgs)
			if err != nil {
				return provenance.Wrap(provenance.Invalid, err, "found channel %s", name)
			}
			raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(block)
			if err != nil {
				return fmt.Errorf("encode the block: %w", err)
			}
			if err := createFile(to, raw); err != nil {
				return err
			}
			report, err := channel.InspectAfter(block, orgs, after)
			if err != nil {
				return err
			}
			writeDescriptors(a.out, orgs)
			writeReport(a.out, report, false)
			return nil
		}),
	}
	cmd.Flags().StringArrayVar(&files, "org", nil, "an organisation's descriptor, a `file`; give one for each")
	cmd.Flags().StringVar(&name, "channel", "waybill", "what the channel is called")
	cmd.Flags().StringVar(&last, "after", "", "`file` that says where the channel ended that this one goes on from")
	cmd.Flags().StringVarP(&to, "output", "o", "", "the `file` that the block is written to; it must not be there")
	requireFlags(cmd, "org", "output")
	return cmd
}

// createFile writes a file that is not there yet: a first block that was compared is not replaced by another.
func createFile(to string, raw []byte) error {
	if _, err := os.Lstat(to); err == nil {
		return fmt.Errorf("%s is there already", to)
	}
	if err := renameio.WriteFile(to, raw, 0o644); err != nil {
		return fmt.Errorf("write %s: %w", to, err)
	}
	return nil
}

// descriptors reads and checks descriptors' files.
func (a *app) descriptors(files []string) ([]channel.Descriptor, error) {
	var orgs []channel.Descriptor
	for _, file := range files {
		raw, err := a.readFile("descriptor", file, channel.MaxFile)
		if err != nil {
			return nil, err
		}
		d, err := channel.Open(raw)
		if err != nil {
			return nil, provenance.Wrap(provenance.Invalid, err, "%s", file)
		}
		orgs = append(orgs, d)
	}
	return orgs, nil
}

func writeDescriptors(w io.Writer, orgs []channel.Descriptor) {
	for _, d := range orgs {
		fmt.Fprintf(w, "%s (%s)\n  %s\n", d.Name, d.MSPID, d.Fingerprint())
	}
	fmt.Fprintln(w)
}

func newChannelInspectCmd(a *app) *cobra.Command {
	var files []string
	var last string
	cmd := &cobra.Command{
		Use: "inspect BLOCK", Short: "Say whether a first block is what descriptors say", Args: operands("BLOCK"),
		Example: examples(
			`waybill channel inspect genesis.block`,
			`waybill channel inspect genesis.block --org vendor.json --org audit.json`,
		),
		Long: `Print what a channel's first block says, field by field, and its hash. With the
descriptors of all organisations, make the block anew and compare: policies,
capabilities, quorum, certificates, and nothing more. The exit code is 0 when it
is exactly what the descriptors say, 1 when it is not.`,
		RunE: a.withoutTimeout(func(_ context.Context, args []string) error {
			orgs, err := a.descriptors(files)
			if err != nil {
				return err
			}
			raw, err := a.readFile("block", args[0], maxBlock)
			if err != nil {
				return err
			}
			block := &common.Block{}
			if proto.Unmarshal(raw, block) != nil {
				return provenance.Errorf(provenance.Invalid, "%s: not a block", args[0])
			}
			after, err := a.predecessor(last)
			if err != nil {
				return err
			}
			report, err := channel.InspectAfter(block, orgs, after)
			if err != nil {
				return provenance.Wrap(provenance.Invalid, err, "%s", args[0])
			}
			if err := a.emit(report, func(w io.Writer) { writeReport(w, report, true) }); err != nil {
				return err
			}
			switch {
			case len(report.Differences) > 0 && len(orgs) > 0:
				return errors.New("this is not the block that the descriptors make: do not join it")
			case len(report.Differences) > 0:
				return errors.New("the block has fields that are not understood")
			}
			return nil
		}),
	}
	cmd.Flags().StringArrayVar(&files, "org", nil, "an organisation's descriptor, a `file`; give one for each")
	cmd.Flags().StringVar(&last, "after", "", "`file` that says where the channel ended that this one should go on from")
	return cmd
}

func writeReport(w io.Writer, r channel.Report, fields bool) {
	if fields {
		writeFields(w, r.Fields)
		fmt.Fprintln(w)
	}
	for _, d := range r.Differences {
		fmt.Fprintf(w, "NOT AS AGREED: %s\n", sanitize(d))
	}
	fmt.Fprintf(w, "channel %s of %d organisations (%s)\n", sanitize(r.Channel), len(r.Organizations), sanitize(strings.Join(r.Organizations, ", ")))
	fmt.Fprintf(w, "%d consenters: %d must sign a block, %d may lie or be gone\n", r.Consenters, r.Quorum, r.Tolerance)
	if r.Exact {
		fmt.Fprintln(w, "exactly what the descriptors say, and nothing more")
	}
	if r.After != nil {
		writePredecessor(w, *r.After)
	}
	fmt.Fprintf(w, "genesis hash %s\n", r.GenesisHash)
}

func writeIndented(w io.Writer, indent, text string) {
	for _, line := range strings.Split(text, "\n") {
		fmt.Fprintf(w, "%s%s\n", indent, sanitize(line))
	}
}
