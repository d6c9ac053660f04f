package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/network/channel"
)

// undecided refuses to change the channel before the ledger where an organisation comes or goes. In the other order
// both would be left to whoever runs the next command.
func (v channelView) undecided() error {
	switch {
	case v.decided():
		return nil
	case v.State == channelInForce && !v.votable():
		kind := "add"
		if v.body.Remove != "" {
			kind = "remove"
		}
		return hint(provenance.Errorf(provenance.Conflict, "it is in force in the channel, and was not decided on the ledger: the members' list is another"),
			"put it right with a vote: waybill member propose %s %s", kind, v.body.Add+v.body.Remove)
	case v.votable():
		return hint(provenance.Errorf(provenance.Forbidden, "the members have not decided it: %d of %d votes", len(v.Yes), v.Needed),
			"an admin of another organisation: waybill channel vote %s --as ORG/admin", v.ID)
	}
	return hint(provenance.Errorf(provenance.Stale, "the members have not decided it, and nobody votes on it any more"), "propose it anew")
}

// closeVote ends the vote on what is in force already by the signature of whoever proposed it alone, so that it
// waits in nobody's list and takes no room of its organisation.
func (d channelDoor) closeVote(ctx context.Context, v channelView) {
	if v.Status != state.ProposalOpen || v.membership() || v.opener != d.me.org.MSPID {
		return
	}
	if _, err := d.submit(ctx, nil, "proposal:Withdraw", v.ID, fmt.Sprintf("in force as configuration %d", v.Sequence)); err != nil {
		d.a.notice("the vote on it stays open: %v", err)
	}
}

func newChannelSubmitCmd(a *app) *cobra.Command {
	var anyway bool
	cmd := &cobra.Command{
		Use: "submit ID", Short: "Bring a change that enough organisations signed to the orderers", Args: operands("ID"),
		Example: examples(`waybill channel submit $ID --as vendor/admin`),
		Long: `Gather the signatures on a change of the channel from the ledger and bring it to
the orderers, which decide by the channel's own policies. Anybody who may write
may do it; it is done once the change is in force on your organisation's peer.
Where an organisation comes or goes, the members' vote on the ledger must be won
first. Ended half-way, it is run again.`,
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			return a.onChange(ctx, false, args[0], func(d channelDoor, v channelView) error {
				if v.State == channelInForce && v.decided() {
					d.closeVote(ctx, v)
					return a.emit(v, v.write)
				}
				v.write(a.errOut)
				if err := v.undecided(); err != nil {
					return err
				}
				if err := v.signable(anyway); err != nil {
					return err
				}
				if unmet := channel.Unmet(v.Needs); len(unmet) > 0 {
					return hint(provenance.Errorf(provenance.Forbidden, "not signed by enough organisations: %s", strings.Join(unmet, ", ")),
						"an admin of another organisation: waybill channel vote %s --as ORG/admin", v.ID)
				}
				if v.Consenters {
					if err := d.allUp(ctx, v.config, v.Leaving...); err != nil {
						return err
					}
				}
				block, err := d.Submit(ctx, v.config, v.body.Update, v.signatures)
				if err != nil {
					return provenance.Wrap(provenance.Unavailable, err, "submit %s", v.Title)
				}
				v.State, v.Sequence = channelInForce, v.Sequence+1
				d.closeVote(ctx, v)
				return a.emit(v, func(w io.Writer) {
					fmt.Fprintf(w, "in force with block %d, as configuration %d: %s\n", block, v.Sequence, sanitize(v.Title))
				})
			})
		}),
	}
	cmd.Flags().BoolVar(&anyway, "despite-warnings", false, "submit what is not understood, or not as this program would write it")
	return cmd
}
