package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/cmd/reference/referencetest"
)

// everyCommand calls check for each command that the help shows.
func everyCommand(cmd *cobra.Command, check func(*cobra.Command)) {
	check(cmd)
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() || c.IsAdditionalHelpTopicCommand() || c.Name() == "help" {
			everyCommand(c, check)
		}
	}
}

func TestEveryCommandIsExplained(t *testing.T) {
	root, n := newPlainRootCmd(), 0
	everyCommand(root, func(cmd *cobra.Command) {
		n++
		if cmd.Short == "" {
			t.Errorf("%s: no Short", cmd.CommandPath())
		}
		if cmd.Parent() == root && !cmd.IsAdditionalHelpTopicCommand() && !root.ContainsGroup(cmd.GroupID) {
			t.Errorf("%s: in no group", cmd.CommandPath())
		}
		if cmd.Runnable() && cmd.Example == "" {
			t.Errorf("%s: no Example", cmd.CommandPath())
		}
	})
	if n < 80 {
		t.Errorf("only %d commands were looked at", n)
	}
}

// An example is a command line that this program understands.
func TestExamplesCanBePasted(t *testing.T) {
	everyCommand(newPlainRootCmd(), func(of *cobra.Command) {
		for _, line := range strings.Split(strings.ReplaceAll(of.Example, "\\\n", " "), "\n") {
			mine := false
			for _, words := range shellWords(line) {
				if len(words) == 0 || words[0] != "waybill" {
					continue
				}
				mine = true
				root := newPlainRootCmd()
				cmd, rest, err := root.Find(words[1:])
				if err == nil {
					err = cmd.ParseFlags(rest)
				}
				if err == nil {
					err = cmd.ValidateArgs(cmd.Flags().Args())
				}
				if err == nil {
					err = cmd.ValidateRequiredFlags()
				}
				if err != nil {
					t.Errorf("%s: %q: %v", of.CommandPath(), line, err)
				}
			}
			if of.Runnable() && !mine {
				t.Errorf("%s: %q is no example of waybill", of.CommandPath(), line)
			}
		}
	})
}

// shellWords splits a line of an example into the words of its commands.
func shellWords(line string) [][]string {
	commands, word, quoted := [][]string{nil}, "", false
	end := func() {
		if last := len(commands) - 1; word != "" {
			commands[last], word = append(commands[last], word), ""
		}
	}
	for _, r := range line + "\n" {
		switch {
		case r == '"':
			quoted = !quoted
		case quoted:
			word += string(r)
		case r == '#' || r == '>': // a comment, or where the output goes
			end()
			return commands
		case r == '|':
			end()
			commands = append(commands, nil)
		case r == ' ' || r == '\n':
			end()
		default:
			word += string(r)
		}
	}
	return commands
}

func TestHelpFitsATerminal(t *testing.T) {
	everyCommand(newPlainRootCmd(), func(cmd *cobra.Command) {
		if strings.HasPrefix(cmd.CommandPath(), "waybill completion ") {
			return // cobra's own text
		}
		var help bytes.Buffer
		cmd.Root().SetOut(&help)
		if err := cmd.Help(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(help.String()) {
			width := utf8.RuneCountInString(strings.TrimRight(strings.ReplaceAll(line, "\t", "        "), "\n"))
			if width > 80 && !strings.Contains(line, cmd.UseLine()) {
				t.Errorf("%s: %d columns: %s", cmd.CommandPath(), width, line)
			}
		}
	})
}

func TestHelpIsInTheOrderOfWork(t *testing.T) {
	code, out, _ := newWorld(t).run("--help")
	if code != 0 {
		t.Fatalf("exit %d", code)
	}
	at := 0
	for _, want := range []string{
		"\nAsk: ", "\n  verify ", "\n  status ", "\nDecide: ", "\n  promote ", "\n  approve ", "\n  release ", "\n  rollback ", "\nEvidence: ", "\n  attest ",
		"\nGovern: ", "\n  policy ", "\nOperate: ", "\n  network ", "\n  completion ", "\n  help ", "\nFlags:",
	} {
		next := strings.Index(out[at:], want)
		if next < 0 {
			t.Fatalf("%q is not there, or not after what it should be after:\n%s", want, out)
		}
		at += next
	}
	if strings.Contains(out, "Additional Commands") || strings.Contains(out, "waybill [flags]") {
		t.Errorf("help:\n%s", out)
	}
}

func TestUnknownCommandBeatsUnknownFlag(t *testing.T) {
	w := newWorld(t)
	for args, want := range map[string]string{
		"aprove " + digestA + " --to x":                 "waybill: waybill has no command \"aprove\"\nhint: did you mean approve?\n",
		"--to x aprove " + digestA:                      "waybill: waybill has no command \"aprove\"\nhint: did you mean approve?\n",
		"aprove -x --as vendor/admin":                   "waybill: waybill has no command \"aprove\"\nhint: did you mean approve?\n",
		"policy aply --x":                               "waybill: waybill policy has no command \"aply\"\nhint: did you mean apply?\n",
		"policy shwo default --version 2":               "waybill: waybill policy has no command \"shwo\"\nhint: did you mean show?\n",
		"evidence witdraw " + imageA + " scan 1 --why":  "waybill: waybill evidence has no command \"witdraw\"\nhint: did you mean withdraw?\n",
		"evidence witdraw " + imageA + " scan 12345678": "waybill: waybill evidence has no command \"witdraw\"\nhint: did you mean withdraw?\n",
		"help aprove":                                   "waybill: waybill has no command \"aprove\"\nhint: did you mean approve?\n",
		"help policy shwo":                              "waybill: waybill policy has no command \"shwo\"\nhint: did you mean show?\n",
		"--bogus":                                       "waybill: unknown flag: --bogus\nhint: see waybill --help\n",
		"policy --bogus":                                "waybill: unknown flag: --bogus\nhint: see waybill policy --help\n",
		"evidence x/y:1 --bogus":                        "waybill: unknown flag: --bogus\nhint: see waybill evidence --help\n",
		"approve x/y:1 --bogus":                         "waybill: unknown flag: --bogus\nhint: see waybill approve --help\n",
	} {
		code, out, errOut := w.run(strings.Fields(args)...)
		if code != exitUsage || out != "" || errOut != want {
			t.Errorf("%s: exit %d, out %q, stderr %q", args, code, out, errOut)
		}
	}
}

func TestHelpOfACommand(t *testing.T) {
	w := newWorld(t)
	_, want, _ := w.run("policy", "propose", "--help")
	code, out, errOut := w.run("help", "policy", "propose")
	if code != 0 || out != want || errOut != "" || !strings.Contains(out, "Examples:\n  waybill policy propose -f policy.yaml") {
		t.Errorf("exit %d, stderr %q, out:\n%s", code, errOut, out)
	}
}

func TestCompletion(t *testing.T) {
	w := newWorld(t)
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if code, out, errOut := w.run("completion", shell); code != 0 || !strings.Contains(out, "waybill") || errOut != "" {
			t.Errorf("%s: exit %d, %d bytes, stderr %q", shell, code, len(out), errOut)
		}
	}
	code, out, _ := w.run("__complete", "r")
	names := []string{}
	for line := range strings.Lines(out) {
		name, _, _ := strings.Cut(line, "\t")
		names = append(names, name)
	}
	for _, want := range []string{"release", "rollback", "registry"} {
		if code != 0 || !slices.Contains(names, want) {
			t.Errorf("%s is not completed: exit %d, %s", want, code, out)
		}
	}
}

func TestReferenceIsFresh(t *testing.T) { referencetest.Fresh(t, "../../docs/cli", newPlainRootCmd()) }
