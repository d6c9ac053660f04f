package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

func newVoteCmd(a *app) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "vote ID yes|no", Short: "Vote on a proposal for your organisation, as its admin", Args: operands("ID", "yes|no"),
		Example: examples(
			`waybill proposal vote $ID yes --as security/admin`,
			`waybill proposal vote $ID no --reason "too weak" --as security/admin`,
		),
		Long: `Vote on a proposal for your organisation, as its admin. ID is the whole id: the
first digits of one can be made to be those of another. Your own organisation's
peer says what it is; its hash is computed here, shown with what would change,
and signed with the vote.`,
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return []string{"yes", "no"}, cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			if args[1] != "yes" && args[1] != "no" {
				return usagef("vote %q: want yes or no", args[1])
			}
			return a.vote(ctx, args[0], args[1], reason)
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	return cmd
}

func (a *app) vote(ctx context.Context, typed, word, reason string) error {
	if err := requireFullID("proposal", typed, "waybill proposal list"); err != nil {
		return err
	}
	p, err := a.signerPeer()
	if err != nil {
		return err
	}
	defer p.close()
	asked, err := p.proposal(ctx, typed)
	if err != nil {
		return err
	}
	if err := p.show(ctx, asked); err != nil {
		return err
	}
	id, hash := asked.Proposal.ID, asked.Proposal.Hash
	r, err := p.submit(ctx, nil, "proposal:Vote", id, hash, word, reason)
	if err != nil {
		return err
	}
	s, err := result[tally](r)
	if err != nil {
		return err
	}
	if s.Proposal.ID != id || s.Proposal.Hash != hash {
		return mismatch("transaction "+r.TxID, "proposal "+id, "proposal "+s.Proposal.ID)
	}
	return a.printCommitted(r, func(w io.Writer) { writeTally(w, s) }, "voted %s on proposal %s", word, id)
}

// proposal reads a proposal and makes sure that it is what its id and its hash
// name: the id is made of the kind, the name, the version it starts from, the body and
// the text that the body is read from, which must say it.
func (p ownPeer) proposal(ctx context.Context, id string) (tally, error) {
	s, err := await(ctx, p, func() (tally, error) { return evaluate[tally](ctx, p, "proposal:Get", id) })
	if err != nil {
		return s, err
	}
	got := s.Proposal
	switch hash := state.ContentHash(got.Body, got.Source); {
	case got.ID != id:
		return s, mismatch(p.me.org.Org+"'s peer", "proposal "+id, "proposal "+got.ID)
	case hash != got.Hash:
		return s, provenance.Errorf(provenance.Internal, "the text of proposal %.12s that %s's peer shows hashes to %.12s and not to %.12s, as it says", id, p.me.org.Org, hash, got.Hash)
	case state.ProposalID(state.ChangeHash(got.Kind, got.Name, got.Base, got.Body, got.Source), got.Round) != id:
		return s, provenance.Errorf(provenance.Internal, "what %s's peer shows as proposal %.12s (%s %s) is not what that id names", p.me.org.Org, id, got.Kind, got.Name)
	}
	return s, checkSource("proposal "+id, got.Source, got.Body)
}

// show says on stderr what a vote is about, before it is signed.
func (p ownPeer) show(ctx context.Context, s tally) error {
	c := s.Proposal
	p.a.notice("proposal %s is %s %s, made by %s at %s, hash %s; %d of %d votes", c.ID, c.Kind, c.Name, c.By, c.At.UTC().Format(time.DateTime), c.Hash, len(s.Yes), s.Needed)
	lines, err := p.changes(ctx, c)
	for _, line := range lines {
		fmt.Fprintf(p.a.errOut, "  %s\n", sanitize(line))
	}
	return err
}

// changes says what a proposal would change: the rules of a policy against the
// version in force, anything else, and what is new, as it is; and the text they are
// read from, where there is one, for it is voted on as well.
func (p ownPeer) changes(ctx context.Context, c state.Proposal) ([]string, error) {
	lines, err := p.ruleChanges(ctx, c)
	if err != nil || c.Source == "" {
		return lines, err
	}
	return slices.Concat(lines, []string{"read from this text, of which comments decide nothing:"}, linesOf(c.Source)), nil
}

func (p ownPeer) ruleChanges(ctx context.Context, c state.Proposal) ([]string, error) {
	if c.Kind == state.ProposeTrust {
		return p.trustChanges(ctx, c)
	}
	if c.Kind == state.ProposeChannel {
		return []string{"what it would change, from its bytes: waybill channel show " + c.ID}, nil
	}
	if c.Kind != state.ProposePolicy {
		return linesOf(asYAML(c.Body)), nil
	}
	to, err := policy.Parse(c.Body)
	if err != nil {
		return nil, fmt.Errorf("the policy of proposal %s: %w", c.ID, err)
	}
	stored, err := p.policyVersion(ctx, c.Name, 0)
	switch {
	case provenance.CodeOf(err) == provenance.NotFound:
		return linesOf(asYAML(c.Body)), nil
	case err != nil:
		return nil, err
	}
	from, err := policy.Parse(stored.Text)
	if err != nil {
		return nil, fmt.Errorf("policy %s@%d: %w", stored.Name, stored.Version, err)
	}
	lines := policy.Diff(from, to)
	if len(lines) == 0 {
		lines = []string{"no rule changes"}
	}
	return append([]string{fmt.Sprintf("against version %d, in force now:", stored.Version)}, lines...), nil
}

func linesOf(text string) []string { return strings.Split(strings.TrimRight(text, "\n"), "\n") }
