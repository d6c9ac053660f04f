package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// clockView is the ledger's clock beside this machine's.
type clockView struct {
	At time.Time `json:"at"`
	// Ticks counts how often it was moved.
	Ticks uint64 `json:"ticks"`
	// AgeSeconds is how far it is behind this machine's clock; negative where it is ahead.
	AgeSeconds int64 `json:"ageSeconds"`
}

func newClockCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "clock", Short: "Show how old the ledger's clock is", Args: operands(),
		Example: examples(`waybill clock --as vendor/auditor`),
		Long: `Show the ledger's own clock as your organisation's peer has it, and how far it
is behind this machine's. Gateways move it on about once a minute. Rules that
depend on time (soak, freeze, age, grace, expiry) go by it, and are unmet while
it is more than two minutes off. Then the exit code is 14: see whether a gateway
runs.`,
		RunE: a.withTimeout(func(ctx context.Context, _ []string) error {
			p, err := a.readerPeer()
			if err != nil {
				return err
			}
			defer p.close()
			c, err := evaluate[state.Clock](ctx, p, "clock:Get")
			if err != nil {
				return err
			}
			if c.At.IsZero() {
				return hint(provenance.Errorf(provenance.Unavailable, "the ledger's clock never moved"), "a gateway moves it: see waybill status")
			}
			age := time.Since(c.At).Round(time.Second)
			view := clockView{At: c.At.UTC(), Ticks: c.Seq, AgeSeconds: int64(age / time.Second)}
			if err := a.emit(view, func(w io.Writer) { writeClock(w, view, age) }); err != nil {
				return err
			}
			if age.Abs() > policy.ClockGrace {
				return hint(provenance.Errorf(provenance.Unavailable, "the ledger's clock is %s off", age), "gateways move it: see waybill status; this machine's clock may be wrong, too")
			}
			return nil
		}),
	}
}

func writeClock(w io.Writer, v clockView, age time.Duration) {
	t := table()
	t.row("ledger's clock", v.At.Format(time.DateTime))
	t.row("moved", number(v.Ticks)+" times")
	if age < 0 {
		t.row("ahead of this machine's", fmt.Sprint(-age))
	} else {
		t.row("behind this machine's", fmt.Sprint(age))
	}
	t.write(w, "")
}
