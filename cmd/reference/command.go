package reference

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// NewCmd makes the hidden command that writes the reference of a program.
// newRoot makes its commands as a user who has set nothing sees them.
func NewCmd(program string, newRoot func() *cobra.Command) *cobra.Command {
	var markdown, man string
	cmd := &cobra.Command{
		Use: "docs --markdown DIR | --man DIR", Short: "Write the reference of all commands", Hidden: true, Args: cobra.NoArgs,
		Example: "  " + program + " docs --man /usr/share/man/man1\n  " + program + " docs --markdown docs/cli",
		Long: `Write the reference of all commands, from the same texts as their help: as man
pages for a package, or as Markdown pages. Man pages are dated by
SOURCE_DATE_EPOCH where it is set; Markdown pages of commands that are no more
are removed.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if markdown == "" && man == "" {
				return errors.New("want --markdown DIR or --man DIR")
			}
			if man != "" {
				pages, err := Man(newRoot())
				if err != nil {
					return err
				}
				if err := write(cmd, man, pages); err != nil {
					return err
				}
			}
			if markdown == "" {
				return nil
			}
			pages, err := Markdown(newRoot())
			if err != nil {
				return err
			}
			if err := removeOthers(filepath.Join(markdown, program+"_*.md"), pages); err != nil {
				return err
			}
			return write(cmd, markdown, pages)
		},
	}
	cmd.Flags().StringVar(&man, "man", "", "write man pages into this `folder`")
	cmd.Flags().StringVar(&markdown, "markdown", "", "write Markdown pages into this `folder`")
	return cmd
}

func write(cmd *cobra.Command, dir string, pages map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, page := range pages {
		if err := os.WriteFile(filepath.Join(dir, name), page, 0o644); err != nil { // a manual is for everybody
			return err
		}
	}
	fmt.Fprintf(cmd.OutOrStdout(), "wrote %d pages to %s\n", len(pages), dir)
	return nil
}

// removeOthers removes what matches pattern and is none of pages.
func removeOthers(pattern string, pages map[string][]byte) error {
	there, err := filepath.Glob(pattern)
	if err != nil {
		return err
	}
	for _, path := range there {
		if pages[filepath.Base(path)] == nil {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	return nil
}
