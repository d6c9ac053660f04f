package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// standing is where a proposal stands, as the proposal transactions return it.
type standing struct {
	Proposal state.Proposal `json:"proposal"`
	Yes      []string       `json:"yes"`
	No       []string       `json:"no"`
	Needed   int            `json:"needed"`
}

// propose opens a proposal, or votes for it where it is open already.
func (a *app) propose(ctx context.Context, kind state.ProposalKind, body, said string) error {
	s, r, err := a.openProposal(ctx, kind, body)
	if err != nil {
		return err
	}
	return a.printAct(r, func(w io.Writer) { writeStanding(w, s) }, "%s", said)
}

// openProposal opens a proposal and compares the answer with what was proposed.
func (a *app) openProposal(ctx context.Context, kind state.ProposalKind, body string) (standing, receipt, error) {
	r, err := a.act(ctx, "proposal:Open", string(kind), body)
	if err != nil {
		return standing{}, r, err
	}
	s, err := result[standing](r)
	if err == nil && (s.Proposal.Kind != kind || !proposes(s.Proposal, body)) {
		err = otherQuestion("transaction "+r.TxID, fmt.Sprintf("%s %s", kind, body), fmt.Sprintf("%s %s", s.Proposal.Kind, s.Proposal.Body))
	}
	return s, r, err
}

// proposes tells whether a proposal is what somebody wrote as one.
func proposes(p state.Proposal, text string) bool {
	if p.Kind != state.ProposePolicy {
		return sameJSON([]byte(text), p.Body)
	}
	written, err := policy.ParseText([]byte(text))
	return err == nil && bytes.Equal(written.Canonical(), p.Body) && (p.Source == text || p.Source == "" && text == string(p.Body))
}

// sameJSON tells whether two documents say the same.
func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

func writeStanding(w io.Writer, s standing) {
	p := s.Proposal
	switch p.Status {
	case state.ProposalAccepted:
		if p.Kind == state.ProposePolicy {
			fmt.Fprintf(w, "in force as version %d\n", p.Version)
			return
		}
		fmt.Fprintln(w, "accepted and in force")
	case state.ProposalOpen:
		fmt.Fprintf(w, "proposal %s: %d of %d votes (%s)\n", clean(p.ID), len(s.Yes), s.Needed, clean(strings.Join(s.Yes, ", ")))
		fmt.Fprintf(w, "an admin of another organisation: waybill proposal vote %s yes --as ORG/admin\n", clean(p.ID))
	default:
		fmt.Fprintf(w, "proposal %s is %s\n", clean(p.ID), clean(string(p.Status)))
	}
}

func newVoteCmd(a *app) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "vote ID yes|no", Short: "Vote on a proposal for your organisation, as its admin", Args: operands("ID", "yes|no"),
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
		RunE: a.do(func(ctx context.Context, args []string) error {
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
	if err := wholeID("proposal", typed, "waybill proposal list"); err != nil {
		return err
	}
	p, err := a.signing()
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
	r, err := p.act(ctx, nil, "proposal:Vote", id, hash, word, reason)
	if err != nil {
		return err
	}
	s, err := result[standing](r)
	if err != nil {
		return err
	}
	if s.Proposal.ID != id || s.Proposal.Hash != hash {
		return otherQuestion("transaction "+r.TxID, "proposal "+id, "proposal "+s.Proposal.ID)
	}
	return a.printAct(r, func(w io.Writer) { writeStanding(w, s) }, "voted %s on proposal %s", word, id)
}

// proposal reads a proposal and makes sure that it is what its id and its hash
// name: the id is made of the kind, the name, the version it starts from, the body and
// the text that the body is read from, which must say it.
func (p own) proposal(ctx context.Context, id string) (standing, error) {
	s, err := await(ctx, p, func() (standing, error) { return evaluate[standing](ctx, p, "proposal:Get", id) })
	if err != nil {
		return s, err
	}
	got := s.Proposal
	switch hash := state.ContentHash(got.Body, got.Source); {
	case got.ID != id:
		return s, otherQuestion(p.me.org.Org+"'s peer", "proposal "+id, "proposal "+got.ID)
	case hash != got.Hash:
		return s, provenance.Errorf(provenance.Internal, "the text of proposal %.12s that %s's peer shows hashes to %.12s and not to %.12s, as it says", id, p.me.org.Org, hash, got.Hash)
	case state.ProposalID(state.ChangeHash(got.Kind, got.Name, got.Base, got.Body, got.Source), got.Round) != id:
		return s, provenance.Errorf(provenance.Internal, "what %s's peer shows as proposal %.12s (%s %s) is not what that id names", p.me.org.Org, id, got.Kind, got.Name)
	}
	return s, checkSource("proposal "+id, got.Source, got.Body)
}

var (
	fullID   = regexp.MustCompile(`^[0-9a-f]{64}$`)
	idPrefix = regexp.MustCompile(`^[0-9a-f]{8,63}$`)
)

// wholeID refuses anything but a whole id: what is signed is named in full.
func wholeID(what, typed, list string) error {
	if !fullID.MatchString(typed) {
		return hint(usagef("%s %q: want its whole id, 64 hex digits; the first digits of one can be made to be those of another", what, typed), "it is printed by: %s", list)
	}
	return nil
}

func checkPrefix(what, typed string) error {
	if !idPrefix.MatchString(typed) {
		return usagef("%s %q: want its id, 64 hex digits, or the first 8 of them or more", what, typed)
	}
	return nil
}

// completeID finds the one id that begins as typed.
func completeID(what, typed string, ids []string) (string, error) {
	found := ""
	for _, id := range ids {
		switch {
		case !strings.HasPrefix(id, typed) || id == found:
		case found != "":
			return "", hint(usagef("%s %s: more than one begins so", what, typed), "give more of its digits: %s, %s", found, id)
		default:
			found = id
		}
	}
	if found == "" {
		return "", provenance.Errorf(provenance.NotFound, "no %s begins with %s", what, typed)
	}
	return found, nil
}

// show says on stderr what a vote is about, before it is signed.
func (p own) show(ctx context.Context, s standing) error {
	c := s.Proposal
	p.a.notice("proposal %s is %s %s, made by %s at %s, hash %s; %d of %d votes", c.ID, c.Kind, c.Name, c.By, c.At.UTC().Format(time.DateTime), c.Hash, len(s.Yes), s.Needed)
	lines, err := p.changes(ctx, c)
	for _, line := range lines {
		fmt.Fprintf(p.a.errOut, "  %s\n", clean(line))
	}
	return err
}

// changes says what a proposal would change: the rules of a policy against the
// version in force, anything else, and what is new, as it is; and the text they are
// read from, where there is one, for it is voted on as well.
func (p own) changes(ctx context.Context, c state.Proposal) ([]string, error) {
	lines, err := p.ruleChanges(ctx, c)
	if err != nil || c.Source == "" {
		return lines, err
	}
	return slices.Concat(lines, []string{"read from this text, of which comments decide nothing:"}, linesOf(c.Source)), nil
}

func (p own) ruleChanges(ctx context.Context, c state.Proposal) ([]string, error) {
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

func newProposalWithdrawCmd(a *app) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "withdraw ID", Short: "Withdraw a proposal that your organisation made", Args: operands("ID"),
		Long: "Withdraw a proposal that your organisation made, while no other organisation said\nyes to it: then vote no instead.",
		RunE: a.do(func(ctx context.Context, args []string) error {
			if err := wholeID("proposal", args[0], "waybill proposal list"); err != nil {
				return err
			}
			p, err := a.signing()
			if err != nil {
				return err
			}
			defer p.close()
			s, err := p.proposal(ctx, args[0])
			if err != nil {
				return err
			}
			id := s.Proposal.ID
			r, err := p.act(ctx, nil, "proposal:Withdraw", id, reason)
			if err != nil {
				return err
			}
			return a.printAct(r, nil, "withdrew proposal %s", id)
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	return cmd
}
