package contract

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// about is a transaction about the image with that content.
func about(fn, content, stage string, more ...string) []string {
	return append([]string{fn, host, repo, digestOf(content).String(), stage}, more...)
}

func (l *ledger) ask(content, stage string) policy.Verdict {
	l.t.Helper()
	return l.verdict("auditor@AuditMSP", about("verdict:Ask", content, stage)...)
}

// approval is the transaction by which somebody approves what the verdict shows now.
func (l *ledger) approval(content, stage, reason string) []string {
	l.t.Helper()
	v := l.ask(content, stage)
	return approvalOf(v, content, stage, reason)
}

// approvalOf is the approval of what a verdict shows.
func approvalOf(v policy.Verdict, content, stage, reason string) []string {
	ref, hash := "", ""
	if v.Policy != nil {
		ref, hash = versionRef(*v.Policy), v.Policy.Hash
	}
	return about("promotion:Approve", content, stage, strconv.Itoa(v.Attempt), ref, hash, v.EvidenceSet, reason)
}

func (l *ledger) approve(who, content, stage string) policy.Verdict {
	l.t.Helper()
	return l.verdict(who, l.approval(content, stage, "ok")...)
}

// pushed records images of the vendor under the tag 1.0, one after the other.
func (l *ledger) pushed(contents ...string) {
	l.t.Helper()
	for _, c := range contents {
		if _, _, err := l.segment("gateway@VendorMSP", host, 1000+l.txs, push("1.0", c)); err != nil {
			l.t.Fatal(err)
		}
	}
}

// govern puts stages in force, JSON, as a new version of the policy.
func (l *ledger) govern(spec string) {
	l.t.Helper()
	text := `{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":"default"},"spec":{"match":["reg.example:5000/team/**"],` + spec + `}}`
	for _, o := range orgs()[:3] {
		l.do("admin@"+o, "proposal:Open", "policy", text)
	}
}

// expect compares a verdict's answer and, where rule is not "", one rule's outcome.
func expect(t *testing.T, what string, v policy.Verdict, want policy.Answer, rule string, outcome policy.Outcome) {
	t.Helper()
	if v.Verdict != want {
		t.Errorf("%s: %s, want %s: %+v", what, v.Verdict, want, v.Reasons)
	}
	if rule == "" {
		return
	}
	for _, r := range v.Reasons {
		if r.Rule == rule && r.Outcome == outcome {
			return
		}
	}
	t.Errorf("%s: no %s that is %s: %+v", what, rule, outcome, v.Reasons)
}

func read[T any](l *ledger, key string) (record T) {
	l.t.Helper()
	b, ok := l.state[key]
	if !ok {
		l.t.Fatalf("nothing under %q", key)
	}
	if err := state.Decode(b, &record); err != nil {
		l.t.Fatal(err)
	}
	return record
}

func subject(content, stage string) state.Subject {
	return state.Subject{Stage: stage, Host: host, Repository: repo, Digest: digestOf(content)}
}

func TestPushToRelease(t *testing.T) {
	l := network(t)
	l.pushed("v1")
	image := digestOf("v1")
	expect(t, "after the push", l.ask("v1", "staging"), policy.Pending, "promotion", policy.Unmet)
	expect(t, "never pushed", l.ask("never pushed", "staging"), policy.Unknown, "recorded", policy.Violated)
	l.refused(provenance.Conflict, "release-manager@SecurityMSP", l.approval("v1", "staging", "")...)

	l.do("release-manager@VendorMSP", about("promotion:Request", "v1", "staging")...)
	l.refused(provenance.Forbidden, "release-manager@VendorMSP", l.approval("v1", "staging", "")...)
	expect(t, "staging's approval", l.approve("release-manager@AuditMSP", "v1", "staging"), policy.Allowed, "release", policy.Satisfied)

	l.do("release-manager@PlatformMSP", about("promotion:Request", "v1", "production")...)
	l.refused(provenance.Forbidden, "release-manager@PlatformMSP", l.approval("v1", "production", "")...)
	expect(t, "one of two", l.approve("release-manager@AuditMSP", "v1", "production"), policy.Pending, "approvals", policy.Unmet)
	_, writes, err := l.invoke("release-manager@AuditMSP", nil, l.approval("v1", "production", "again")...)
	if err != nil || len(writes) != 0 {
		t.Errorf("the same organisation again: %d writes, %v; want success without a write", len(writes), err)
	}
	last := l.approval("v1", "production", "scanned")
	expect(t, "two of two", l.verdict("release-manager@SecurityMSP", last...), policy.Allowed, "release", policy.Satisfied)
	_, writes, err = l.invoke("release-manager@SecurityMSP", nil, last...)
	if err != nil || len(writes) != 0 {
		t.Errorf("the last approval again: %d writes, %v; want success without a write", len(writes), err)
	}
	if v := l.ask("v1", "production"); v.Verdict != policy.Allowed || v.Policy.Version != 1 {
		t.Errorf("released: %+v", v)
	}
	word := read[state.Approval](l, subject("v1", "production").ApprovalKey(1, "SecurityMSP"))
	if word.Policy.Name != "default" || word.Policy.Version != 1 || len(word.Policy.Hash) != 64 || word.EvidenceSet == "" || fmt.Sprint(word.Roles) != "[release-manager]" || word.Robot {
		t.Errorf("what the approver signed: %+v", word)
	}

	l.pushed("v2")
	var tag state.Tag
	if err := json.Unmarshal([]byte(l.do("auditor@AuditMSP", "tag:Get", host, repo, "1.0")), &tag); err != nil {
		t.Fatal(err)
	}
	if tag.Previous != image || tag.Moves != 2 {
		t.Errorf("the moved tag: %+v", tag)
	}
	expect(t, "what the tag names now", l.ask("v2", "production"), policy.Pending, "approvals", policy.Unmet)

	l.do("scanner@SecurityMSP", "quarantine:Set", image.String(), "CVE")
	expect(t, "quarantined", l.ask("v1", "production"), policy.Quarantined, "quarantine", policy.Violated)
	l.refused(provenance.NotFound, "admin@AuditMSP", "quarantine:Lift", image.String(), "not ours to lift")
	l.do("admin@SecurityMSP", "quarantine:Lift", image.String(), "false alarm")
	expect(t, "lifted", l.ask("v1", "production"), policy.Allowed, "", "")
	if h := read[state.Hold](l, state.HoldKey(image, "SecurityMSP")); !h.Lifted || h.Since.IsZero() || !h.Since.Before(h.At) {
		t.Errorf("a lifted hold keeps when it was set: %+v", h)
	}
}

func TestRejection(t *testing.T) {
	l := network(t)
	l.pushed("v1")
	l.do("publisher@VendorMSP", about("promotion:Request", "v1", "staging")...)
	l.refused(provenance.Invalid, "release-manager@AuditMSP", about("promotion:Reject", "v1", "staging", l.attempt("v1", "staging"), " ")...)
	for i, org := range orgs()[:3] {
		v := l.verdict("release-manager@"+org, about("promotion:Reject", "v1", "staging", l.attempt("v1", "staging"), "no")...)
		want := map[bool]policy.Answer{false: policy.Pending, true: policy.Denied}[i == 2]
		expect(t, fmt.Sprintf("rejection %d", i+1), v, want, "", "")
	}
	l.refused(provenance.Conflict, "release-manager@AuditMSP", l.approval("v1", "staging", "")...)
	l.do("publisher@VendorMSP", about("promotion:Request", "v1", "staging")...)
	expect(t, "the second attempt", l.approve("release-manager@AuditMSP", "v1", "staging"), policy.Allowed, "", "")
}

// A denial that time or evidence can turn leaves the promotion open: only a
// lost quorum closes it.
func TestDeniedIsNotClosed(t *testing.T) {
	l := network(t)
	l.govern(`"context":{"incident":"SecurityMSP"},"stages":[{"name":"staging","approvals":{"min":1},"conditions":[{"name":"calm","cel":"context.incident == false"}]}]`)
	l.do("admin@SecurityMSP", "context:Set", "incident", "true")
	l.pushed("v1")
	l.do("publisher@VendorMSP", about("promotion:Request", "v1", "staging")...)
	expect(t, "during the incident", l.approve("release-manager@AuditMSP", "v1", "staging"), policy.Denied, "condition/calm", policy.Violated)
	if p := read[state.Promotion](l, subject("v1", "staging").PromotionKey()); p.Status != state.PromotionOpen {
		t.Errorf("the promotion is %s", p.Status)
	}
	l.do("admin@SecurityMSP", "context:Set", "incident", "false")
	expect(t, "afterwards", l.ask("v1", "staging"), policy.Pending, "condition/calm", policy.Satisfied)
	expect(t, "released", l.verdict("release-manager@VendorMSP", about("release:Release", "v1", "staging")...), policy.Allowed, "", "")
}

func TestWithdrawApproval(t *testing.T) {
	l := network(t)
	l.pushed("v1")
	l.do("release-manager@VendorMSP", about("promotion:Request", "v1", "staging")...)
	expect(t, "released to staging", l.approve("release-manager@AuditMSP", "v1", "staging"), policy.Allowed, "", "")
	l.refused(provenance.Conflict, "release-manager@AuditMSP", about("promotion:Withdraw", "v1", "staging", "too late")...)

	l.do("release-manager@VendorMSP", about("promotion:Request", "v1", "production")...)
	l.refused(provenance.NotFound, "release-manager@AuditMSP", about("promotion:Withdraw", "v1", "production", "nothing there")...)
	l.approve("release-manager@AuditMSP", "v1", "production")
	l.refused(provenance.Invalid, "release-manager@AuditMSP", about("promotion:Withdraw", "v1", "production", " ")...)
	l.refused(provenance.Forbidden, "auditor@AuditMSP", about("promotion:Withdraw", "v1", "production", "not mine")...)
	l.refused(provenance.NotFound, "admin@PlatformMSP", about("promotion:Withdraw", "v1", "production", "not ours")...)
	v := l.verdict("admin@AuditMSP", about("promotion:Withdraw", "v1", "production", "a second look")...)
	expect(t, "withdrawn by the admin", v, policy.Pending, "approvals", policy.Unmet)
	expect(t, "asked", l.ask("v1", "production"), policy.Pending, "approvals", policy.Unmet)
	expect(t, "one is left", l.approve("release-manager@SecurityMSP", "v1", "production"), policy.Pending, "approvals", policy.Unmet)
	word := read[state.Approval](l, subject("v1", "production").ApprovalKey(1, "AuditMSP"))
	if !word.Withdrawn || word.WithdrawnFor != "a second look" || word.WithdrawnBy == nil || word.WithdrawnBy.By.Name != "admin" || word.By.Name != "release-manager" {
		t.Errorf("the withdrawn word: %+v", word)
	}
	expect(t, "given again", l.approve("release-manager@AuditMSP", "v1", "production"), policy.Allowed, "", "")
}

func TestApprovalExpires(t *testing.T) {
	l := network(t)
	l.govern(`"stages":[{"name":"staging","approvals":{"min":2,"expires":"1h"}}]`)
	l.pushed("v1")
	l.do("publisher@VendorMSP", about("promotion:Request", "v1", "staging")...)
	l.approve("release-manager@AuditMSP", "v1", "staging")
	l.now = l.now.Add(time.Hour)
	expect(t, "the first has expired", l.approve("release-manager@SecurityMSP", "v1", "staging"), policy.Pending, "approvals", policy.Unmet)
	expect(t, "renewed", l.approve("release-manager@AuditMSP", "v1", "staging"), policy.Allowed, "", "")
}

func TestIndexReleasesItsPlatforms(t *testing.T) {
	l := network(t)
	child, index := push("", "amd64"), index("index", digestOf("amd64"))
	if _, _, err := l.segment("gateway@VendorMSP", host, 1, child, index); err != nil {
		t.Fatal(err)
	}
	expect(t, "before", l.ask("amd64", "staging"), policy.Pending, "", "")
	l.do("publisher@VendorMSP", about("promotion:Request", "index", "staging")...)
	v := l.approve("release-manager@AuditMSP", "index", "staging")
	expect(t, "the index", v, policy.Allowed, "", "")
	expect(t, "released with its index", l.ask("amd64", "staging"), policy.Allowed, "", "")
	if v := l.ask("index", "staging"); len(v.Children) != 1 || v.Children[0] != (policy.ChildVerdict{Digest: child.Digest, Verdict: policy.Allowed}) {
		t.Errorf("an index lists its platforms: %+v", v.Children)
	}
	l.do("scanner@AuditMSP", "quarantine:Set", index.Digest.String(), "bad build")
	expect(t, "quarantined with its index", l.ask("amd64", "staging"), policy.Quarantined, "", "")
	l.do("admin@AuditMSP", "quarantine:Lift", index.Digest.String(), "rebuilt")
	l.do("scanner@AuditMSP", "quarantine:Set", child.Digest.String(), "bad platform")
	expect(t, "an index with a quarantined platform", l.ask("index", "staging"), policy.Quarantined, "", "")
}

func TestApproveReadsItsArguments(t *testing.T) {
	l := network(t)
	l.pushed("v1")
	l.do("publisher@VendorMSP", about("promotion:Request", "v1", "staging")...)
	v := l.ask("v1", "staging")
	set, hash := v.EvidenceSet, v.Policy.Hash
	for name, c := range map[string]struct {
		code provenance.Code
		args []string
	}{
		"no policy":       {provenance.Invalid, []string{"1", "", hash, set, "ok"}},
		"no hash":         {provenance.Invalid, []string{"1", "default@1", "", set, "ok"}},
		"no evidence set": {provenance.Invalid, []string{"1", "default@1", hash, "", "ok"}},
		"other policy":    {provenance.Stale, []string{"1", "other@1", hash, set, "ok"}},
		"other version":   {provenance.Stale, []string{"1", "default@2", hash, set, "ok"}},
		"other text":      {provenance.Stale, []string{"1", "default@1", set, set, "ok"}},
		"other set":       {provenance.Stale, []string{"1", "default@1", hash, strings.Repeat("0", 64), "ok"}},
		"other request":   {provenance.Stale, []string{"2", "default@1", hash, set, "ok"}},
		"long reason":     {provenance.Invalid, []string{"1", "default@1", hash, set, strings.Repeat("x", maxReason+1)}},
		"no text":         {provenance.Invalid, []string{"1", "default@1", hash, set, "\xff"}},
		"turned text":     {provenance.Invalid, []string{"1", "default@1", hash, set, "\u202eko"}},
	} {
		_, writes, err := l.invoke("release-manager@AuditMSP", nil, about("promotion:Approve", "v1", "staging", c.args...)...)
		if provenance.CodeOf(err) != c.code || len(writes) > 0 {
			t.Errorf("%s: %v, %d writes, want %s", name, err, len(writes), c.code)
		}
	}
	l.refused(provenance.NotFound, "release-manager@AuditMSP", approvalOf(v, "v1", "nowhere", "ok")...)
	l.refused(provenance.NotFound, "release-manager@AuditMSP", approvalOf(v, "never pushed", "staging", "ok")...)
	l.do("scanner@SecurityMSP", "quarantine:Set", digestOf("v1").String(), "CVE")
	l.refused(provenance.Quarantined, "release-manager@AuditMSP", approvalOf(v, "v1", "staging", "ok")...)
	l.refused(provenance.Quarantined, "publisher@VendorMSP", about("promotion:Request", "v1", "staging")...)
}

// txID is the id of the last transaction.
func (l *ledger) txID() string { return fmt.Sprintf("%064x", l.txs) }
