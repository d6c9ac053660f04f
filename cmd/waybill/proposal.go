package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

func newProposalCmd(a *app) *cobra.Command {
	cmd := parentCmd("proposal", "Changes that organisations vote on")
	cmd.Example = examples(
		`waybill proposal list --status open`,
		`waybill proposal show 1f2e3d4c`,
		`waybill proposal vote $ID yes --as security/admin`,
	)
	cmd.AddCommand(newProposalListCmd(a), newProposalShowCmd(a), newVoteCmd(a), newProposalWithdrawCmd(a))
	return cmd
}

func newProposalListCmd(a *app) *cobra.Command {
	var status string
	cmd := &cobra.Command{
		Use: "list", Short: "List proposals, open ones first", Args: operands(),
		Example: examples(`waybill proposal list --status open`),
		RunE: a.withTimeout(func(ctx context.Context, _ []string) error {
			return query(ctx, a, func(c gatewayAPI) (*waybillv1.ListProposalsResponse, error) { return c.ListProposals(ctx, status) }, func(w io.Writer, res *waybillv1.ListProposalsResponse) {
				writeProposals(w, res.GetProposals())
			})
		}),
	}
	cmd.Flags().StringVar(&status, "status", "", "only open, accepted, rejected or withdrawn ones")
	return cmd
}

func writeProposals(w io.Writer, proposals []*waybillv1.Proposal) {
	t := table("PROPOSAL", "CHANGES", "STATUS", "MADE", "BY", "VOTES")
	for _, p := range proposals {
		status := p.GetStatus()
		if p.GetOutdated() {
			status += " (outdated)"
		}
		t.row(p.GetId(), p.GetKind()+" "+p.GetName(), status, when(p.GetAt()), who(p.GetBy()), votes(p))
	}
	t.write(w, "nothing was proposed: waybill policy propose -f FILE --as ORG/admin")
}

func votes(p *waybillv1.Proposal) string {
	yes, no := []string{}, []string{}
	for _, v := range p.GetVotes() {
		if v.GetYes() {
			yes = append(yes, v.GetMsp())
		} else {
			no = append(no, v.GetMsp())
		}
	}
	s := fmt.Sprintf("%d of %d", len(yes), p.GetNeeded())
	if len(yes) > 0 {
		s += " (" + strings.Join(yes, ", ") + ")"
	}
	if len(no) > 0 {
		s += "; against: " + strings.Join(no, ", ")
	}
	return s
}

func newProposalShowCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Print a proposal, its votes and what it would change", Args: operands("ID"),
		Example: examples(`waybill proposal show 1f2e3d4c`),
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			id, err := a.askedProposal(ctx, args[0])
			if err != nil {
				return err
			}
			return query(ctx, a, func(c gatewayAPI) (*waybillv1.GetProposalResponse, error) {
				res, err := c.GetProposal(ctx, id)
				if err != nil {
					return nil, err
				}
				return res, checkSource("proposal "+id, res.GetProposal().GetSource(), []byte(res.GetProposal().GetBody()))
			}, func(w io.Writer, res *waybillv1.GetProposalResponse) {
				writeProposal(w, res.GetProposal())
			})
		}),
	}
}

// askedProposal completes an id from a gateway's list, to be looked at.
func (a *app) askedProposal(ctx context.Context, typed string) (string, error) {
	if fullID.MatchString(typed) {
		return typed, nil
	}
	if err := checkPrefix("proposal", typed); err != nil {
		return "", err
	}
	res, err := fetch(ctx, a, func(c gatewayAPI) (*waybillv1.ListProposalsResponse, error) { return c.ListProposals(ctx, "") })
	if err != nil {
		return "", err
	}
	ids := []string{}
	for _, p := range res.GetProposals() {
		ids = append(ids, p.GetId())
	}
	return completeID("proposal", typed, ids)
}

func writeProposal(w io.Writer, p *waybillv1.Proposal) {
	writeProposals(w, []*waybillv1.Proposal{p})
	if len(p.GetVotes()) > 0 {
		fmt.Fprintln(w)
		t := table("VOTE", "BY", "AT", "REASON")
		for _, v := range p.GetVotes() {
			word := "no"
			if v.GetYes() {
				word = "yes"
			}
			t.row(word, who(v.GetBy()), when(v.GetAt()), dash(v.GetReason()))
		}
		t.write(w, "")
	}
	fmt.Fprintln(w)
	if writeProposedRoot(w, p) {
		return
	}
	if p.GetKind() == string(state.ProposeChannel) {
		fmt.Fprintf(w, "what it would change, from its bytes: waybill channel show %s\n", sanitize(p.GetId()))
		return
	}
	fmt.Fprint(w, sanitizeLines(asYAML([]byte(p.GetBody()))))
	if p.GetSource() != "" {
		fmt.Fprintf(w, "\n# read from this text, of which comments decide nothing\n%s", sanitizeLines(p.GetSource()))
	}
}

func newProposalWithdrawCmd(a *app) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "withdraw ID", Short: "Withdraw a proposal that your organisation made", Args: operands("ID"),
		Example: examples(`waybill proposal withdraw $ID --as vendor/admin`),
		Long:    "Withdraw a proposal that your organisation made, while it is open, whoever voted\nyes. Who still wants it proposes it anew.",
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			if err := requireFullID("proposal", args[0], "waybill proposal list"); err != nil {
				return err
			}
			p, err := a.signerPeer()
			if err != nil {
				return err
			}
			defer p.close()
			s, err := p.proposal(ctx, args[0])
			if err != nil {
				return err
			}
			id := s.Proposal.ID
			r, err := p.submit(ctx, nil, "proposal:Withdraw", id, reason)
			if err != nil {
				return err
			}
			return a.printCommitted(r, nil, "withdrew proposal %s", id)
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	return cmd
}
