package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/network/org"
)

func newChaincodeCmd(a *app) *cobra.Command {
	cmd := parentCmd("chaincode", "The contract's version, which a majority approves")
	cmd.Example = examples(`waybill chaincode status`, `waybill chaincode approve`, `waybill chaincode commit`)
	cmd.Long = `What the organisations of a channel agree on about the contract: its version and
its package. The package is the same, byte for byte, whoever builds it: compare
the ids. These commands act as your organisation's admin, in its folder (--dir).`
	cmd.AddCommand(newChaincodeStatusCmd(a), newChaincodeApproveCmd(a), newChaincodeCommitCmd(a), newChaincodeUpgradeCmd(a))
	return cmd
}

// chaincodeCmd makes the RunE of a command that ends with what stands now.
func (a *app) chaincodeCmd(do func(ctx context.Context, f *org.Folder) error) func(*cobra.Command, []string) error {
	return a.withTimeout(func(ctx context.Context, _ []string) error {
		f, err := a.ownOrg()
		if err != nil {
			return err
		}
		if err := do(ctx, f); err != nil {
			return chaincodeError(err)
		}
		s, err := f.ChaincodeStatus(ctx)
		if err != nil {
			return chaincodeError(err)
		}
		return a.emit(s, func(w io.Writer) { writeChaincode(w, s) })
	})
}

func chaincodeError(err error) error {
	switch {
	case errors.Is(err, org.ErrPassphrase):
		return wrongPassphrase(err)
	case errors.Is(err, org.ErrNoMajority):
		return hint(provenance.Wrap(provenance.Conflict, err, "commit"), "each of them looks at the package id and approves: waybill chaincode approve")
	}
	return orgHint(err)
}

func newChaincodeStatusCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show what is in force, what you propose, and who approved it", Args: operands(),
		Example: examples(`waybill chaincode status`),
		RunE:    a.chaincodeCmd(func(context.Context, *org.Folder) error { return nil }),
	}
}

func newChaincodeApproveCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "approve", Short: "Approve the version that your folder has, as your organisation", Args: operands(),
		Example: examples(`waybill chaincode approve`),
		Long:    "Approve the version of the contract that your folder has. An organisation that\ncomes late approves what is in force already, and endorses from then on.",
		RunE: a.chaincodeCmd(func(ctx context.Context, f *org.Folder) error {
			if err := f.Approve(ctx); err != nil {
				return err
			}
			return f.Settle(ctx)
		}),
	}
}

// endsBefore leaves a part of the time for what comes after.
func endsBefore(ctx context.Context) (context.Context, context.CancelFunc) {
	if end, ok := ctx.Deadline(); ok {
		return context.WithDeadline(ctx, end.Add(-time.Until(end)/4))
	}
	return context.WithCancel(ctx)
}

func newChaincodeCommitCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "commit", Short: "Put in force what a majority of the organisations approved", Args: operands(),
		Example: examples(`waybill chaincode commit`),
		Long:    "Put in force what a majority of the organisations approved. One of them does it;\ndoing it again changes nothing.",
		RunE: a.chaincodeCmd(func(ctx context.Context, f *org.Folder) error {
			if err := f.Commit(ctx); err != nil {
				return err
			}
			if err := f.Settle(ctx); err != nil {
				return err
			}
			// The next act would fail meanwhile; whoever is late is no reason not to have committed.
			bounded, cancel := endsBefore(ctx)
			defer cancel()
			if err := f.Decides(bounded); err != nil {
				a.notice("it is in force, but too few organisations endorse it yet: %v", err)
			}
			return nil
		}),
	}
}

func newChaincodeUpgradeCmd(a *app) *cobra.Command {
	var version, program string
	cmd := &cobra.Command{
		Use: "upgrade --version VERSION --program FILE", Short: "Run another version of the contract beside the one in force", Args: operands(),
		DisableFlagsInUseLine: true,
		Example:               examples(`waybill chaincode upgrade --version 2 \`, `    --program /opt/waybill-2/waybill-chaincode`),
		Long: `Start another version of the contract beside the one in force, install its
package on your peer, and approve it. Nothing changes before it is committed;
then the former is stopped: by commit or approve, by waybill org up, or by the
supervisor. Each organisation does this when it can. Those that have not do not
endorse from the commit on until they have; the others go on as long as they are
a majority.`,
		RunE: a.chaincodeCmd(func(ctx context.Context, f *org.Folder) error {
			return f.Upgrade(ctx, version, program)
		}),
	}
	cmd.Flags().StringVar(&version, "version", "", "the version, as all organisations name it")
	cmd.Flags().StringVar(&program, "program", "", "the contract's program of that version, a `file`")
	requireFlags(cmd, "version", "program")
	return cmd
}

func writeChaincode(w io.Writer, s org.ChaincodeStatus) {
	t := table()
	inForce := "nothing yet"
	if s.Committed != nil {
		inForce = fmt.Sprintf("version %s, sequence %d", s.Committed.Version, s.Committed.Sequence)
	}
	t.row("in force", inForce)
	t.row("here", fmt.Sprintf("version %s, sequence %d", s.Proposed.Version, s.Proposed.Sequence))
	t.row("package", s.Proposed.PackageID)
	approved := "no"
	if s.Approved {
		approved = "yes"
	}
	t.row("approved by you", approved)
	t.write(w, "")
	if len(s.Approvals) == 0 {
		return
	}
	blank(w)
	all := table("ORGANISATION", "APPROVED")
	for _, mspID := range sortedKeys(s.Approvals) {
		yes := "no"
		if s.Approvals[mspID] {
			yes = "yes"
		}
		all.row(mspID, yes)
	}
	all.write(w, "")
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
