package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func passphraseFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "passphrase-file", "", "a `file` with the passphrase of an encrypted key; without it, the terminal is asked")
}

// passphrase asks for the passphrase of a person's key: a file where one is named, else the terminal.
func (a *app) passphrase(file string) func(person string) ([]byte, error) {
	return func(person string) ([]byte, error) {
		if file != "" {
			raw, err := os.ReadFile(file)
			return bytes.TrimRight(raw, "\r\n"), err
		}
		in, ok := a.in.(*os.File)
		if !ok || !term.IsTerminal(int(in.Fd())) {
			return nil, hint(fmt.Errorf("the key of %s is encrypted, and there is no terminal to ask for its passphrase", person), "name a file with --passphrase-file")
		}
		fmt.Fprintf(a.errOut, "passphrase of %s: ", sanitize(person))
		word, err := term.ReadPassword(int(in.Fd()))
		fmt.Fprintln(a.errOut)
		return word, err
	}
}
