package reference

import (
	"bytes"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

func program() *cobra.Command {
	run := func(*cobra.Command, []string) {}
	root := &cobra.Command{Use: "ship", Short: "Ships"}
	root.AddGroup(&cobra.Group{ID: "sea", Title: "At sea"})
	load := &cobra.Command{Use: "load CARGO", Short: "Load", Long: "Load cargo.", Example: "  ship load tea", Run: run}
	load.AddCommand(&cobra.Command{Use: "check", Short: "Check the load", Run: run})
	root.AddCommand(
		&cobra.Command{Use: "sail", Short: "Sail", GroupID: "sea", Run: run}, &cobra.Command{Use: "anchor", Short: "Anchor", GroupID: "sea", Run: run}, load,
		&cobra.Command{Use: "flags", Short: "What flags mean", Long: "yellow\n    quarantine"},
		NewCmd("ship", program),
	)
	root.SetOut(io.Discard)
	return root
}

func TestMarkdown(t *testing.T) {
	cobra.EnableCommandSorting = false
	pages, err := Markdown(program())
	if err != nil {
		t.Fatal(err)
	}
	names := slices.Sorted(maps.Keys(pages))
	if diff := cmp.Diff([]string{"ship.md", "ship_anchor.md", "ship_flags.md", "ship_load.md", "ship_load_check.md", "ship_sail.md"}, names); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	index := "### At sea\n\n* [ship sail](ship_sail.md) - Sail\n* [ship anchor](ship_anchor.md) - Anchor\n\n### Commands\n\n* [ship load](ship_load.md) - Load\n\n### Topics\n\n* [ship flags](ship_flags.md) - What flags mean\n"
	if !strings.HasSuffix(string(pages["ship.md"]), index) {
		t.Errorf("no list by group:\n%s", pages["ship.md"])
	}
	for page, want := range map[string]string{
		"ship_load.md":  "### Examples\n\n```\n  ship load tea\n```\n",
		"ship_flags.md": "```\nyellow\n    quarantine\n```\n",
	} {
		if !strings.Contains(string(pages[page]), want) {
			t.Errorf("%s:\n%s", page, pages[page])
		}
	}
	if again, err := Markdown(program()); err != nil || !maps.EqualFunc(pages, again, bytes.Equal) {
		t.Errorf("another time other pages, %v", err)
	}
}

func TestCommand(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "86400")
	dir := t.TempDir()
	for _, name := range []string{"ship_gone.md", "ship-gone.1", "shipyard_sail.md", "README.md"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	root := program()
	root.SetArgs([]string{"docs", "--markdown", dir, "--man", dir})
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	for name, there := range map[string]bool{"ship_gone.md": false, "ship-gone.1": true, "shipyard_sail.md": true, "README.md": true, "ship_sail.md": true, "ship-load-check.1": true} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != there {
			t.Errorf("%s: %v", name, err)
		}
	}
	if page, err := os.ReadFile(filepath.Join(dir, "ship-load.1")); err != nil || !strings.Contains(string(page), `"Jan 1970" "Waybill"`) {
		t.Errorf("%v:\n%s", err, page)
	}
	root = program()
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetArgs([]string{"docs"})
	if err := root.Execute(); err == nil {
		t.Error("nowhere to write to, and no error")
	}
}
