package main

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/state"
)

func newTrustCmd(a *app) *cobra.Command {
	cmd := parentCmd("trust", "Trusted roots of keyless signatures: who may say who signed")
	cmd.Example = examples(
		`waybill trust add ci -f trusted_root.json --as vendor/admin`,
		`waybill trust add public-good -f trusted_root.json --shared --as vendor/admin`,
		`waybill trust list --as vendor/auditor`,
	)
	cmd.AddCommand(newTrustAddCmd(a), newTrustListCmd(a), newTrustShowCmd(a), newTrustWithdrawCmd(a))
	return cmd
}

func newTrustAddCmd(a *app) *cobra.Command {
	var file, origin string
	var shared bool
	var number int
	cmd := &cobra.Command{
		Use: "add NAME -f FILE", Short: "Put a trusted root in force, or propose one that members share", Args: operands("NAME"),
		Example: examples(
			`waybill trust add ci -f trusted_root.json --as vendor/admin`,
			`waybill trust add public-good -f trusted_root.json --shared \`,
			`    --origin https://tuf-repo-cdn.sigstore.dev --as vendor/admin`,
		),
		Long: `Put a trusted_root.json in force, as an admin: the certificate authorities, logs
and timestamp authorities by whose word keyless signatures are verified. Under a
name that is there already it is the next version; every version stays.

Without --shared it is your organisation's own, and your organisation answers
for what it says. With --shared it is proposed to the members, and in force once
a majority agrees; the same command is a vote for it.

"gh attestation trusted-root" prints several, Sigstore's public one and GitHub's
own, one a line: put each in force under a name of its own, with --number.

What a new version no longer trusts counts no more, for what was recorded as
well: end an authority's time at a date, and all that it vouched for since then
is withdrawn, with the approvals that relied on it.`,
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			root, err := a.rootOf(file, number)
			if err != nil {
				return err
			}
			if shared {
				body, err := json.Marshal(state.TrustChange{Name: args[0], Origin: origin, Root: root.Canonical()})
				if err != nil {
					return err
				}
				return a.propose(ctx, state.ProposeTrust, string(body), "shared root "+args[0])
			}
			r, err := a.submit(ctx, "trust:Add", args[0], string(root.Canonical()), origin)
			if err != nil {
				return err
			}
			in, err := result[state.TrustedRoot](r)
			if err != nil {
				return err
			}
			return a.printCommitted(r, nil, "%s is in force, version %d", sanitize(in.String()), in.Version)
		}),
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "the trusted_root.json")
	cmd.Flags().IntVar(&number, "number", 0, "which root of a file of several, as \"gh attestation trusted-root\" prints")
	cmd.Flags().StringVar(&origin, "origin", "", "where it came from, for whoever looks at it")
	cmd.Flags().BoolVar(&shared, "shared", false, "propose it to all members")
	requireFlags(cmd, "file")
	return cmd
}

func newTrustWithdrawCmd(a *app) *cobra.Command {
	var reason, since string
	var shared bool
	cmd := &cobra.Command{
		Use: "withdraw NAME --reason REASON", Short: "Withdraw a trusted root: nothing is verified by it from now on", Args: operands("NAME"),
		Example: examples(
			`waybill trust withdraw ci --reason "its signing key is out" \`,
			`    --compromised-since 2026-03-02T09:00:00Z --as vendor/admin`,
		),
		Long: `Withdraw a trusted root of your organisation, or with --shared propose it of one
that the members share: nothing is verified by it from then on. With
--compromised-since nothing counts either that was recorded since then, and
approvals that relied on it are stale. To end one authority of a root, put a
version in force in which its time ends.`,
		RunE: a.withTimeout(func(ctx context.Context, args []string) error {
			if shared {
				w := state.TrustWithdrawal{Reason: reason}
				if since != "" {
					var err error
					if w.CompromisedSince, err = time.Parse(time.RFC3339, since); err != nil {
						return usagef("--compromised-since %q: want a time as in 2026-03-02T09:00:00Z", since)
					}
					w.CompromisedSince = w.CompromisedSince.UTC().Truncate(time.Second)
				}
				body, err := json.Marshal(state.TrustChange{Name: args[0], Withdraw: &w})
				if err != nil {
					return err
				}
				return a.propose(ctx, state.ProposeTrust, string(body), "withdrawal of the shared root "+args[0])
			}
			r, err := a.submit(ctx, "trust:Withdraw", args[0], reason, since)
			if err != nil {
				return err
			}
			return a.printCommitted(r, nil, "withdrew root %s", args[0])
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	cmd.Flags().StringVar(&since, "compromised-since", "", "since when somebody else may have used it (RFC 3339)")
	cmd.Flags().BoolVar(&shared, "shared", false, "propose it to all members")
	requireFlags(cmd, "reason")
	return cmd
}

func newTrustListCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the trusted roots, those that members share first", Args: operands(),
		Example: examples(`waybill trust list --as vendor/auditor`),
		Long:    "List the trusted roots as your organisation's peer has them.",
		RunE: a.withTimeout(func(ctx context.Context, _ []string) error {
			p, err := a.readerPeer()
			if err != nil {
				return err
			}
			defer p.close()
			roots, err := evaluate[[]state.TrustedRoot](ctx, p, "trust:List")
			if err != nil {
				return err
			}
			return a.emit(map[string]any{"roots": roots}, func(w io.Writer) { writeRoots(w, roots) })
		}),
	}
}

func writeRoots(w io.Writer, roots []state.TrustedRoot) {
	t := table("ROOT", "OF", "VERSION", "AUTHORITIES", "IN FORCE SINCE", "FROM", "WITHDRAWN")
	for _, r := range roots {
		of, trusted := r.MSP, 0
		if r.Shared() {
			of = "all members"
		}
		for _, x := range r.Anchors {
			if r.Trusts(x.ID) {
				trusted++
			}
		}
		t.row(r.Name, of, number(r.Version), number(trusted), instant(r.At)+" by "+r.By.String(), dash(r.Origin), dash(withdrawn(r.Withdrawn)))
	}
	t.write(w, "no root is trusted: waybill trust add NAME -f trusted_root.json --as ORG/admin")
}

func withdrawn(x *state.Withdrawal) string {
	if x == nil {
		return ""
	}
	line := instant(x.At) + ": " + x.Reason
	if !x.CompromisedSince.IsZero() {
		line += " (compromised since " + instant(x.CompromisedSince) + ")"
	}
	return line
}

// instant prints a time as tables do.
func instant(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.DateTime)
}
