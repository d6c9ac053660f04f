package contract

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

func policyText(name string, min int) string {
	folder := map[string]string{"default": "team", "rival": "team", "other": "other"}[name]
	return fmt.Sprintf(`{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":%q},"spec":{"match":["reg.example:5000/%s/**"],"stages":[{"name":"staging","approvals":{"min":%d}}]}}`, name, folder, min)
}

func (l *ledger) proposal(org string, args ...string) (v ProposalView) {
	l.t.Helper()
	if err := json.Unmarshal([]byte(l.do("admin@"+org, args...)), &v); err != nil {
		l.t.Fatal(err)
	}
	return v
}

// hash is what a vote on a proposal names, "" where there is none.
func (l *ledger) hash(id string) string {
	b := l.state[state.ProposalTextKey(id)]
	if b == nil {
		return ""
	}
	var p state.ProposalText
	if err := state.Decode(b, &p); err != nil {
		l.t.Fatal(err)
	}
	return state.ContentHash(p.Body, p.Source)
}

func (l *ledger) open(org, kind, body string) ProposalView {
	l.t.Helper()
	return l.proposal(org, "proposal:Open", kind, body)
}

// agree has each of orgs propose the same, and expects that it is accepted.
func (l *ledger) agree(kind, body string, orgs ...string) ProposalView {
	l.t.Helper()
	var v ProposalView
	for _, o := range orgs {
		v = l.open(o, kind, body)
	}
	if v.Proposal.Status != state.ProposalAccepted {
		l.t.Fatalf("%s %s by %v: %+v", kind, body, orgs, v)
	}
	return v
}

func (l *ledger) members() (m state.Members) {
	l.t.Helper()
	if err := json.Unmarshal(l.state[state.MembersKey()], &m); err != nil {
		l.t.Fatal(err)
	}
	return m
}

func TestNoMinorityChangesAPolicy(t *testing.T) {
	l := network(t)
	var v ProposalView
	for range 5 { // one organisation, however often and however many of its admins
		v = l.open("VendorMSP", "policy", policyText("default", 3))
	}
	l.do("admin@AuditMSP", "member:Grant", "second", "admin")
	l.open("AuditMSP", "policy", policyText("default", 3))
	_, writes, err := l.invoke("second@AuditMSP", nil, "proposal:Vote", v.Proposal.ID, l.hash(v.Proposal.ID), "yes", "me too")
	if err != nil || len(writes) != 0 {
		t.Errorf("a second admin of one organisation: %d writes, %v", len(writes), err)
	}
	v = l.proposal("VendorMSP", "proposal:Get", v.Proposal.ID)
	if diff := cmp.Diff([]string{"AuditMSP", "VendorMSP"}, v.Yes); diff != "" || v.Proposal.Status != state.ProposalOpen || v.Needed != 3 || v.Proposal.Base != 1 {
		t.Errorf("two of four: %+v\n%s", v, diff)
	}
	var p state.PolicyVersion
	if err := json.Unmarshal([]byte(l.do("auditor@AuditMSP", "policy:Get", "default", "0")), &p); err != nil || p.Version != 1 {
		t.Errorf("in force: %+v, %v", p, err)
	}

	v = l.proposal("SecurityMSP", "proposal:Vote", v.Proposal.ID, l.hash(v.Proposal.ID), "yes", "")
	if v.Proposal.Status != state.ProposalAccepted || v.Proposal.Version != 2 {
		t.Errorf("three of four: %+v", v)
	}
	var versions []state.PolicyVersion
	if err := json.Unmarshal([]byte(l.do("auditor@AuditMSP", "policy:Versions", "default")), &versions); err != nil {
		t.Fatal(err)
	}
	if len(versions) != 2 || versions[1].Source != policyText("default", 3) || fmt.Sprint(versions[1].Voters) != "[admin@AuditMSP admin@SecurityMSP admin@VendorMSP]" {
		t.Errorf("versions: %+v", versions)
	}
}

func TestAVoteIsRepeatedWithoutAWrite(t *testing.T) {
	l := network(t)
	text := policyText("default", 2)
	accepted := l.agree("policy", text, "VendorMSP", "AuditMSP", "SecurityMSP")
	for _, again := range [][]string{
		{"proposal:Open", "policy", text}, // the answer to the last vote was lost
		{"proposal:Vote", accepted.Proposal.ID, l.hash(accepted.Proposal.ID), "yes", ""},
	} {
		out, writes, err := l.invoke("admin@SecurityMSP", nil, again...)
		var v ProposalView
		if err == nil {
			err = json.Unmarshal([]byte(out), &v)
		}
		if err != nil || len(writes) != 0 || v.Proposal.ID != accepted.Proposal.ID || v.Proposal.Status != state.ProposalAccepted {
			t.Errorf("%v: %d writes, %+v, %v", again, len(writes), v, err)
		}
	}
	l.refused(provenance.Conflict, "admin@SecurityMSP", "proposal:Vote", accepted.Proposal.ID, l.hash(accepted.Proposal.ID), "no", "too late")
	l.refused(provenance.Conflict, "admin@PlatformMSP", "proposal:Vote", accepted.Proposal.ID, l.hash(accepted.Proposal.ID), "yes", "too late")
}

func TestProposalsEnd(t *testing.T) {
	l := network(t)
	text := policyText("default", 2)
	first := l.open("VendorMSP", "policy", text)
	id := first.Proposal.ID
	l.proposal("AuditMSP", "proposal:Vote", id, l.hash(id), "yes", "")
	l.proposal("AuditMSP", "proposal:Vote", id, l.hash(id), "no", "on second thoughts")
	if v := l.proposal("SecurityMSP", "proposal:Vote", id, l.hash(id), "no", "too weak"); v.Proposal.Status != state.ProposalRejected {
		t.Errorf("two of four refuse, so three cannot agree: %+v", v)
	}
	l.refused(provenance.Conflict, "admin@PlatformMSP", "proposal:Vote", id, l.hash(id), "yes", "")
	l.refused(provenance.Conflict, "admin@VendorMSP", "proposal:Withdraw", id, "too late")

	second := l.open("VendorMSP", "policy", text) // asked again, with no ballots
	if second.Proposal.ID == id || len(second.No) != 0 || second.Proposal.Status != state.ProposalOpen {
		t.Errorf("asked again: %+v", second)
	}
	l.refused(provenance.Forbidden, "admin@AuditMSP", "proposal:Withdraw", second.Proposal.ID, "not ours")
	if v := l.proposal("VendorMSP", "proposal:Withdraw", second.Proposal.ID, "later"); v.Proposal.Status != state.ProposalWithdrawn {
		t.Errorf("withdrawn: %+v", v)
	}
	if _, writes, err := l.invoke("admin@VendorMSP", nil, "proposal:Withdraw", second.Proposal.ID, "later"); err != nil || len(writes) != 0 {
		t.Errorf("withdrawn again: %d writes, %v", len(writes), err)
	}
	l.refused(provenance.Conflict, "admin@AuditMSP", "proposal:Vote", second.Proposal.ID, l.hash(second.Proposal.ID), "yes", "")
	// However often somebody proposes and withdraws it, others may still want it.
	for range 20 {
		l.proposal("VendorMSP", "proposal:Withdraw", l.open("VendorMSP", "policy", text).Proposal.ID, "")
	}
	last := l.open("VendorMSP", "policy", text)
	l.proposal("AuditMSP", "proposal:Vote", last.Proposal.ID, l.hash(last.Proposal.ID), "yes", "")
	// Another's yes holds nobody's room: whoever proposed it may end it, and whoever wants it proposes it anew.
	l.proposal("VendorMSP", "proposal:Withdraw", last.Proposal.ID, "")
	l.open("AuditMSP", "policy", text)
	last = l.open("VendorMSP", "policy", text)
	l.refused(provenance.Stale, "admin@SecurityMSP", "proposal:Vote", last.Proposal.ID, strings.Repeat("0", 64), "yes", "")
	if v := l.proposal("SecurityMSP", "proposal:Vote", last.Proposal.ID, l.hash(last.Proposal.ID), "yes", ""); v.Proposal.Status != state.ProposalAccepted {
		t.Errorf("in the end: %+v", v)
	}
}

func TestStaleProposals(t *testing.T) {
	l := network(t)
	stale := l.open("VendorMSP", "policy", policyText("default", 3))
	l.open("PlatformMSP", "policy", policyText("default", 3))
	l.agree("policy", policyText("default", 2), "VendorMSP", "AuditMSP", "SecurityMSP")
	l.refused(provenance.Stale, "admin@AuditMSP", "proposal:Vote", stale.Proposal.ID, l.hash(stale.Proposal.ID), "yes", "")
	l.refused(provenance.Stale, "admin@AuditMSP", "proposal:Vote", stale.Proposal.ID, l.hash(stale.Proposal.ID), "no", "")
	if v := l.proposal("AuditMSP", "proposal:Get", stale.Proposal.ID); !v.Stale {
		t.Errorf("%+v", v)
	}
	if v := l.open("AuditMSP", "policy", policyText("default", 3)); v.Proposal.Base != 2 || len(v.Yes) != 1 {
		t.Errorf("the votes for a change from version 1 are not votes for one from version 2: %+v", v)
	}
	l.proposal("VendorMSP", "proposal:Withdraw", stale.Proposal.ID, "of no use any more")

	add := l.open("VendorMSP", "member-add", `{"msp":"NewMSP"}`)
	l.agree("majority", `{"majority":4}`, "VendorMSP", "AuditMSP", "SecurityMSP")
	l.refused(provenance.Stale, "admin@AuditMSP", "proposal:Vote", add.Proposal.ID, l.hash(add.Proposal.ID), "yes", "")
}

func TestProposalList(t *testing.T) {
	l := network(t)
	done := l.agree("policy", policyText("default", 2), "VendorMSP", "AuditMSP", "SecurityMSP")
	older := l.open("VendorMSP", "policy", policyText("other", 1))
	newer := l.open("VendorMSP", "member-remove", `{"msp":"PlatformMSP"}`)
	list := func(from string) (page ProposalPage) {
		t.Helper()
		if err := json.Unmarshal([]byte(l.do("stranger@AuditMSP", "proposal:List", from)), &page); err != nil {
			t.Fatal(err)
		}
		return page
	}
	all := list("")
	status := map[string]state.ProposalStatus{}
	for _, v := range all.Proposals {
		status[v.Proposal.ID] = v.Proposal.Status
		if v.Proposal.Body != nil || v.Proposal.Source != "" || v.Proposal.Subject == "" {
			t.Errorf("a list brings texts, or no titles: %+v", v.Proposal)
		}
		if diff := cmp.Diff([]string{"VendorMSP"}, v.Yes); v.Proposal.ID == older.Proposal.ID && diff != "" {
			t.Errorf("ballots (-want +got):\n%s", diff)
		}
	}
	if len(status) != 5 || all.Next != "" || status[newer.Proposal.ID] != state.ProposalOpen || status[older.Proposal.ID] != state.ProposalOpen || status[done.Proposal.ID] != state.ProposalAccepted {
		t.Errorf("%v, then %q", status, all.Next)
	}
	// However many there are, an answer is a page of them.
	for i := range 2*maxListed + 1 {
		p := state.Proposal{ID: fmt.Sprintf("%064x", i), Kind: state.ProposeMajority, Status: state.ProposalRejected}
		l.state[state.ProposalKey(p.ID)], _ = state.Encode(p)
	}
	seen, pages := map[string]bool{}, 0
	for from := ""; ; pages++ {
		page := list(from)
		if len(page.Proposals) > maxListed {
			t.Fatalf("%d on a page", len(page.Proposals))
		}
		for _, v := range page.Proposals {
			seen[v.Proposal.ID] = true
		}
		if from = page.Next; from == "" {
			break
		}
	}
	if len(seen) != 2*maxListed+6 || pages != 2 {
		t.Errorf("%d proposals on %d pages", len(seen), pages+1)
	}
	l.refused(provenance.Invalid, "stranger@AuditMSP", "proposal:List", "nonsense")
}

func TestWhatCannotBeProposed(t *testing.T) {
	l := network(t)
	for _, tt := range []struct {
		code       provenance.Code
		kind, body string
	}{
		{provenance.Invalid, "law", `{}`},
		{provenance.Invalid, "policy", strings.Replace(policyText("default", 1), `"min"`, `"minimum"`, 1)},
		{provenance.Invalid, "policy", ``},
		{provenance.Conflict, "policy", policyText("rival", 1)},
		{provenance.Invalid, "member-add", `{"msp":"New MSP"}`},
		{provenance.Invalid, "member-add", `{"msp":""}`},
		{provenance.Invalid, "member-add", `{"msp":"NewMSP","name":"x"}`},
		{provenance.Invalid, "member-add", `{"msp":"NewMSP","msp":"OtherMSP"}`},
		{provenance.Invalid, "member-add", `["NewMSP"]`},
		{provenance.Conflict, "member-add", `{"msp":"AuditMSP"}`},
		{provenance.NotFound, "member-remove", `{"msp":"NewMSP"}`},
		{provenance.Invalid, "majority", `{"majority":2}`},
		{provenance.Invalid, "majority", `{"majority":5}`},
		{provenance.Invalid, "majority", `{"majority":3.5}`},
		{provenance.Invalid, "majority", `{}`},
	} {
		l.refused(tt.code, "admin@VendorMSP", "proposal:Open", tt.kind, tt.body)
	}
	l.refused(provenance.Invalid, "admin@VendorMSP", "proposal:Vote", "nonsense", l.hash("nonsense"), "yes", "")
	l.refused(provenance.Invalid, "admin@VendorMSP", "proposal:Get", "nonsense")
	l.refused(provenance.NotFound, "admin@VendorMSP", "proposal:Vote", strings.Repeat("0", 64), l.hash(strings.Repeat("0", 64)), "yes", "")
	l.refused(provenance.NotFound, "admin@VendorMSP", "proposal:Withdraw", strings.Repeat("0", 64), "")
	v := l.open("VendorMSP", "majority", `{"majority":4}`)
	for _, vote := range []string{"", "Yes", "maybe"} {
		l.refused(provenance.Invalid, "admin@AuditMSP", "proposal:Vote", v.Proposal.ID, l.hash(v.Proposal.ID), vote, "")
	}
	l.refused(provenance.Invalid, "admin@AuditMSP", "proposal:Vote", v.Proposal.ID, l.hash(v.Proposal.ID), "yes", strings.Repeat("x", maxReason+1))
	l.refused(provenance.Invalid, "admin@VendorMSP", "proposal:Withdraw", v.Proposal.ID, "\xff")
	l.refused(provenance.Invalid, "admin@VendorMSP", "policy:Get", "default", "-1")
	l.refused(provenance.NotFound, "admin@VendorMSP", "policy:Get", "default", "9")
	l.refused(provenance.NotFound, "admin@VendorMSP", "policy:Versions", "nothing")
	l.refused(provenance.Invalid, "admin@VendorMSP", "policy:Versions", "")
}

// TestConflictFoundAtTheLastVote: two proposals that exclude each other may be
// open side by side; the second to win is refused.
func TestConflictFoundAtTheLastVote(t *testing.T) {
	l := network(t)
	a, b := policyText("other", 1), strings.Replace(policyText("other", 1), `"other"`, `"rival"`, 1)
	l.open("VendorMSP", "policy", a)
	l.open("VendorMSP", "policy", b)
	l.open("AuditMSP", "policy", b)
	l.agree("policy", a, "AuditMSP", "SecurityMSP")
	l.refused(provenance.Conflict, "admin@SecurityMSP", "proposal:Open", "policy", b)
}
