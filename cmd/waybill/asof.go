package main

import "github.com/spf13/cobra"

// asOfHelp says what --at means.
const asOfHelp = `With --at HEIGHT the answer is as of that many blocks, judged by the ledger's
own clock as it stood then; with --at TIME (RFC 3339, or a day) as of that
moment. A gateway answers, from what the ledger said then; pulls are not counted
as of then.`

// atFlag adds --at.
func (a *app) atFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.at, "at", "", "as of this `HEIGHT or TIME` instead of now")
}
