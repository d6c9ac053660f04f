package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
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
ReadWritePaths={{.Writes}}
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictSUIDSGID=yes
UMask=0077

[Install]
WantedBy=multi-user.target
`

var (
	unitPlain = regexp.MustCompile(`^[A-Za-z0-9/._@:+,=-]+$`)
	unitUser  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`)
)

// unitPath writes a path as systemd reads it back: a blank would part it, and % begins a specifier.
func unitPath(path string) (string, error) {
	for _, r := range path {
		if r < ' ' || r == 0x7f {
			return "", usagef("%q: systemd takes no path with a control character", path)
		}
	}
	path = strings.ReplaceAll(path, "%", "%%")
	if unitPlain.MatchString(path) {
		return path, nil
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(path) + `"`, nil
}

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
			if !unitUser.MatchString(name) {
				return usagef("user %q: want a name of letters, digits, '.', '_' and '-'", name)
			}
			if program, err = unitPath(program); err != nil {
				return err
			}
			dir, err := unitPath(f.Dir())
			if err != nil {
				return err
			}
			t, err := template.New("unit").Parse(unit)
			if err != nil {
				return fmt.Errorf("unit: %w", err)
			}
			var b bytes.Buffer
			if err := t.Execute(&b, map[string]string{
				"Name": f.Spec().Name, "User": name, "Program": strings.ReplaceAll(program, "$", "$$"), "Dir": strings.ReplaceAll(dir, "$", "$$"), "Writes": dir,
			}); err != nil {
				return fmt.Errorf("unit: %w", err)
			}
			_, err = a.out.Write(b.Bytes())
			return err
		}),
	}
	cmd.Flags().StringVar(&name, "user", "", "who runs it (default: you)")
	return cmd
}
