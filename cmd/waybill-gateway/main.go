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

//go:generate go run . docs --markdown ../../docs/cli

// version is set by the build.
var version = "devel"

func main() { os.Exit(Main()) }

// Main runs the program and returns its exit status: 0 well, 1 failed, or what
// the command says of itself.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := newRootCmd().ExecuteContext(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "waybill-gateway:", err)
	}
	return exitOf(err)
}

// exitOf is the exit status of a command that ended with err.
func exitOf(err error) int {
	exit := exitError{code: 1}
	if err == nil {
		return 0
	}
	errors.As(err, &exit) // else it stays as it is
	return exit.code
}
