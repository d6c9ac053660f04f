// Waybill is the command-line client: it runs a local network, signs transactions with
// a person's own key and prints where each stands, and asks the own peer or a gateway
// what the ledger says.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

//go:generate go run . docs --markdown ../../docs/cli

// version is set by the build.
var version = "devel"

func main() { os.Exit(Main()) }

// Main runs the program on the process's own streams and returns its exit
// code. Test scripts register it under the name "waybill".
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx, newApp(os.Args[0], os.Stdin, os.Stdout, os.Stderr, os.Getenv), os.Args[1:])
}
