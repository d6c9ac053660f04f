package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/network/channel"
)

// channelProposal is a change that somebody wants, before it is an update.
type channelProposal struct {
	title       string
	add, remove string // MSP id whose membership comes or goes with it
	change      channel.Change
}

func newChannelProposeCmd(a *app) *cobra.Command {
	var anyway bool
	cmd := parentCmd("propose", "Put a change of the channel to the vote, with your signature")
	cmd.Example = examples(
		`waybill channel propose org-add retail.json --as vendor/admin`,
		`waybill channel propose batch --messages 800 --as vendor/admin`,
	)
	cmd.Long = `Compute the exact update of the channel's configuration that a change needs,
print what it says, sign it and put it to the vote. The others look at those
bytes with "waybill channel show", sign them with "waybill channel vote", and
when enough have signed, anybody brings them to the orderers: "waybill channel
submit".`
	file := func(use, short string, make func(channel.Descriptor) channelProposal) *cobra.Command {
		return &cobra.Command{
			Use: use + " FILE", Short: short, Args: operands("FILE"),
			Example: examples("waybill channel propose " + use + " retail.json --as vendor/admin"),
			RunE: a.withTimeout(func(ctx context.Context, args []string) error {
				orgs, err := a.descriptors(args)
				if err != nil {
					return err
				}
				a.notice("%s (%s): fingerprint %s", orgs[0].Name, orgs[0].MSPID, orgs[0].Fingerprint())
				p := make(orgs[0])
				p.title = use + " " + orgs[0].MSPID
				return a.proposeChannel(ctx, p, anyway)
			}),
		}
	}
	named := func(use, short string, make func(string) channelProposal) *cobra.Command {
		return &cobra.Command{
			Use: use + " MSP", Short: short, Args: operands("MSP"),
			Example: examples("waybill channel propose " + use + " RetailMSP --as vendor/admin"),
			RunE: a.withTimeout(func(ctx context.Context, args []string) error {
				p := make(args[0])
				p.title = use + " " + args[0]
				return a.proposeChannel(ctx, p, anyway)
			}),
		}
	}
	cmd.AddCommand(
		file("org-add", "Let an organisation in, and invite it as a member", func(d channel.Descriptor) channelProposal {
			return channelProposal{add: d.MSPID, change: channel.AddOrg(d)}
		}),
		named("org-remove", "End an organisation's part, and its membership", func(id string) channelProposal {
			return channelProposal{remove: id, change: channel.RemoveOrg(id)}
		}),
		file("org-update", "Take an organisation's authorities and peer from a descriptor", func(d channel.Descriptor) channelProposal {
			return channelProposal{change: channel.UpdateOrg(d)}
		}),
		file("orderer-add", "Make an organisation's orderer a consenter", func(d channel.Descriptor) channelProposal {
			return channelProposal{change: channel.AddOrderer(d)}
		}),
		named("orderer-remove", "End the part of an organisation's orderer", func(id string) channelProposal {
			return channelProposal{change: channel.RemoveOrderer(id)}
		}),
		file("orderer-update", "Take an orderer's address and certificates from a descriptor", func(d channel.Descriptor) channelProposal {
			return channelProposal{change: channel.UpdateOrderer(d)}
		}),
		newChannelBatchCmd(a, &anyway),
	)
	cmd.PersistentFlags().BoolVar(&anyway, "despite-warnings", false, "propose it where the channel is not as this program makes one")
	return cmd
}

func newChannelBatchCmd(a *app, anyway *bool) *cobra.Command {
	var messages, most, preferred uint32
	cmd := &cobra.Command{
		Use: "batch", Short: "Change how large blocks are", Args: operands(),
		Example: examples(`waybill channel propose batch --messages 800 --as vendor/admin`),
		RunE: a.withTimeout(func(ctx context.Context, _ []string) error {
			if messages == 0 && most == 0 && preferred == 0 {
				return usagef("nothing to change: give --messages, --bytes or --preferred-bytes")
			}
			return a.proposeChannel(ctx, channelProposal{title: "batch", change: channel.SetBatch(messages, most, preferred)}, *anyway)
		}),
	}
	cmd.Flags().Uint32Var(&messages, "messages", 0, "at most so many transactions in a block")
	cmd.Flags().Uint32Var(&most, "bytes", 0, "at most so many bytes in a block; no transaction may be larger")
	cmd.Flags().Uint32Var(&preferred, "preferred-bytes", 0, "so many bytes in a block if possible")
	return cmd
}

func (a *app) proposeChannel(ctx context.Context, p channelProposal, anyway bool) error {
	d, err := a.openChannel(false)
	if err != nil {
		return err
	}
	defer d.close()
	config, _, err := d.current(ctx)
	if err != nil {
		return err
	}
	to, err := p.change(config)
	if err != nil {
		return provenance.Wrap(provenance.Invalid, err, "%s", p.title)
	}
	update, err := channel.Compute(d.name, config, to)
	if err != nil {
		return provenance.Wrap(provenance.Invalid, err, "%s", p.title)
	}
	e, err := channel.Explain(d.name, config, update)
	if err != nil {
		return err
	}
	writeExplanation(a.errOut, e)
	if len(e.Warnings) > 0 && !anyway {
		return hint(provenance.Errorf(provenance.Conflict, "the channel is not one as this program makes it: nothing is proposed"), "propose it nevertheless with --despite-warnings")
	}
	if e.Consenters {
		if err := d.allUp(ctx, config, e.Leaving...); err != nil {
			return err
		}
	}
	list, err := evaluate[struct{ Version int }](ctx, d.ownPeer, "member:List")
	if err != nil {
		return err
	}
	base := state.ChannelBase{Sequence: int(config.GetSequence()), Members: list.Version} //nolint:gosec // G115: a count of changes
	body, err := json.Marshal(state.ChannelChange{Title: p.title, Update: update, Add: p.add, Remove: p.remove, ChannelBase: base})
	if err != nil {
		return fmt.Errorf("encode the change: %w", err)
	}
	header, signature, err := d.signUpdate(update)
	if err != nil {
		return err
	}
	r, err := d.submit(ctx, nil, "channel:Propose", string(body), header, signature)
	if err != nil {
		return err
	}
	s, err := result[tally](r)
	if err == nil && (s.Proposal.Kind != state.ProposeChannel || !sameJSON(body, s.Proposal.Body)) {
		err = mismatch("transaction "+r.TxID, "channel "+p.title, string(s.Proposal.Kind)+" "+s.Proposal.Name)
	}
	if err != nil {
		return err
	}
	return a.printCommitted(shortCommitted(r, s), func(w io.Writer) { writeChannelTally(w, s) }, "proposed: %s", p.title)
}

// signUpdate signs an update with one's own key, as the contract takes it.
func (d channelDoor) signUpdate(update []byte) (header, signature string, err error) {
	s, err := d.SignUpdate(update)
	if err != nil {
		return "", "", err
	}
	return base64.StdEncoding.EncodeToString(s.GetSignatureHeader()), base64.StdEncoding.EncodeToString(s.GetSignature()), nil
}

// shortCommitted leaves the update out of what is printed: "waybill channel show" has it.
func shortCommitted(r committed, s tally) committed {
	s.Proposal.Body = nil
	if b, err := json.Marshal(s); err == nil {
		r.Result = b
	}
	return r
}

func writeChannelTally(w io.Writer, s tally) {
	id := sanitize(s.Proposal.ID)
	fmt.Fprintf(w, "proposal %s: %d of %d votes\n", id, len(s.Yes), s.Needed)
	if s.Proposal.Status == state.ProposalOpen {
		fmt.Fprintf(w, "an admin of another organisation: waybill channel vote %s --as ORG/admin\n", id)
	}
	fmt.Fprintf(w, "when enough have signed: waybill channel submit %s --as ORG/admin\n", id)
}

// configSignatures are those of ballots that say yes.
func configSignatures(ballots []state.Ballot) []*common.ConfigSignature {
	var out []*common.ConfigSignature
	for _, b := range ballots {
		if b.Yes && b.Signature != nil {
			out = append(out, &common.ConfigSignature{SignatureHeader: b.Signature.Header, Signature: b.Signature.Signature})
		}
	}
	return out
}
