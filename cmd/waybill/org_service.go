package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"text/template"

	"github.com/spf13/cobra"
)

// unit runs an organisation under systemd. What the sandbox takes away no node uses.
const unit = `# Waybill: the nodes of {{.Name}}. Written by waybill org service; put it into
# /etc/systemd/system/waybill-{{.Name}}.service, then: systemctl enable --now waybill-{{.Name}}
[Unit]
Description=Waybill nodes of {{.Name}}
Documentation=man:waybill-org-up(1)
Wants=network-online.target
After=network-online.target
# A node that cannot be kept alive ends the supervisor; a minute later everything is tried anew.
StartLimitIntervalSec=0

[Service]
Type=simple
User={{.User}}
ExecStart={{.Program}} org up --foreground --dir {{.Dir}}
Restart=on-failure
RestartSec=60
# The supervisor stops the gateway first and the others after it.
KillMode=mixed
TimeoutStopSec=90
LimitNOFILE=65536
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths={{.Dir}}
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictSUIDSGID=yes
UMask=0077

[Install]
WantedBy=multi-user.target
`

func newOrgServiceCmd(a *app) *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use: "service", Short: "Print a systemd unit that runs your organisation", Args: operands(),
		Example: examples(`waybill org service --user waybill > waybill-vendor.service`),
		Long: `Print a systemd unit that runs the organisation's nodes under their supervisor:
waybill org up --foreground. The user must own the folder. Nodes that run
without a supervisor are stopped first: waybill org down.`,
		RunE: a.withoutTimeout(func(_ context.Context, _ []string) error {
			f, err := a.ownOrg()
			if err != nil {
				return err
			}
			program, err := os.Executable()
			if err != nil {
				return fmt.Errorf("where this program is: %w", err)
			}
			if program, err = filepath.EvalSymlinks(program); err != nil {
				return fmt.Errorf("where this program is: %w", err)
			}
			if name == "" {
				me, err := user.Current()
				if err != nil {
					return fmt.Errorf("who runs it: %w", err)
				}
				name = me.Username
			}
			t, err := template.New("unit").Parse(unit)
			if err != nil {
				return fmt.Errorf("unit: %w", err)
			}
			var b bytes.Buffer
			if err := t.Execute(&b, map[string]string{"Name": f.Spec().Name, "User": name, "Program": program, "Dir": f.Dir()}); err != nil {
				return fmt.Errorf("unit: %w", err)
			}
			_, err = a.out.Write(b.Bytes())
			return err
		}),
	}
	cmd.Flags().StringVar(&name, "user", "", "who runs it (default: you)")
	return cmd
}
