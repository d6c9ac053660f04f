package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

const commentedPolicy = "# who releases what\n" + policyYAML + "# the end\n"

// newShowing is a world whose gateways show one policy, its rules as text says them.
func newShowing(t *testing.T, text, source string) *world {
	t.Helper()
	w := newWorld(t)
	w.shown = &waybillv1.Policy{Name: "default", Version: 2, Active: true, Text: string(policyProposal(t, text).Body), Source: source}
	return w
}

// What was proposed comes back to the byte, comments and layout included; what is
// said about it stands elsewhere.
func TestPolicyShowGivesBackWhatWasProposed(t *testing.T) {
	for _, source := range []string{commentedPolicy, strings.TrimSuffix(commentedPolicy, "\n"), string(storedPolicy(t).Text) + "\n"} {
		w := newShowing(t, source, source)
		code, out, errOut := w.run("policy", "show", "default")
		if code != 0 || out != source || !strings.Contains(errOut, "default version 2, in force") || !strings.Contains(errOut, "comments decide nothing") {
			t.Errorf("exit %d, stderr %q, out:\n%s", code, errOut, out)
		}
	}
}

// A gateway shows a text beside rules that it does not say.
func TestPolicyTextThatIsNotItsRules(t *testing.T) {
	stricter := strings.Replace(commentedPolicy, "min: 2", "min: 9", 1)
	for name, source := range map[string]string{"other rules": stricter, "no policy": "# nothing\n", "hidden": strings.Replace(commentedPolicy, "what", "\u202ewhat", 1)} {
		for _, args := range []string{"policy show default", "policy diff default 1 2"} {
			w := newShowing(t, commentedPolicy, source)
			if code, out, errOut := w.run(strings.Fields(args)...); code == 0 || out != "" || !strings.Contains(errOut, "default") {
				t.Errorf("%s: %s: exit %d, stderr %q, out:\n%s", name, args, code, errOut, out)
			}
		}
	}
}

// A diff says which of two things changes.
func TestPolicyDiffOfComments(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policy.yaml")
	for text, want := range map[string]string{
		commentedPolicy: "nothing changes\n",
		strings.Replace(commentedPolicy, "the end", "the very end", 1): "no rule changes; comments or layout do\n",
		strings.Replace(commentedPolicy, "min: 2", "min: 3", 1):        "~ spec.stages",
		strings.ReplaceAll(commentedPolicy, "\n", "\r\n"):              "nothing changes\n",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		w := newShowing(t, commentedPolicy, commentedPolicy)
		if code, out, errOut := w.run("policy", "diff", "default", "2", "-f", file); code != 0 || !strings.Contains(out, want) {
			t.Errorf("%q: exit %d, stderr %q, out:\n%s", text, code, errOut, out)
		}
	}
}

// A vote is for rules and text: both are shown, and both must be what their hash names.
func TestVoteShowsTheText(t *testing.T) {
	w := newWorld(t)
	same := strings.Replace(string(storedPolicy(t).Text), `{"apiVersion"`, `{ "apiVersion"`, 1)
	for text, want := range map[string][]string{
		commentedPolicy: {"against version 2, in force now:\n  no rule changes\n", "  # who releases what\n  apiVersion", "  # the end\n"},
		strings.Replace(commentedPolicy, "min: 2", "min: 1", 1): {"2 -> 1", "read from this text, of which comments decide nothing:\n  # who"},
		same: {"no rule changes\n  read from this text", `  { "apiVersion"`},
	} {
		vote := policyProposal(t, text)
		w.acts = nil
		w.onTheLedger(vote, testWaiver(), breakGlass(t))
		code, _, errOut := w.run("proposal", "vote", vote.ID, "yes", "--as", "security/admin")
		if diff := cmp.Diff([]string{"security/admin: proposal:Vote " + vote.ID + " " + vote.Hash + " yes "}, w.acts); diff != "" {
			t.Errorf("exit %d, stderr %q, acts:\n%s", code, errOut, diff)
		}
		for _, part := range want {
			if !strings.Contains(errOut, part) {
				t.Errorf("want %q in\n%s", part, errOut)
			}
		}
	}
	// The hashes are right, and the text says something else than the body.
	lie := policyProposal(t, commentedPolicy)
	lie.Body = policyProposal(t, strings.Replace(commentedPolicy, "min: 2", "min: 1", 1)).Body
	lie.ID, lie.Hash = state.ProposalID(state.ChangeHash(lie.Kind, lie.Name, lie.Base, lie.Body, lie.Source), 1), state.ContentHash(lie.Body, lie.Source)
	w.acts = nil
	w.onTheLedger(lie, testWaiver(), breakGlass(t))
	if code, _, errOut := w.run("proposal", "vote", lie.ID, "yes", "--as", "security/admin"); code == 0 || len(w.acts) > 0 || !strings.Contains(errOut, "does not say") {
		t.Errorf("a text that is not its rules: exit %d, stderr %q, acts %v", code, errOut, w.acts)
	}
}
