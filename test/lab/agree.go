package lab

import (
	"context"
	"fmt"
	"time"
)

// majority are organisations whose admins agree on what a test begins with.
func majority() []string { return []string{"vendor", "security", "platform"} }

// AddRegistry has a majority of the organisations agree that one of them owns a registry.
func (l *Lab) AddRegistry(ctx context.Context, host, kind, owner string) error {
	o, err := l.Clients.Org(owner)
	if err != nil {
		return err
	}
	for _, org := range majority() {
		// A voter whose peer is behind the others is refused; the same vote again changes nothing.
		err := Poll(ctx, 20*time.Second, func() error {
			if out, code := l.Waybill(ctx, "registry", "add", host, "--kind", kind, "--owner", o.MSPID, "--as", org+"/admin"); code != 0 {
				return fmt.Errorf("registry add %s as %s: exit %d: %s", host, org, code, out)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return l.Settle(ctx)
}
