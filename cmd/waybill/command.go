package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

// parentCmd is a command that only holds others: alone it prints its help, with a
// word it does not know it says which one was meant.
func parentCmd(use, short string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Annotations: map[string]string{parentOnly: "true"},
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return unknownCommand(cmd, args[0])
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
}

// parentOrOperands is for a command that holds others and takes operands, too:
// a word that is nearly one of its commands is not taken for an operand.
func parentOrOperands(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 && suggest(args[0], commandNames(cmd)) != "" {
			return unknownCommand(cmd, args[0])
		}
		return operands(names...)(cmd, args)
	}
}

// unknownCommand says that cmd holds no command of that name, and which was meant.
func unknownCommand(cmd *cobra.Command, typed string) error {
	err := usagef("%s has no command %q", cmd.CommandPath(), typed)
	for _, c := range cmd.Commands() {
		if near := suggest(typed, c.Aliases); near != "" {
			return hint(err, "did you mean %s?", near)
		}
	}
	return hint(err, "%s", didYouMean(typed, commandNames(cmd)))
}

// commandNames lists what can be typed after a command.
func commandNames(cmd *cobra.Command) []string {
	names := []string{}
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() || c.IsAdditionalHelpTopicCommand() {
			names = append(names, c.Name())
		}
	}
	return names
}

// flagError is err, what is wrong with a flag of cmd, unless a word beside it is
// no command of cmd: then the flag may be of the command that was meant. typed
// is the whole command line.
func flagError(cmd *cobra.Command, typed []string, err error) error {
	if !cmd.HasAvailableSubCommands() {
		return err
	}
	_, rest, findErr := cmd.Root().Find(typed)
	if findErr != nil {
		return err
	}
	flags := cmd.Flags()
	flags.ParseErrorsAllowlist.UnknownFlags = true
	_ = flags.Parse(rest) // for the words alone: err says already what is wrong
	if flags.NArg() > 0 {
		if wrong := cmd.Args(cmd, flags.Args()); wrong != nil {
			return wrong
		}
	}
	return err
}

// withTimeout makes a command's RunE: the work gets the --timeout as its deadline.
func (a *app) withTimeout(work func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		a.started = true
		ctx, cancel := context.WithTimeout(cmd.Context(), a.timeout)
		defer cancel()
		return work(ctx, args)
	}
}

// withoutTimeout makes the RunE of a command that takes the time it takes.
func (a *app) withoutTimeout(work func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		a.started = true
		return work(cmd.Context(), args)
	}
}

// requireFlags marks flags a command cannot do without.
func requireFlags(cmd *cobra.Command, flags ...string) {
	for _, f := range flags {
		_ = cmd.MarkFlagRequired(f) // fails only for a flag that is not there
	}
}

// operands says what a command takes besides flags, by the names its help uses.
func operands(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return fmt.Errorf("%s is missing", names[len(args)])
		case len(args) > len(names) && len(names) == 0:
			return fmt.Errorf("%s takes no argument, not %q", cmd.CommandPath(), args[0])
		case len(args) > len(names):
			return fmt.Errorf("%q is one argument too many", args[len(names)])
		}
		return nil
	}
}
