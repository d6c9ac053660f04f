// Command waybill-gateway bridges one organisation's registries and the ledger.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the build.
var version = "devel"

func main() { os.Exit(Main()) }

// Main runs the program and returns its exit status: 0 well, 1 failed, 2 usage.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newRootCmd().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "waybill-gateway:", err)
		return 1
	}
	return 0
}
