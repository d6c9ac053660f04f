package contract

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

func TestFoundingHappensOnce(t *testing.T) {
	l := newLedger(t)
	l.refused(provenance.Forbidden, "admin@AuditMSP", "member:Join", "Audit")
	for _, founders := range []string{``, `null`, `[]`, `{}`, `"AuditMSP"`, `[1]`, `["AuditMSP",""]`, `["AuditMSP","Audit MSP"]`, `["AuditMSP","AuditMSP"]`} {
		l.refused(provenance.Invalid, "admin@AuditMSP", "member:Found", founders)
	}
	var many []string
	for i := range maxMembers + 1 {
		many = append(many, fmt.Sprintf("O%dMSP", i))
	}
	b, err := json.Marshal(many)
	if err != nil {
		t.Fatal(err)
	}
	l.refused(provenance.Invalid, "admin@O0MSP", "member:Found", string(b))
	l.refused(provenance.Forbidden, "admin@OutsiderMSP", "member:Found", `["AuditMSP","VendorMSP"]`)
	l.refused(provenance.Forbidden, "auditor@AuditMSP", "member:Found", `["AuditMSP","VendorMSP"]`)

	l.do("admin@VendorMSP", "member:Found", `["VendorMSP","AuditMSP"]`)
	again := func(when string) {
		t.Helper()
		if _, writes, err := l.invoke("admin@VendorMSP", nil, "member:Found", `["AuditMSP","VendorMSP"]`); err != nil || len(writes) != 0 {
			t.Errorf("%s: %d writes, %v", when, len(writes), err)
		}
		l.refused(provenance.Conflict, "admin@AuditMSP", "member:Found", `["AuditMSP"]`)
		l.refused(provenance.Conflict, "admin@OutsiderMSP", "member:Found", `["AuditMSP","OutsiderMSP","VendorMSP"]`)
	}
	again("nobody joined")
	l.refused(provenance.Forbidden, "admin@OutsiderMSP", "member:Join", "Outsider")
	l.refused(provenance.Invalid, "admin@VendorMSP", "member:Join", "Ven\ndor")
	l.do("admin@VendorMSP", "member:Join", "Vendor")
	again("one joined")
	l.do("admin@AuditMSP", "member:Join", "Audit")
	again("both joined")
	if _, writes, err := l.invoke("admin@AuditMSP", nil, "member:Join", "Audit"); err != nil || len(writes) != 0 {
		t.Errorf("joined twice: %d writes, %v", len(writes), err)
	}
	if diff := cmp.Diff(state.Members{MSPs: []string{"AuditMSP", "VendorMSP"}}, l.members()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestTheFirstToJoinDecideNothing: founders who have not come yet count.
func TestTheFirstToJoinDecideNothing(t *testing.T) {
	l := newLedger(t)
	l.do("admin@VendorMSP", "member:Found", `["VendorMSP","SecurityMSP","PlatformMSP","AuditMSP"]`)
	l.do("admin@VendorMSP", "member:Join", "Vendor")
	for _, tt := range [][2]string{{"policy", policyText("default", 1)}, {"member-remove", `{"msp":"AuditMSP"}`}, {"majority", `{"majority":3}`}} {
		if v := l.open("VendorMSP", tt[0], tt[1]); v.Proposal.Status != state.ProposalOpen || v.Needed != 3 {
			t.Errorf("%s by the first of four founders: %+v", tt[0], v)
		}
	}
	l.refused(provenance.Invalid, "admin@VendorMSP", "proposal:Open", "majority", `{"majority":1}`)
	l.do("admin@SecurityMSP", "member:Join", "Security")
	if v := l.open("SecurityMSP", "policy", policyText("default", 1)); v.Proposal.Status != state.ProposalOpen || len(v.Yes) != 2 {
		t.Errorf("two of four: %+v", v)
	}
	l.do("admin@PlatformMSP", "member:Join", "Platform")
	l.agree("policy", policyText("default", 1), "PlatformMSP")
	// Three of four go on without the founder who never came.
	l.agree("member-remove", `{"msp":"AuditMSP"}`, "SecurityMSP", "PlatformMSP")
	l.refused(provenance.Forbidden, "admin@AuditMSP", "member:Join", "Audit")
	if l.guard[state.MembersKey()] == nil || l.guard[state.PoliciesKey()] == nil {
		t.Error("the founding is over, and nothing is guarded")
	}
}

func TestMembersComeByVote(t *testing.T) {
	l := network(t)
	l.open("VendorMSP", "member-add", `{"msp":"NewMSP"}`)
	l.open("AuditMSP", "member-add", `{"msp":"NewMSP"}`)
	l.refused(provenance.Forbidden, "admin@NewMSP", "member:Join", "New")
	l.agree("member-add", `{"msp":"NewMSP"}`, "SecurityMSP")
	l.refused(provenance.Conflict, "admin@PlatformMSP", "proposal:Open", "member-add", `{"msp":"VendorMSP"}`)
	l.refused(provenance.Forbidden, "admin@NewMSP", "member:Grant", "bob", "auditor") // invited is not joined
	l.do("admin@NewMSP", "member:Join", "New")
	l.do("admin@NewMSP", "member:Grant", "bob", "auditor")
	want := state.Members{MSPs: []string{"AuditMSP", "NewMSP", "PlatformMSP", "SecurityMSP", "VendorMSP"}, Version: 1}
	if diff := cmp.Diff(want, l.members()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if v := l.open("NewMSP", "majority", `{"majority":5}`); v.Needed != 3 || len(v.Yes) != 1 {
		t.Errorf("a new member votes: %+v", v)
	}
	if out, writes, err := l.invoke("admin@AuditMSP", nil, "proposal:Open", "member-add", `{"msp":"NewMSP"}`); err != nil || len(writes) != 0 {
		t.Errorf("its last vote repeated: %d writes, %v, %s", len(writes), err, out)
	}
}

func TestAnInvitationIsTakenBackByVote(t *testing.T) {
	l := network(t)
	l.agree("member-add", `{"msp":"NewMSP"}`, "VendorMSP", "AuditMSP", "SecurityMSP")
	l.agree("member-remove", `{"msp":"NewMSP"}`, "VendorMSP", "AuditMSP", "SecurityMSP")
	l.refused(provenance.Forbidden, "admin@NewMSP", "member:Join", "New")
	l.agree("member-add", `{"msp":"NewMSP"}`, "VendorMSP", "AuditMSP", "SecurityMSP") // a third proposal, not the first again
	l.do("admin@NewMSP", "member:Join", "New")
}

// TestWhoLeftCountsNoMore: a quarantine, an approval and a vote of a member
// that was voted out are as if they were not there.
func TestWhoLeftCountsNoMore(t *testing.T) {
	l := network(t)
	if _, _, err := l.segment("gateway@VendorMSP", host, 1, push("1.0", "v1")); err != nil {
		t.Fatal(err)
	}
	d := push("1.0", "v1").Digest.String()
	l.do("scanner@PlatformMSP", "quarantine:Set", d, "ours")
	v := l.open("PlatformMSP", "policy", policyText("default", 2))
	ask := func() policy.Answer {
		return l.verdict("auditor@AuditMSP", "verdict:Ask", host, repo, d, "staging").Verdict
	}
	if got := ask(); got != policy.Quarantined {
		t.Fatalf("before: %s", got)
	}
	removePlatform(l)
	if got := ask(); got != policy.Pending {
		t.Errorf("after: %s", got)
	}
	if v := l.proposal("AuditMSP", "proposal:Vote", v.Proposal.ID, l.hash(v.Proposal.ID), "yes", ""); len(v.Yes) != 1 || v.Needed != 2 {
		t.Errorf("its ballot counts: %+v", v)
	}
	l.refused(provenance.Forbidden, "admin@PlatformMSP", "member:Grant", "bob", "auditor")
	l.refused(provenance.Forbidden, "admin@PlatformMSP", "member:Join", "Platform")
	var list MemberList
	if err := json.Unmarshal([]byte(l.do("auditor@AuditMSP", "member:List")), &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Members) != 3 || list.Needed != 2 || len(list.Grants) == 0 {
		t.Errorf("members: %+v", list)
	}
	l.agree("member-remove", `{"msp":"SecurityMSP"}`, "VendorMSP", "AuditMSP")
	l.refused(provenance.Conflict, "admin@VendorMSP", "proposal:Open", "member-remove", `{"msp":"AuditMSP"}`)
}

func TestAHigherMajority(t *testing.T) {
	l := network(t)
	l.agree("majority", `{"majority":4}`, "VendorMSP", "AuditMSP", "SecurityMSP")
	for _, o := range []string{"VendorMSP", "AuditMSP", "SecurityMSP"} {
		if v := l.open(o, "policy", policyText("default", 2)); v.Proposal.Status != state.ProposalOpen || v.Needed != 4 {
			t.Errorf("%s: %+v", o, v)
		}
	}
	v := l.open("PlatformMSP", "policy", policyText("default", 2))
	if v.Proposal.Status != state.ProposalAccepted {
		t.Errorf("all four: %+v", v)
	}
	// One refusal ends what everybody must agree to.
	v = l.open("VendorMSP", "majority", `{"majority":3}`)
	if v = l.proposal("AuditMSP", "proposal:Vote", v.Proposal.ID, l.hash(v.Proposal.ID), "no", "keep it"); v.Proposal.Status != state.ProposalRejected {
		t.Errorf("one of four refuses: %+v", v)
	}
}
