package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/cmd/reference/referencetest"
)

func TestEveryCommandIsExplained(t *testing.T) {
	n := 0
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		n++
		if cmd.Short == "" || cmd.Runnable() && !strings.HasPrefix(cmd.Example, "  "+cmd.CommandPath()) {
			t.Errorf("%s: short %q, example %q", cmd.CommandPath(), cmd.Short, cmd.Example)
		}
		var help bytes.Buffer
		cmd.SetOut(&help)
		if err := cmd.Help(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(help.String()) {
			if len(line) > 81 && !strings.HasPrefix(cmd.CommandPath(), "waybill-gateway completion") {
				t.Errorf("%s: more than 80 columns: %s", cmd.CommandPath(), line)
			}
		}
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() {
				visit(c)
			}
		}
	}
	visit(newRootCmd())
	if n < 10 {
		t.Errorf("only %d commands were looked at", n)
	}
}

func TestUnknownCommandBeatsUnknownFlag(t *testing.T) {
	root := newRootCmd()
	root.SetArgs([]string{"rum", "--confg", "gateway.yaml"})
	if err := root.Execute(); err == nil || !strings.Contains(err.Error(), `unknown command "rum"`) || !strings.Contains(err.Error(), "run") {
		t.Errorf("%v", err)
	}
}

func TestReferenceIsFresh(t *testing.T) { referencetest.Fresh(t, "../../docs/cli", newRootCmd()) }
