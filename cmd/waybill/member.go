package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

func newMemberCmd(a *app) *cobra.Command {
	cmd := parentCmd("member", "Organisations and the roles of their people")
	cmd.Example = examples(`waybill member list`, `waybill member grant alice release-manager --as vendor/admin`)
	cmd.AddCommand(
		newGrantCmd(a, "grant", "Give one of your organisation's people a role", "member:Grant", "granted"),
		newGrantCmd(a, "revoke", "Take a role from one of your organisation's people", "member:Revoke", "revoked"),
		newTakeBackCmd(a), newMemberListCmd(a), newMemberFoundCmd(a), newMemberJoinCmd(a), newMemberProposeCmd(a),
	)
	return cmd
}

func newGrantCmd(a *app, use, short, fn, done string) *cobra.Command {
	return &cobra.Command{
		Use: use + " IDENTITY ROLE", Short: short, Args: operands("IDENTITY", "ROLE"),
		Example: examples("waybill member " + use + " alice release-manager --as vendor/admin"),
		Long:    short + ". Only an admin may,\nand only for people of the same organisation: --as ORG/admin.",
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return roles(), cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			name, role := args[0], args[1]
			if !contains(roles(), role) {
				return hint(usagef("there is no role %q", role), "%s", didYouMean(role, roles()))
			}
			r, err := a.submit(ctx, fn, name, role)
			if err != nil {
				return err
			}
			return a.printCommitted(r, nil, "%s %s: %s", done, role, name)
		}),
	}
}

func newTakeBackCmd(a *app) *cobra.Command {
	var since, reason string
	cmd := &cobra.Command{
		Use: "take-back IDENTITY --since TIME --reason REASON", Short: "Take back what a stolen identity did, as an admin", Args: operands("IDENTITY"),
		Example: examples(
			`waybill member take-back ci-robot --since 2026-03-02T09:00:00Z \`,
			`    --reason "its key leaked" --as vendor/admin`,
		),
		Long: `Take back what one of your organisation's people or robots did since a time:
approvals, votes on open proposals, roles it granted and approvals made in those
roles, approvals of waivers, and evidence that it vouched for. It stays in the
history and counts no more; what relied on it is asked anew. A later take-back
may only name an earlier time.`,
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			at, err := time.Parse(time.RFC3339, since)
			if err != nil {
				return usagef("--since %q: want a time as in 2026-03-02T09:00:00Z", since)
			}
			r, err := a.submit(ctx, "member:TakeBack", args[0], at.UTC().Format(time.RFC3339), reason)
			if err != nil {
				return err
			}
			return a.printCommitted(r, nil, "took back what %s did since %s", args[0], at.UTC().Format(time.DateTime))
		}),
	}
	cmd.Flags().StringVar(&since, "since", "", "since when somebody else may have used it (RFC 3339)")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	requireFlags(cmd, "since", "reason")
	return cmd
}

func roles() []string {
	names := []string{}
	for _, r := range state.Roles() {
		names = append(names, string(r))
	}
	return names
}

func newMemberListCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the organisations and the roles they granted", Args: operands(),
		Example: examples(`waybill member list`),
		RunE: a.withTimeout(func(ctx context.Context, _ []string) error {
			return query(ctx, a, func(c gatewayAPI) (*waybillv1.ListMembersResponse, error) { return c.ListMembers(ctx) }, func(w io.Writer, res *waybillv1.ListMembersResponse) {
				members := table("ORGANISATION", "NAME", "JOINED", "BY")
				for _, m := range res.GetMembers() {
					members.row(m.GetMsp(), m.GetName(), when(m.GetAt()), who(m.GetBy()))
				}
				members.write(w, "no organisation has joined: waybill network up does that")
				grants := table("ORGANISATION", "IDENTITY", "ROLE", "GRANTED", "BY")
				for _, g := range res.GetGrants() {
					role := g.GetRole()
					if g.GetRevoked() {
						role += " (revoked)"
					}
					grants.row(g.GetMsp(), g.GetIdentity(), role, when(g.GetAt()), who(g.GetBy()))
				}
				blank(w)
				grants.write(w, "no role was granted: waybill member grant NAME ROLE --as ORG/admin")
			})
		}),
	}
}

func newMemberProposeCmd(a *app) *cobra.Command {
	cmd := parentCmd("propose", "Put a change of the member list to the vote")
	cmd.Example = examples("waybill member propose add AuditMSP --as vendor/admin", "waybill member propose majority 3 --as vendor/admin")
	change := func(use, short string, kind state.ProposalKind) *cobra.Command {
		return &cobra.Command{
			Use: use + " MSP", Short: short, Args: operands("MSP"),
			Example: examples("waybill member propose " + use + " AuditMSP --as vendor/admin"),
			RunE: a.withTimeout(func(ctx context.Context, args []string) error {
				body, err := json.Marshal(map[string]string{"msp": args[0]})
				if err != nil {
					return err
				}
				return a.propose(ctx, kind, string(body), "proposed: "+string(kind)+" "+args[0])
			}),
		}
	}
	cmd.AddCommand(
		change("add", "Invite an organisation, which then joins (waybill member join)", state.ProposeMemberAdd),
		change("remove", "Remove an organisation: what it signed stops counting", state.ProposeMemberRemove),
		&cobra.Command{
			Use: "majority N", Short: "Require N agreeing organisations for every proposal", Args: operands("N"),
			Example: examples(`waybill member propose majority 3 --as vendor/admin`),
			RunE: a.withTimeout(func(ctx context.Context, args []string) error {
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

func newMemberFoundCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "found MSP...", Short: "Name the organisations that the consortium starts with", Args: cobra.MinimumNArgs(1),
		Example: examples(`waybill member found VendorMSP SecurityMSP AuditMSP --as vendor/admin`),
		Long: `Name the organisations that the consortium starts with, your own among them. One
of them does, once; then each joins by itself (waybill member join). Founding
again by the same names changes nothing.`,
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			body, err := json.Marshal(args)
			if err != nil {
				return err
			}
			r, err := a.submit(ctx, "member:Found", string(body))
			if err != nil {
				return err
			}
			return a.printCommitted(r, nil, "founded with %s; each joins with: waybill member join", strings.Join(args, ", "))
		}),
	}
}

func newMemberJoinCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "join NAME", Short: "Join as an invited organisation, under a name for people", Args: operands("NAME"),
		Example: examples(`waybill member join audit --as audit/admin`),
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			r, err := a.submit(ctx, "member:Join", args[0])
			if err != nil {
				return err
			}
			return a.printCommitted(r, nil, "joined as %s", args[0])
		}),
	}
}
