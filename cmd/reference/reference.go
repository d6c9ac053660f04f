// Package reference writes the reference of a command line, from the same texts
// as its help: Markdown pages to read and man pages to install.
package reference

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// Markdown returns a page for each command of a program, by its file's name.
// The page of the program lists the commands by group. Nothing in them changes
// with time, place or environment.
func Markdown(root *cobra.Command) (map[string][]byte, error) {
	index := commandIndex(root) // before cobra sorts the commands
	pages, err := pages(root, "_", ".md", func(cmd *cobra.Command, to *bytes.Buffer) error {
		return doc.GenMarkdownCustom(cmd, to, func(link string) string { return link })
	})
	if err != nil {
		return nil, err
	}
	name := root.Name() + ".md"
	text, _, _ := bytes.Cut(pages[name], []byte("### SEE ALSO"))
	pages[name] = append(text, index...)
	return pages, nil
}

// Man returns a page of section 1 for each command of a program, by its file's
// name. They are dated today, or by SOURCE_DATE_EPOCH.
func Man(root *cobra.Command) (map[string][]byte, error) {
	return pages(root, "-", ".1", func(cmd *cobra.Command, to *bytes.Buffer) error {
		return doc.GenMan(cmd, &doc.GenManHeader{Source: "Waybill", Manual: "Waybill Manual"}, to)
	})
}

// pages calls write for every command and topic that the help shows.
func pages(root *cobra.Command, separator, suffix string, write func(*cobra.Command, *bytes.Buffer) error) (map[string][]byte, error) {
	out := map[string][]byte{}
	var visit func(cmd *cobra.Command) error
	visit = func(cmd *cobra.Command) error {
		cmd.DisableAutoGenTag = true
		if cmd.IsAdditionalHelpTopicCommand() {
			cmd.Long = "```\n" + strings.TrimSpace(cmd.Long) + "\n```" // its lines are laid out by hand
		}
		var page bytes.Buffer
		if err := write(cmd, &page); err != nil {
			return fmt.Errorf("the page of %s: %w", cmd.CommandPath(), err)
		}
		out[strings.ReplaceAll(cmd.CommandPath(), " ", separator)+suffix] = page.Bytes()
		for _, c := range cmd.Commands() {
			if shown(c) {
				if err := visit(c); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return out, visit(root)
}

func shown(cmd *cobra.Command) bool {
	return cmd.IsAvailableCommand() || cmd.IsAdditionalHelpTopicCommand()
}

// commandIndex lists a program's commands by group, in the order of its help.
func commandIndex(root *cobra.Command) []byte {
	var b bytes.Buffer
	list := func(title string, belongs func(*cobra.Command) bool) {
		heading := "### " + title + "\n\n"
		for _, c := range root.Commands() {
			if belongs(c) && shown(c) {
				fmt.Fprintf(&b, "%s* [%s](%s.md) - %s\n", heading, c.CommandPath(), strings.ReplaceAll(c.CommandPath(), " ", "_"), c.Short)
				heading = ""
			}
		}
		if heading == "" {
			b.WriteString("\n")
		}
	}
	for _, g := range root.Groups() {
		list(g.Title, func(c *cobra.Command) bool { return c.GroupID == g.ID && !c.IsAdditionalHelpTopicCommand() })
	}
	list("Commands", func(c *cobra.Command) bool { return c.GroupID == "" && !c.IsAdditionalHelpTopicCommand() })
	list("Topics", (*cobra.Command).IsAdditionalHelpTopicCommand)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
