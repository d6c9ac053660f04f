package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// helpWidth is how wide the help is, in columns.
const helpWidth = "80"

// parentOnly annotates a command that does nothing but hold others.
const parentOnly = "parentOnly"

// commandGroup is a part of the help: what one wants to do, and the commands
// for it in the order of work.
type commandGroup struct {
	id, title string
	commands  []*cobra.Command
}

func commandGroups(a *app) []commandGroup {
	return []commandGroup{
		{"ask", "Ask: what the ledger says", []*cobra.Command{
			newVerifyCmd(a), newExplainCmd(a), newReceiptCmd(a), newProofCmd(a), newStatusCmd(a), newHistoryCmd(a), newSearchCmd(a), newDiffCmd(a), newLogCmd(a), newPullsCmd(a), newPromotionsCmd(a), newInboxCmd(a),
		}},
		{"decide", "Decide: what may run where", []*cobra.Command{
			newPromoteCmd(a), newApproveCmd(a), newRejectCmd(a), newWithdrawCmd(a), newCancelCmd(a),
			newReleaseCmd(a), newRollbackCmd(a), newResumeCmd(a), newBreakGlassCmd(a), newReviewCmd(a), newWaiverCmd(a),
			newQuarantineCmd(a), newUnquarantineCmd(a),
		}},
		{"evidence", "Evidence: what is known about an image, and who vouches for it", []*cobra.Command{
			newAttestCmd(a), newEvidenceCmd(a), newTreeCmd(a), newKeyCmd(a), newTrustCmd(a), newSchemaCmd(a),
		}},
		{"govern", "Govern: the rules, the members and their votes", []*cobra.Command{
			newPolicyCmd(a), newProposalCmd(a), newMemberCmd(a), newChannelCmd(a), newRegistryCmd(a), newLabelCmd(a), newContextCmd(a),
		}},
		{"operate", "Operate: networks, gateways and this program", []*cobra.Command{
			newOrgCmd(a), newChaincodeCmd(a), newCertCmd(a), newDoctorCmd(a), newNetworkCmd(a), newQueueCmd(a), newSweepCmd(a), newConnectorCmd(a), newClockCmd(a), newVersionCmd(a),
		}},
	}
}

// addGroups gives the root its commands and the help its shape.
func addGroups(root *cobra.Command, a *app) {
	cobra.EnableCommandSorting = false // approve stands after promote, and rollback beside release
	for _, g := range commandGroups(a) {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, c := range g.commands {
			c.GroupID = g.id
		}
		root.AddCommand(g.commands...)
	}
	root.SetUsageTemplate(usageTemplate(root.UsageTemplate()))
	root.SetHelpCommand(newHelpCmd())
	root.SetHelpCommandGroupID("operate")
	root.SetCompletionCommandGroupID("operate")
	root.InitDefaultCompletionCmd()
	addCompletionExamples(root)
}

// usageTemplate is cobra's, with flags wrapped to the width of the help, and
// without the usage line "[flags]" of a command that only holds others.
func usageTemplate(standard string) string {
	return strings.NewReplacer(
		".FlagUsages ", ".FlagUsagesWrapped "+helpWidth+" ",
		"{{if .Runnable}}\n  {{.UseLine}}", `{{if and .Runnable (not (index .Annotations "`+parentOnly+`"))}}`+"\n  {{.UseLine}}",
		`Use "{{.CommandPath}} [command] --help" for more information about a command.`, "More about a command: {{.CommandPath}} [command] --help",
	).Replace(standard)
}

// newHelpCmd is cobra's help command, but a command that is not there is an error.
func newHelpCmd() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND...]", Short: "Print the help of a command",
		Example: examples("waybill help policy propose", "waybill help output"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			of, _, err := cmd.Root().Find(args)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return commandNames(of), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			of, rest, err := cmd.Root().Find(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				return unknownCommand(of, rest[0])
			}
			of.InitDefaultHelpFlag()
			return of.Help()
		},
	}
}

// addCompletionExamples gives cobra's completion commands what all of ours have.
func addCompletionExamples(root *cobra.Command) {
	completion, _, err := root.Find([]string{"completion"})
	if err != nil {
		return
	}
	completion.Short = "Print the completion script of a shell"
	for shell, example := range map[string]string{
		"bash":       "waybill completion bash > /etc/bash_completion.d/waybill",
		"zsh":        `waybill completion zsh > "${fpath[1]}/_waybill"`,
		"fish":       "waybill completion fish > ~/.config/fish/completions/waybill.fish",
		"powershell": "waybill completion powershell | Out-String | Invoke-Expression",
	} {
		if c, _, err := completion.Find([]string{shell}); err == nil {
			c.Example = examples(example)
		}
	}
}

// examples are lines of the help that can be pasted.
func examples(lines ...string) string { return "  " + strings.Join(lines, "\n  ") }
