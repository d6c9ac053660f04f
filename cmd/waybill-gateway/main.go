// Command waybill-gateway bridges one organisation's registries and the ledger.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the build.
var version = "devel"

func main() { os.Exit(Main()) }

// Main runs the program and returns its exit status: 0 well, 1 failed, or what
// the command says of itself.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newRootCmd().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "waybill-gateway:", err)
		if exit := (exitError{}); errors.As(err, &exit) {
			return exit.code
		}
		return 1
	}
	return 0
}
