package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/network/channel"
	"github.com/waybill-dev/waybill/network/org"
	"github.com/waybill-dev/waybill/network/provision"
)

func newOrgCmd(a *app) *cobra.Command {
	cmd := parentCmd("org", "Your organisation on this host: its keys and nodes")
	cmd.Example = examples(
		`waybill org init vendor --msp VendorMSP \`,
		`    --host peer=10.0.0.1:7051,orderer=10.0.0.1:7050,gateway=10.0.0.1:7443`,
		`waybill org export -o vendor.json`,
		`waybill org join genesis.block`,
		`waybill org up`,
	)
	cmd.Long = `Run one organisation of a network on this host, in the folder that --dir names.
Its keys are made there and never leave it; what the others need to know is in
the descriptor that waybill org export writes. --timeout does not apply.`
	cmd.AddCommand(
		newOrgInitCmd(a), newOrgAnnounceCmd(a), newOrgImportCmd(a), newOrgProtectCmd(a), newOrgExportCmd(a), newOrgInspectCmd(a), newOrgJoinCmd(a),
		newOrgUpCmd(a), newOrgDownCmd(a), newOrgRestartCmd(a), newOrgStatusCmd(a), newOrgLogsCmd(a), newOrgServiceCmd(a), newOrgClusterCmd(a),
		newOrgBackupCmd(a), newOrgRestoreCmd(a), newOrgResyncCmd(a), newOrgSnapshotCmd(a), newOrgRefoundCmd(a), newOrgKeepLogsCmd(a),
	)
	return cmd
}

func (a *app) orgOptions() org.Options {
	return org.Options{
		LogKeeper: a.logKeeper(),
		Progress:  a.errOut, GatewayConfig: provision.GatewayConfig,
		Passphrase: func(name string) ([]byte, error) { return a.passphrase(name) },
	}
}

// ownOrg opens the organisation that is in the folder.
func (a *app) ownOrg() (*org.Folder, error) {
	f, err := org.Open(a.dir, a.orgOptions())
	if errors.Is(err, org.ErrNoFolder) {
		return nil, hint(fmt.Errorf("there is no organisation in %s", a.dir),
			"make one with: waybill org init; or name its folder with --dir or WAYBILL_DIR")
	}
	return f, err
}

func newOrgExportCmd(a *app) *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use: "export -o FILE", Short: "Write your organisation's descriptor, which the others get", Args: operands(),
		DisableFlagsInUseLine: true,
		Example:               examples(`waybill org export -o vendor.json`),
		Long: `Write your organisation's descriptor: its authorities, its addresses, its
orderer's certificates; all of it public, signed by your admin. Send it to the
others by any means, and tell them the fingerprint by another.`,
		RunE: a.withoutTimeout(func(_ context.Context, _ []string) error {
			f, err := a.ownOrg()
			if err != nil {
				return err
			}
			file, err := f.Export()
			if err != nil {
				return wrongPassphrase(err)
			}
			d, err := channel.Open(file)
			if err != nil {
				return err
			}
			if err := createFile(to, file); err != nil {
				return err
			}
			writeDescriptor(a.out, d)
			return nil
		}),
	}
	cmd.Flags().StringVarP(&to, "output", "o", "", "the `file` that the descriptor is written to; it must not be there")
	requireFlags(cmd, "output")
	return cmd
}

func newOrgInspectCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "inspect FILE", Short: "Show a descriptor, with the fingerprint that people compare", Args: operands("FILE"),
		Example: examples(`waybill org inspect audit.json`),
		RunE: a.withoutTimeout(func(_ context.Context, args []string) error {
			orgs, err := a.descriptors(args)
			if err != nil {
				return err
			}
			return a.emit(orgs[0], func(w io.Writer) { writeDescriptor(w, orgs[0]) })
		}),
	}
}

func writeDescriptor(w io.Writer, d channel.Descriptor) {
	t := table()
	t.row("organisation", d.Name+" ("+d.MSPID+")")
	t.row("peer", d.Peer.String())
	if d.Orderer != nil {
		t.row("orderer", d.Orderer.Endpoint().String())
	}
	t.row("gateway", d.Gateway)
	t.row("authorities", authorities(d.Roots, d.Intermediates))
	t.row("of TLS", authorities(d.TLSRoots, d.TLSIntermediates))
	t.row("revocation lists", number(len(d.RevocationLists)))
	t.row("fingerprint", d.Fingerprint())
	t.write(w, "")
}

func authorities(roots, intermediates []string) string {
	return fmt.Sprintf("%d roots, %d intermediates", len(roots), len(intermediates))
}

// addresses reads NAME=HOST:PORT,… of a flag.
func addresses(flag string, list []string, known ...string) (map[string]string, error) {
	out := map[string]string{}
	for _, one := range list {
		name, address, ok := strings.Cut(one, "=")
		if !ok || !contains(known, name) {
			return nil, hint(usagef("--%s %q: want NAME=HOST:PORT", flag, one), "the names are: %s", strings.Join(known, ", "))
		}
		if out[name] != "" {
			return nil, usagef("--%s names %s twice", flag, name)
		}
		out[name] = address
	}
	return out, nil
}
