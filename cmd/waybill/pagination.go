package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// pageFlags adds the flags of a paged list.
func pageFlags(cmd *cobra.Command, size *int32, token *string) {
	cmd.Flags().Int32Var(size, "limit", 100, "most entries to list")
	cmd.Flags().StringVar(token, "page", "", "where to continue, as the page before printed")
}

// nextPage says how to read on.
func nextPage(w io.Writer, token string) {
	if token != "" {
		fmt.Fprintf(w, "\nthere is more: --page %s\n", sanitize(token))
	}
}
