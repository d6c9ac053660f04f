package contract

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/test/sigstore"
)

func (l *ledger) shown(msp, name, version string) RootView {
	l.t.Helper()
	var v RootView
	if err := json.Unmarshal([]byte(l.do("auditor@AuditMSP", "trust:Show", msp, name, version)), &v); err != nil {
		l.t.Fatal(err)
	}
	return v
}

// TestOwnRoots: an admin adds, changes and withdraws roots of its organisation, every
// version stays, and a name is one thing for ever.
func TestOwnRoots(t *testing.T) {
	l := network(t)
	s := l.sigstoreOf("vendor")
	first := string(s.TrustedRoot())
	l.do("admin@VendorMSP", "trust:Add", "ci", first, "https://ci.example/trusted_root.json")
	if _, writes, err := l.invoke("admin@VendorMSP", nil, "trust:Add", "ci", first+"\n", "elsewhere"); err != nil || len(writes) != 0 {
		t.Errorf("the same again writes %d keys: %v", len(writes), err)
	}
	if err := s.Rotate(sigstore.RekorV1); err != nil {
		t.Fatal(err)
	}
	l.do("admin@VendorMSP", "trust:Add", "ci", string(s.TrustedRoot()), "")
	one, two, now := l.shown("VendorMSP", "ci", "1"), l.shown("VendorMSP", "ci", "2"), l.shown("VendorMSP", "ci", "0")
	if now.Version.Version != 2 || now.Root.Version != 2 || now.Version.Text != two.Version.Text || one.Version.Text == two.Version.Text || one.Version.Origin == "" ||
		now.Version.Hash != hashOf([]byte(now.Version.Text)) || now.Root.Hash != now.Version.Hash || one.Version.By.MSP != "VendorMSP" {
		t.Errorf("%+v\n%+v\n%+v", one, two, now)
	}
	if len(now.Root.Anchors) != 6 {
		t.Errorf("%d authorities, want those before and the new log", len(now.Root.Anchors))
	}
	var list []state.TrustedRoot
	if err := json.Unmarshal([]byte(l.do("stranger@AuditMSP", "trust:List")), &list); err != nil || len(list) != 1 || list[0].Name != "ci" {
		t.Errorf("%+v, %v", list, err)
	}

	l.key("VendorMSP", "release", "")
	l.refused(provenance.Conflict, "admin@VendorMSP", "trust:Add", "release", first, "")
	root := newAuthority(t, l.now)
	l.refused(provenance.Conflict, "admin@VendorMSP", "key:Add", "ci", string(evidence.CertificateRoot), encodeCert(root.cert), "", "")
	l.do("admin@AuditMSP", "key:Add", "ci", string(evidence.CertificateRoot), encodeCert(root.cert), "", "")
	for _, bad := range [][]string{
		{"Ci", first, ""}, {"", first, ""}, {"a/b", first, ""}, {strings.Repeat("a", 64), first, ""}, {"x", first, strings.Repeat("o", 513)}, {"x", first, "a\u202eb"},
		{"x", "{}", ""}, {"x", "", ""}, {"x", first + first, ""}, {"x", strings.Replace(first, `"mediaType"`, `"mediaType":"x","mediaType"`, 1), ""},
		{"x", `{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1","pad":"` + strings.Repeat("a", 70<<10) + `"}`, ""},
	} {
		l.refused(provenance.Invalid, "admin@VendorMSP", append([]string{"trust:Add"}, bad...)...)
	}
	for _, bad := range [][]string{{"VendorMSP", "ci", "3"}, {"VendorMSP", "none", "0"}, {"AuditMSP", "ci", "0"}, {"", "ci", "0"}} {
		l.refused(provenance.NotFound, "admin@VendorMSP", append([]string{"trust:Show"}, bad...)...)
	}
	for _, bad := range [][]string{{"VendorMSP", "ci", "-1"}, {"VendorMSP", "ci", "x"}, {"VendorMSP", "CI", "0"}, {"?", "ci", "0"}} {
		l.refused(provenance.Invalid, "admin@VendorMSP", append([]string{"trust:Show"}, bad...)...)
	}

	l.refused(provenance.Invalid, "admin@VendorMSP", "trust:Withdraw", "ci", "", "")
	l.refused(provenance.NotFound, "admin@SecurityMSP", "trust:Withdraw", "ci", "no", "")
	l.do("admin@VendorMSP", "trust:Withdraw", "ci", "lost", "")
	if _, writes, err := l.invoke("admin@VendorMSP", nil, "trust:Withdraw", "ci", "lost", ""); err != nil || len(writes) != 0 {
		t.Errorf("withdrawn again: %d keys, %v", len(writes), err)
	}
	l.refused(provenance.Conflict, "admin@VendorMSP", "trust:Add", "ci", first, "")
}

// TestRootsAreBounded: whoever fills a bound fills its own.
func TestRootsAreBounded(t *testing.T) {
	l := network(t)
	text := string(l.sigstoreOf("many").TrustedRoot())
	for i := range state.MaxRoots {
		l.do("admin@VendorMSP", "trust:Add", fmt.Sprintf("r%d", i), text, "")
	}
	l.refused(provenance.Full, "admin@VendorMSP", "trust:Add", "more", text, "")
	l.do("admin@AuditMSP", "trust:Add", "more", text, "")
	l.share("more", []byte(text))

	s := l.sigstoreOf("churn")
	full := false
	for i := range 2 * state.MaxAnchors {
		l.now = l.now.Add(time.Minute)
		one := l.sigstoreOf(fmt.Sprintf("churn%d", i))
		if _, _, err := l.invoke("admin@AuditMSP", nil, "trust:Add", "churn", string(one.TrustedRoot()), ""); err != nil {
			if full = provenance.CodeOf(err) == provenance.Full; !full {
				t.Fatal(err)
			}
			break
		}
		s = one
	}
	if !full {
		t.Fatal("authorities without end")
	}
	if got := l.shown("AuditMSP", "churn", "0").Root.Anchors; len(got) > state.MaxAnchors {
		t.Errorf("%d authorities", len(got))
	}
	s.End(sigstore.RekorV1, l.now.Add(-time.Minute))
	l.do("admin@AuditMSP", "trust:Add", "churn", string(s.TrustedRoot()), "") // a full root is narrowed all the same
}

// TestTrustProposals: what is voted on is the text, to the byte.
func TestTrustProposals(t *testing.T) {
	l := network(t)
	s := l.sigstoreOf("public")
	for name, body := range map[string]string{
		"both": strings.Replace(sharedBody("x", s.TrustedRoot()), `"origin"`, `"withdraw":{"reason":"x"},"origin"`, 1), "neither": `{"name":"x"}`, "no reason": `{"name":"x","withdraw":{}}`,
		"bad name": sharedBody("X", s.TrustedRoot()), "no root": `{"name":"x","root":{}}`, "null": `{"name":"x","root":null}`, "unknown member": `{"name":"x","msp":"VendorMSP","root":{}}`,
		"text": `{"name":"x","root":"{}"}`, "origin of a withdrawal": `{"name":"x","origin":"o","withdraw":{"reason":"x"}}`, "time": `{"name":"x","withdraw":{"reason":"x","compromisedSince":"soon"}}`, "empty": "",
	} {
		if _, _, err := l.invoke("admin@VendorMSP", nil, "proposal:Open", "trusted-root", body); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	var p ProposalView
	open := func(who, body string) {
		t.Helper()
		p = ProposalView{}
		if err := json.Unmarshal([]byte(l.do("admin@"+who, "proposal:Open", "trusted-root", body)), &p); err != nil {
			t.Fatal(err)
		}
	}
	open("VendorMSP", sharedBody("public", s.TrustedRoot()))
	mine := p.Proposal
	l.refused(provenance.Stale, "admin@AuditMSP", "proposal:Vote", mine.ID, hashOf(s.TrustedRoot()), "yes", "")
	// The same root with another window is another proposal, not a vote for this one.
	other := l.sigstoreOf("public")
	open("SecurityMSP", sharedBody("public", other.TrustedRoot()))
	if p.Proposal.ID == mine.ID || len(p.Yes) != 1 {
		t.Errorf("%+v", p)
	}
	theirs := p.Proposal
	for _, o := range []string{"AuditMSP", "PlatformMSP"} {
		l.do("admin@"+o, "proposal:Vote", mine.ID, hashOf(mine.Body), "yes", "")
	}
	v := l.shown("", "public", "0")
	var body state.TrustChange
	if err := json.Unmarshal(mine.Body, &body); err != nil || string(body.Root) != v.Version.Text || len(v.Version.Voters) != 3 || v.Version.Origin != "the test" {
		t.Errorf("%+v, %v", v, err)
	}
	l.refused(provenance.Stale, "admin@AuditMSP", "proposal:Vote", theirs.ID, hashOf(theirs.Body), "yes", "")
	if _, writes, err := l.invoke("admin@AuditMSP", nil, "proposal:Open", "trusted-root", sharedBody("public", s.TrustedRoot())); err != nil || len(writes) != 0 {
		t.Errorf("in force already: %d keys, %v", len(writes), err)
	}
	l.refused(provenance.Forbidden, "scanner@AuditMSP", "proposal:Open", "trusted-root", sharedBody("more", other.TrustedRoot()))
	l.do("auditor@AuditMSP", "proposal:List", "")
}

// TestNoRootBreaksTheList: whatever stands in a text, it is refused where it is proposed
// or can be read again: one that could be written and not read would end every list.
func TestNoRootBreaksTheList(t *testing.T) {
	l := network(t)
	s := l.sigstoreOf("public")
	for range 14 {
		l.now = l.now.Add(time.Minute)
		for _, kind := range []sigstore.Kind{sigstore.RekorV1, sigstore.CTLog} {
			if err := s.Rotate(kind); err != nil {
				t.Fatal(err)
			}
		}
	}
	operated := func(by string) []byte {
		var doc map[string]any
		if err := json.Unmarshal(s.TrustedRoot(sigstore.RekorV2), &doc); err != nil {
			t.Fatal(err)
		}
		for _, member := range []string{"tlogs", "ctlogs"} {
			for _, entry := range doc[member].([]any) {
				entry.(map[string]any)["operator"] = by
			}
		}
		text, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		return []byte(strings.NewReplacer(`\u003c`, "<", `\u2028`, "\u2028", `\u202e`, "\u202e").Replace(string(text)))
	}
	for _, by := range []string{strings.Repeat("<", 512), "a\u202eb", "a\u2028b", "a\u0085b"} {
		text := operated(by)
		if len(text) > 64<<10 {
			t.Fatalf("%d bytes: refused by its size alone", len(text))
		}
		l.refused(provenance.Invalid, "admin@VendorMSP", "proposal:Open", "trusted-root", sharedBody("public", text))
		if by[0] == 'a' {
			l.refused(provenance.Invalid, "admin@VendorMSP", "trust:Add", "ci", string(text), "")
		}
	}
	l.share("public", operated("<b> & co"))
	l.do("auditor@AuditMSP", "proposal:List", "")
	if v := l.shown("", "public", "0"); !strings.Contains(v.Version.Text, `"operator":"<b> & co"`) {
		t.Error("the text is another one")
	}
}
