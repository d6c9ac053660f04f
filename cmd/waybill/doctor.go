package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/gateway/api"
	"github.com/waybill-dev/waybill/network/doctor"
	"github.com/waybill-dev/waybill/network/org"
)

func newDoctorCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Examine an organisation's host, and say what to do", Args: operands(),
		Example: examples(`waybill doctor`, `waybill doctor -o json`),
		Long: `Examine one organisation's host and what it sees of the channel: its nodes, disk
and certificates; whether every member's peer and orderer is reached from here;
this host's clock against every peer's; chaincode, versions, heights, and how
far the index is behind. It asks as the gateway's identity, and as the admin
where no passphrase has to be typed. Nothing is changed. The exit code is 1 when
something fails, and 0 when there are warnings only.`,
		RunE: a.withoutTimeout(func(ctx context.Context, _ []string) error {
			f, err := a.ownOrg()
			if err != nil {
				return err
			}
			// It is run from timers as well, where nobody types a passphrase.
			locked, err := org.Encrypted(f.Client().People["admin"].Key)
			o := doctor.Options{Version: version, Gateway: askGateway(f), AsAdmin: err == nil && (!locked || a.passphraseFile != "")}
			findings := doctor.Run(ctx, f, o)
			if err := a.emit(findings, func(w io.Writer) { writeExamination(w, findings) }); err != nil {
				return err
			}
			if doctor.Worst(findings) == doctor.Failure {
				return errors.New("something does not work")
			}
			return nil
		}),
	}
}

// askGateway asks the organisation's gateway as its robot.
func askGateway(f *org.Folder) func(context.Context) (doctor.Gateway, error) {
	return func(ctx context.Context) (doctor.Gateway, error) {
		me := f.Client()
		robot := me.People["gateway"]
		c, err := api.Dial(ctx, api.ClientConfig{Address: me.GatewayAddress, CAFile: me.GatewayTLSCA, CertFile: robot.Cert, KeyFile: robot.Key})
		if err != nil {
			return doctor.Gateway{}, err
		}
		defer func() { _ = c.Close() }() // only read from
		s, err := c.GetStatus(ctx)
		return doctor.Gateway{
			Version: s.GetVersion(), Height: s.GetHeight(), PeerHeight: s.GetPeerHeight(), Stale: s.GetStale(), Waiting: s.GetWaitingReason(), Dead: s.GetQueue().GetDead(),
		}, err
	}
}

func writeExamination(w io.Writer, findings []doctor.Finding) {
	t := table("", "CHECK", "OF", "")
	for _, f := range findings {
		t.row(string(f.Level), f.Check, f.Of, f.Says)
	}
	t.write(w, "")
	for _, f := range findings {
		if f.Level != doctor.Fine && f.Todo != "" {
			fmt.Fprintf(w, "\n%s of %s: %s\n", f.Check, sanitize(f.Of), sanitize(f.Todo))
		}
	}
}
