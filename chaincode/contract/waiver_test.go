package contract

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// quiet expects success without a write.
func (l *ledger) quiet(who string, args ...string) {
	l.t.Helper()
	if _, writes, err := l.invoke(who, nil, args...); err != nil || len(writes) != 0 {
		l.t.Errorf("%s %v: %d writes, %v; want success without one", who, args, len(writes), err)
	}
}

// waiverLedger has a policy with a waiver rule and an image that waits for one.
func waiverLedger(t *testing.T) (*ledger, string) {
	t.Helper()
	l := network(t)
	text := `{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":"default"},"spec":{"match":["reg.example:5000/team/**"],
	 "context":{"incident":"SecurityMSP"},"waivers":{"min":2,"orgs":["SecurityMSP"],"maxDuration":"2d"},
	 "stages":[{"name":"staging","approvals":{"min":0},"conditions":[{"name":"no-incident","cel":"!context.incident"}]}]}}`
	l.agree("policy", text, "VendorMSP", "AuditMSP", "SecurityMSP")
	l.do("scanner@SecurityMSP", "context:Set", "incident", "true")
	e := push("1.0", "v1")
	if _, _, err := l.segment("gateway@VendorMSP", host, 1, e); err != nil {
		t.Fatal(err)
	}
	return l, e.Digest.String()
}

func (l *ledger) waiver(who string, args ...string) (w state.Waiver) {
	l.t.Helper()
	if err := json.Unmarshal([]byte(l.do(who, args...)), &w); err != nil {
		l.t.Fatal(err)
	}
	return w
}

func TestWaiverCountsOnceAllAgreed(t *testing.T) {
	l, d := waiverLedger(t)
	outcome := func() policy.Outcome {
		for _, r := range l.verdict("auditor@AuditMSP", "verdict:Ask", host, repo, d, "staging").Reasons {
			if r.Rule == "condition/no-incident" {
				return r.Outcome
			}
		}
		return "no such rule"
	}
	expect := func(when string, want policy.Outcome) {
		t.Helper()
		if got := outcome(); got != want {
			t.Errorf("%s: %s, want %s", when, got, want)
		}
	}
	expect("before", policy.Violated)
	until := l.now.Add(24 * time.Hour).Format(time.RFC3339)
	request := []string{"waiver:Request", host, repo, d, "staging", "condition/no-incident", "the incident is elsewhere", until}
	w := l.waiver("release-manager@VendorMSP", request...)
	l.quiet("release-manager@VendorMSP", request...)
	l.quiet("admin@VendorMSP", "waiver:Approve", host, repo, w.ID) // one organisation counts once
	expect("asked for", policy.Violated)
	l.do("admin@AuditMSP", "waiver:Approve", host, repo, w.ID)
	expect("two organisations, not the one that must agree", policy.Violated)
	w = l.waiver("release-manager@SecurityMSP", "waiver:Approve", host, repo, w.ID)
	if fmt.Sprint(w.Approvers) != "[admin@AuditMSP release-manager@SecurityMSP release-manager@VendorMSP]" {
		t.Errorf("approvers: %v", w.Approvers)
	}
	expect("agreed", policy.Waived)
	l.refused(provenance.Forbidden, "admin@PlatformMSP", "waiver:Revoke", host, repo, w.ID, "not ours")
	l.refused(provenance.Invalid, "admin@AuditMSP", "waiver:Revoke", host, repo, w.ID, " ")
	l.do("admin@AuditMSP", "waiver:Revoke", host, repo, w.ID, "it spread")
	l.quiet("admin@VendorMSP", "waiver:Revoke", host, repo, w.ID, "indeed")
	expect("revoked", policy.Violated)
	l.refused(provenance.Conflict, "admin@PlatformMSP", "waiver:Approve", host, repo, w.ID)
	l.refused(provenance.NotFound, "admin@PlatformMSP", "waiver:Approve", host, repo, "nothing")

	second := l.waiver("release-manager@VendorMSP", request...)
	if second.ID == w.ID || len(second.Approvers) != 1 {
		t.Errorf("asked again after it was revoked: %+v", second)
	}
	l.now = l.now.Add(25 * time.Hour)
	l.refused(provenance.NotFound, "admin@AuditMSP", "waiver:Approve", host, repo, second.ID)
	until = l.now.Add(time.Hour).Format(time.RFC3339)
	l.do("release-manager@VendorMSP", "waiver:Request", host, repo, "", "staging", "condition/no-incident", "for the repository", until)
	var list []state.Waiver
	if err := json.Unmarshal([]byte(l.do("stranger@AuditMSP", "waiver:List", host, repo)), &list); err != nil || len(list) != 1 {
		t.Errorf("ended ones are dropped: %+v, %v", list, err)
	}
}

func TestWaiversThatAreRefused(t *testing.T) {
	l, d := waiverLedger(t)
	stamp := func(d time.Duration) string { return l.now.Add(d).Format(time.RFC3339) }
	good := []string{"waiver:Request", host, repo, d, "staging", "condition/no-incident", "why", stamp(time.Hour)}
	for _, tt := range []struct {
		code  provenance.Code
		at    int
		value string
	}{
		{provenance.Invalid, 1, "no host"},
		{provenance.Invalid, 2, "../x"},
		{provenance.NotFound, 2, "elsewhere/app"}, // no policy
		{provenance.Invalid, 3, "sha256:1"},
		{provenance.Invalid, 4, "Staging"},
		{provenance.NotFound, 4, "production"},
		{provenance.NotFound, 5, "condition/other"},
		{provenance.NotFound, 5, "soak"}, // not in the stage
		{provenance.Denied, 5, "approvals"},
		{provenance.NotFound, 5, "quarantine"},
		{provenance.Invalid, 6, ""},
		{provenance.Invalid, 6, strings.Repeat("x", maxReason+1)},
		{provenance.Invalid, 7, ""},
		{provenance.Invalid, 7, "tomorrow"},
		{provenance.Invalid, 7, stamp(-time.Minute)},
		{provenance.Denied, 7, stamp(72 * time.Hour)},
	} {
		args := append([]string{}, good...)
		args[tt.at] = tt.value
		l.refused(tt.code, "release-manager@VendorMSP", args...)
	}
	l.refused(provenance.Forbidden, "publisher@VendorMSP", good...)
	for i := range state.MaxWaivers {
		args := append([]string{}, good...)
		args[6] = fmt.Sprint("reason ", i)
		l.do("release-manager@VendorMSP", args...)
	}
	l.refused(provenance.Full, "release-manager@VendorMSP", good...)
	l.do("release-manager@AuditMSP", good...) // one organisation's waivers take no other's room
	l.agree("policy", policyText("default", 1), "VendorMSP", "AuditMSP", "SecurityMSP")
	args := append([]string{}, good...)
	args[5] = "approvals"
	l.refused(provenance.Denied, "release-manager@VendorMSP", args...)
}
