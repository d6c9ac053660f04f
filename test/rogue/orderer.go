package rogue

import (
	"context"
	"syscall"

	"github.com/waybill-dev/waybill/test/lab"
)

// Withhold makes an organisation's orderer keep all that it is sent, and say
// nothing, until resume is called: its connections stand, and nothing comes of them.
func Withhold(ctx context.Context, l *lab.Lab, org string) (resume func() error, err error) {
	node := org + "-orderer"
	if err := l.Net.Kill(ctx, node, syscall.SIGSTOP); err != nil {
		return nil, err
	}
	return func() error { return l.Net.Kill(context.WithoutCancel(ctx), node, syscall.SIGCONT) }, nil
}
