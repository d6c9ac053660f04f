package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

func newNetworkDownCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "down", Short: "Stop every node and keep the ledger", Args: operands(),
		Example: examples(`waybill network down`),
		RunE: a.withoutTimeout(func(ctx context.Context, _ []string) error {
			n, err := a.open()
			if err != nil {
				return err
			}
			if err := n.Down(ctx); err != nil {
				return err
			}
			a.notice("stopped; the ledger is kept in %s", a.dir)
			return nil
		}),
	}
}

func newNetworkResetCmd(a *app) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "reset", Short: "Stop every node and delete the network with its keys and ledgers", Args: operands(),
		Example: examples(`waybill network reset`),
		RunE: a.withoutTimeout(func(ctx context.Context, _ []string) error {
			n, err := a.open()
			if err != nil {
				return err
			}
			if !yes {
				if err := a.confirm("this deletes every key and ledger in " + a.dir); err != nil {
					return err
				}
			}
			if err := n.Reset(ctx); err != nil {
				return err
			}
			a.notice("deleted %s", a.dir)
			return nil
		}),
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// confirm asks a person. Silence is a no.
func (a *app) confirm(what string) error {
	fmt.Fprintf(a.errOut, "%s\ntype yes to go on: ", sanitize(what))
	line, err := bufio.NewReader(a.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	if strings.TrimSpace(line) != "yes" {
		return hint(errors.New("not confirmed, nothing was deleted"), "--yes does not ask")
	}
	return nil
}
