package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

func newProposalCmd(a *app) *cobra.Command {
	cmd := group("proposal", "Changes that organisations vote on")
	cmd.AddCommand(newProposalListCmd(a), newProposalShowCmd(a), newVoteCmd(a), newProposalWithdrawCmd(a))
	return cmd
}

func newProposalListCmd(a *app) *cobra.Command {
	var status string
	cmd := &cobra.Command{
		Use: "list", Short: "List proposals, open ones first", Args: operands(),
		RunE: a.do(func(ctx context.Context, _ []string) error {
			return query(ctx, a, func(c answers) (*waybillv1.ListProposalsResponse, error) { return c.ListProposals(ctx, status) }, func(w io.Writer, res *waybillv1.ListProposalsResponse) {
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
		RunE: a.do(func(ctx context.Context, args []string) error {
			id, err := a.askedProposal(ctx, args[0])
			if err != nil {
				return err
			}
			return query(ctx, a, func(c answers) (*waybillv1.GetProposalResponse, error) {
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
	res, err := fetch(ctx, a, func(c answers) (*waybillv1.ListProposalsResponse, error) { return c.ListProposals(ctx, "") })
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
	fmt.Fprintf(w, "\n%s", cleanLines(asYAML([]byte(p.GetBody()))))
	if p.GetSource() != "" {
		fmt.Fprintf(w, "\n# read from this text, of which comments decide nothing\n%s", cleanLines(p.GetSource()))
	}
}

func newPolicyDiffCmd(a *app) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "diff NAME [VERSION [VERSION]]", Short: "Say what changes between a policy in force and a file, or between two versions",
		Args: cobra.RangeArgs(1, 3),
		RunE: a.do(func(ctx context.Context, args []string) error {
			from, err := a.policyVersion(ctx, args, 1, file == "" && len(args) < 3)
			if err != nil {
				return err
			}
			var to policyText
			if file != "" {
				to.rules, to.text, err = a.readPolicy(file)
			} else {
				to, err = a.policyVersion(ctx, args, 2, false)
			}
			if err != nil {
				return err
			}
			lines := policy.Diff(from.rules, to.rules)
			return a.emit(map[string]any{"changes": append([]string{}, lines...), "text": from.text != to.text}, func(w io.Writer) {
				switch {
				case len(lines) == 0 && from.text != to.text:
					fmt.Fprintln(w, "no rule changes; comments or layout do")
				case len(lines) == 0:
					fmt.Fprintln(w, "nothing changes")
				}
				for _, line := range lines {
					fmt.Fprintln(w, clean(line))
				}
			})
		}),
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "compare with this file")
	return cmd
}

// policyText is a policy and the text that says so.
type policyText struct {
	rules policy.Policy
	text  string
}

// policyVersion reads the version that stands at args[at], the one in force
// where there is none, or the one before it.
func (a *app) policyVersion(ctx context.Context, args []string, at int, before bool) (policyText, error) {
	n := 0
	if len(args) > at {
		var err error
		if n, err = strconv.Atoi(args[at]); err != nil || n < 1 {
			return policyText{}, usagef("version %q: want a number from 1", args[at])
		}
	}
	res, err := fetch(ctx, a, func(c answers) (*waybillv1.GetPolicyResponse, error) { return c.GetPolicy(ctx, args[0], n) })
	if err != nil {
		return policyText{}, err
	}
	if v := int(res.GetPolicy().GetVersion()); before && n == 0 && v > 1 {
		res, err = fetch(ctx, a, func(c answers) (*waybillv1.GetPolicyResponse, error) { return c.GetPolicy(ctx, args[0], v-1) })
		if err != nil {
			return policyText{}, err
		}
	}
	text := res.GetPolicy().GetSource()
	if err := checkSource("policy "+args[0], text, []byte(res.GetPolicy().GetText())); err != nil {
		return policyText{}, err
	}
	if text == "" {
		text = res.GetPolicy().GetText()
	}
	p, err := policy.Parse([]byte(res.GetPolicy().GetText()))
	return policyText{p, text}, err
}

func newPolicySimulateCmd(a *app) *cobra.Command {
	var file string
	var releases int
	cmd := &cobra.Command{
		Use: "simulate -f FILE", Short: "Say what a policy would have decided about the last releases", Args: operands(),
		Long: "Judge the last releases again, with today's facts, under the policy in force and\nunder the file: what would change before anybody votes. Nothing is written.",
		RunE: a.do(func(ctx context.Context, _ []string) error {
			p, _, err := a.readPolicy(file)
			if err != nil {
				return err
			}
			return query(ctx, a, func(c answers) (*waybillv1.SimulatePolicyResponse, error) {
				return c.SimulatePolicy(ctx, p.Canonical(), releases)
			}, writeSimulation)
		}),
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "the policy's file")
	cmd.Flags().IntVar(&releases, "releases", 0, "how many of the last releases (0 is 50)")
	require(cmd, "file")
	return cmd
}

func writeSimulation(w io.Writer, res *waybillv1.SimulatePolicyResponse) {
	t := table("STAGE", "IMAGE", "RELEASED", "IN FORCE SAYS", "THE FILE SAYS", "WHY")
	for _, r := range res.GetReleases() {
		why := []string{}
		for _, x := range r.GetReasons() {
			if x.GetOutcome() != string(policy.Satisfied) && x.GetOutcome() != string(policy.Waived) {
				why = append(why, x.GetRule()+": "+x.GetDetail())
			}
		}
		after := r.GetAfter()
		if r.GetChanged() {
			after += " (changed)"
		}
		t.row(r.GetStage(), r.GetHost()+"/"+r.GetRepository()+"@"+short(r.GetDigest()), when(r.GetReleasedAt()), r.GetBefore(), after, dash(strings.Join(why, "; ")))
	}
	t.write(w, "the policy governs no release yet")
	if len(res.GetReleases()) > 0 {
		fmt.Fprintf(w, "\n%d of %d would change\n", res.GetChanged(), len(res.GetReleases()))
	}
}

func newMemberProposeCmd(a *app) *cobra.Command {
	cmd := group("propose", "Put a change of the member list to the vote")
	change := func(use, short string, kind state.ProposalKind) *cobra.Command {
		return &cobra.Command{
			Use: use + " MSP", Short: short, Args: operands("MSP"),
			RunE: a.do(func(ctx context.Context, args []string) error {
				body, err := json.Marshal(map[string]string{"msp": args[0]})
				if err != nil {
					return err
				}
				return a.propose(ctx, kind, string(body), "proposed: "+string(kind)+" "+args[0])
			}),
		}
	}
	cmd.AddCommand(
		change("add", "Invite an organisation of the channel; it joins with: waybill member join", state.ProposeMemberAdd),
		change("remove", "Remove an organisation: what it signed stops counting", state.ProposeMemberRemove),
		&cobra.Command{
			Use: "majority N", Short: "Require N agreeing organisations for every proposal", Args: operands("N"),
			RunE: a.do(func(ctx context.Context, args []string) error {
				n, err := strconv.Atoi(args[0])
				if err != nil {
					return usagef("majority %q: want a number", args[0])
				}
				return a.propose(ctx, state.ProposeMajority, fmt.Sprintf(`{"majority":%d}`, n), "proposed: majority "+args[0])
			}),
		},
	)
	return cmd
}

func newMemberJoinCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "join NAME", Short: "Join as an invited organisation, under a name for people", Args: operands("NAME"),
		RunE: a.do(func(ctx context.Context, args []string) error {
			r, err := a.act(ctx, "member:Join", args[0])
			if err != nil {
				return err
			}
			return a.printAct(r, nil, "joined as %s", args[0])
		}),
	}
}
