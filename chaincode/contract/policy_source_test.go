package contract

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// writtenPolicy is a policy as somebody writes it, with a comment.
func writtenPolicy(comment, min string) string {
	return `# ` + comment + `
apiVersion: waybill.dev/v1
kind: ReleasePolicy
metadata: {name: written}
spec:
  match: ["reg.example:5000/written/**"]
  stages:
    - name: staging
      approvals: {min: ` + min + `} # whoever they are
`
}

func canonicalOf(t *testing.T, text string) []byte {
	t.Helper()
	p, err := policy.ParseText([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p.Canonical()
}

func (l *ledger) inForce(name string) (v state.PolicyVersion) {
	l.t.Helper()
	if err := json.Unmarshal([]byte(l.do("auditor@AuditMSP", "policy:Get", name, "0")), &v); err != nil {
		l.t.Fatal(err)
	}
	return v
}

// What was proposed is kept as it was written, and what it says is read from it by
// the contract.
func TestAPolicyKeepsItsText(t *testing.T) {
	l, text := network(t), writtenPolicy("two people look at it", "2")
	v := l.open("VendorMSP", "policy", text)
	if p := v.Proposal; p.Source != text || string(p.Body) != string(canonicalOf(t, text)) || p.Hash != state.ContentHash(p.Body, p.Source) {
		t.Errorf("proposed: %+v", p)
	}
	l.proposal("AuditMSP", "proposal:Vote", v.Proposal.ID, l.hash(v.Proposal.ID), "yes", "")
	l.open("SecurityMSP", "policy", text) // whoever proposes the same text says yes to it
	got, sum := l.inForce("written"), sha256.Sum256(canonicalOf(t, text))
	if got.Source != text || string(got.Text) != string(canonicalOf(t, text)) || got.Version != 1 || got.Hash != hex.EncodeToString(sum[:]) {
		t.Errorf("in force: %+v", got)
	}
	// The canonical form says everything: no text is kept beside it.
	l.agree("policy", string(canonicalOf(t, writtenPolicy("", "3"))), orgs()[:3]...)
	if got := l.inForce("written"); got.Source != "" || got.Version != 2 {
		t.Errorf("in force: %+v", got)
	}
}

// A comment is voted on like a rule: to change it is a change of its own.
func TestACommentIsVotedOn(t *testing.T) {
	l := network(t)
	honest, lying := writtenPolicy("two people look at it", "2"), writtenPolicy("ten people look at it", "2")
	first, second := l.open("VendorMSP", "policy", honest), l.open("PlatformMSP", "policy", lying)
	if first.Proposal.ID == second.Proposal.ID || first.Proposal.Hash == second.Proposal.Hash || string(first.Proposal.Body) != string(second.Proposal.Body) {
		t.Errorf("%+v and %+v", first.Proposal, second.Proposal)
	}
	// A vote names the whole: neither the other text's hash nor that of the rules alone will do.
	sum := sha256.Sum256(first.Proposal.Body)
	for _, hash := range []string{second.Proposal.Hash, hex.EncodeToString(sum[:]), state.ContentHash(first.Proposal.Body, "")} {
		l.refused(provenance.Stale, "admin@AuditMSP", "proposal:Vote", first.Proposal.ID, hash, "yes", "")
	}
	l.agree("policy", honest, "VendorMSP", "AuditMSP", "SecurityMSP")
	if got := l.inForce("written"); got.Source != honest {
		t.Errorf("in force: %q", got.Source)
	}
	l.refused(provenance.Stale, "admin@AuditMSP", "proposal:Vote", second.Proposal.ID, second.Proposal.Hash, "yes", "")
	// Proposed again it is a change of the comment alone, from version 1 to 2.
	if v := l.agree("policy", lying, "VendorMSP", "AuditMSP", "SecurityMSP"); v.Proposal.Version != 2 {
		t.Errorf("%+v", v.Proposal)
	}
	if out, writes, err := l.invoke("admin@PlatformMSP", nil, "proposal:Open", "policy", lying); err != nil || len(writes) != 0 {
		t.Errorf("what is in force already: %d writes, %s, %v", len(writes), out, err)
	}
}

// The text is what people read: what they would read otherwise is refused.
func TestATextThatHidesSomething(t *testing.T) {
	l, text := network(t), writtenPolicy("two people look at it", "2")
	for name, bad := range map[string]string{
		"a line that only a terminal shows":  strings.Replace(text, "at it", "at it\r", 1),
		"a line that only a parser sees":     strings.Replace(text, "whoever they are", "whoever\u2028      grace: 9d", 1),
		"a next line":                        strings.Replace(text, "whoever they are", "whoever\u0085      grace: 9d", 1),
		"a turned comment":                   strings.Replace(text, "whoever", "\u202ewhoever", 1),
		"an escape sequence":                 strings.Replace(text, "whoever", "\x1b[1A", 1),
		"two policies":                       text + "---\n" + writtenPolicy("", "1"),
		"a doubled field":                    text + "kind: ReleasePolicy\n",
		"longer than may be":                 text + strings.Repeat("# more\n", policy.MaxBytes/7),
		"a word that means something else":   strings.Replace(text, "{min: 2}", "{min: 2, robots: no}", 1),
		"a number that means something else": strings.Replace(text, "{min: 2}", "{min: 010}", 1),
	} {
		if bad == text {
			t.Fatalf("%s: nothing is replaced", name)
		}
		l.refused(provenance.Invalid, "admin@VendorMSP", "proposal:Open", "policy", bad)
	}
	// Other changes keep no text: what is written otherwise is the same change.
	first := l.open("VendorMSP", "majority", `{"majority":3}`)
	if again := l.open("AuditMSP", "majority", ` { "majority" : 3 } `); again.Proposal.ID != first.Proposal.ID || again.Proposal.Source != "" {
		t.Errorf("%+v", again.Proposal)
	}
}

// What stands on the ledger beside a text that says something else comes into force
// by no vote.
func TestABodyThatItsTextDoesNotSay(t *testing.T) {
	l, text := network(t), writtenPolicy("two people look at it", "2")
	v := l.open("VendorMSP", "policy", text)
	id := v.Proposal.ID
	p := read[state.ProposalText](l, state.ProposalTextKey(id))
	for name, forge := range map[string]func(*state.ProposalText){
		"another body": func(p *state.ProposalText) { p.Body = canonicalOf(t, writtenPolicy("", "1")) },
		"another text": func(p *state.ProposalText) { p.Source = writtenPolicy("two people look at it", "1") },
		"no text":      func(p *state.ProposalText) { p.Source = "" },
	} {
		forged := p
		forge(&forged)
		l.state[state.ProposalTextKey(id)], _ = state.Encode(forged)
		l.refused(provenance.Internal, "admin@AuditMSP", "proposal:Vote", id, l.hash(id), "yes", "")
		if _, _, err := l.invoke("admin@AuditMSP", nil, "proposal:Open", "policy", text); err == nil {
			t.Errorf("%s: proposing the text again was a vote for it", name)
		}
	}
}
