package contract

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

func publicKey(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// quiet expects success without a write.
func (l *ledger) quiet(who string, args ...string) {
	l.t.Helper()
	if _, writes, err := l.invoke(who, nil, args...); err != nil || len(writes) != 0 {
		l.t.Errorf("%s %v: %d writes, %v; want success without one", who, args, len(writes), err)
	}
}

func TestKeys(t *testing.T) {
	l := network(t)
	text := publicKey(t)
	stamp := func(d time.Duration) string { return l.now.Add(d).Format(time.RFC3339) }
	soon, late := stamp(time.Hour), stamp(48*time.Hour)
	add := func(name string, more ...string) []string { return append([]string{"key:Add", name}, more...) }
	var k state.TrustKey
	if err := json.Unmarshal([]byte(l.do("admin@VendorMSP", add("build", "public-key", text, soon, late)...)), &k); err != nil {
		t.Fatal(err)
	}
	if k.MSP != "VendorMSP" || len(k.Fingerprint) != 64 || k.NotBefore.Format(time.RFC3339) != soon || k.NotAfter.Format(time.RFC3339) != late {
		t.Errorf("%+v", k)
	}
	l.quiet("admin@VendorMSP", add("build", "public-key", text, soon, late)...)
	l.do("admin@AuditMSP", add("build", "public-key", text, "", "")...) // names are an organisation's own
	for _, args := range [][]string{
		add("build", "public-key", text, "", late), add("build", "public-key", publicKey(t), soon, late),
	} {
		l.refused(provenance.Conflict, "admin@VendorMSP", args...)
	}
	for _, args := range [][]string{
		add("Build", "public-key", text, "", ""), add("", "public-key", text, "", ""), add("k", "password", text, "", ""), add("k", "certificate-root", text, "", ""),
		add("k", "public-key", "", "", ""), add("k", "public-key", text+text, "", ""), add("k", "public-key", text, "tomorrow", ""),
		add("k", "public-key", text, "", "2026-03-02"), add("k", "public-key", text, late, soon), add("k", "public-key", text, late, late),
		add("k", "public-key", text, "", stamp(-time.Hour)),
	} {
		l.refused(provenance.Invalid, "admin@VendorMSP", args...)
	}

	l.refused(provenance.Invalid, "admin@VendorMSP", "key:Withdraw", "build", " ", "")
	l.refused(provenance.Invalid, "admin@VendorMSP", "key:Withdraw", "build", "lost", "yesterday")
	l.refused(provenance.Invalid, "admin@VendorMSP", "key:Withdraw", "build", "lost", stamp(time.Hour))
	l.refused(provenance.NotFound, "admin@SecurityMSP", "key:Withdraw", "build", "not ours", "")
	l.do("admin@VendorMSP", "key:Withdraw", "build", "rotated", "")
	l.quiet("admin@VendorMSP", "key:Withdraw", "build", "again", "")
	l.do("admin@VendorMSP", "key:Withdraw", "build", "found in a log", stamp(-time.Minute))
	l.quiet("admin@VendorMSP", "key:Withdraw", "build", "later is no news", stamp(-time.Second))
	l.do("admin@VendorMSP", "key:Withdraw", "build", "and earlier", stamp(-time.Hour))
	l.refused(provenance.Conflict, "admin@VendorMSP", add("build", "public-key", text, soon, late)...)
	var list []state.TrustKey
	if err := json.Unmarshal([]byte(l.do("stranger@AuditMSP", "key:List")), &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 || list[0].Withdrawn != nil || list[1].Withdrawn == nil || list[1].Withdrawn.Reason != "and earlier" {
		t.Errorf("%+v", list)
	}
}

func TestSchemas(t *testing.T) {
	l := network(t)
	text := `{"type":"object","properties":{"passed":{"type":"integer"}}}`
	l.do("admin@SecurityMSP", "schema:Add", "load-test", text)
	l.quiet("admin@SecurityMSP", "schema:Add", "load-test", strings.ReplaceAll(text, ":", ": "))
	l.refused(provenance.Conflict, "admin@SecurityMSP", "schema:Add", "load-test", `{"type":"object"}`)
	for _, name := range []string{"", "Load", "a/b"} {
		l.refused(provenance.Invalid, "admin@SecurityMSP", "schema:Add", name, text)
	}
	for _, bad := range []string{"", "true", `{"type":"array"}`, `{"type":"object","format":"date"}`, `{"type":"object","type":"object"}`} {
		l.refused(provenance.Invalid, "admin@SecurityMSP", "schema:Add", "other", bad)
	}
	var list []state.Schema
	if err := json.Unmarshal([]byte(l.do("stranger@AuditMSP", "schema:List")), &list); err != nil || len(list) != 1 || list[0].MSP != "SecurityMSP" {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestNamesAreOnesOwn: nobody takes the name of a schema away from another.
func TestNamesAreOnesOwn(t *testing.T) {
	l := network(t)
	l.do("admin@AuditMSP", "schema:Add", "load-test", `{"type":"object"}`)
	l.do("admin@SecurityMSP", "schema:Add", "load-test", `{"type":"object","properties":{"passed":{"type":"integer"}}}`)
}

func TestContext(t *testing.T) {
	l := network(t)
	set := func(name, value string) []string { return []string{"context:Set", name, value} }
	l.do("scanner@SecurityMSP", set("incident", "true")...)
	l.do("gateway@SecurityMSP", set("openTickets", "7")...)
	l.do("release-manager@AuditMSP", set("phase", `"audit"`)...)
	l.quiet("gateway@SecurityMSP", set("openTickets", " 7 ")...)
	l.quiet("gateway@SecurityMSP", set("never", "null")...)
	l.refused(provenance.Forbidden, "auditor@SecurityMSP", set("incident", "false")...)
	for _, bad := range []string{"", "1.5", "1e3", "9007199254740993", "[]", "{}", "yes", "1 2", `"` + strings.Repeat("x", 256) + `"`, "\"\xff\""} {
		l.refused(provenance.Invalid, "scanner@SecurityMSP", set("x", bad)...)
	}
	for _, bad := range []string{"", "Incident", "a-b", "a.b", strings.Repeat("a", 64)} {
		l.refused(provenance.Invalid, "scanner@SecurityMSP", set(bad, "1")...)
	}
	list := func() (got []ContextEntry) {
		if err := json.Unmarshal([]byte(l.do("stranger@AuditMSP", "context:List")), &got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	got := list()
	if len(got) != 2 || got[0].Values["phase"].Value != "audit" || got[1].Values["incident"].Value != true || got[1].Values["openTickets"].Value != int64(7) {
		t.Errorf("%+v", got)
	}
	l.do("scanner@SecurityMSP", set("incident", "null")...)
	if _, ok := list()[1].Values["incident"]; ok {
		t.Error("null does not remove")
	}
	for i := len(list()[1].Values); i < state.MaxContext; i++ {
		l.do("scanner@SecurityMSP", set(fmt.Sprintf("v%d", i), "1")...)
	}
	l.refused(provenance.Conflict, "scanner@SecurityMSP", set("onemore", "1")...)
	l.do("scanner@SecurityMSP", set("v9", "2")...)
}

func TestLabels(t *testing.T) {
	l := network(t)
	set := func(name, value string) []string { return []string{"label:Set", host, repo, name, value} }
	l.do("admin@VendorMSP", set("tier", "critical")...)
	l.do("admin@VendorMSP", set("owner/team", "payments")...)
	l.quiet("admin@VendorMSP", set("tier", "critical")...)
	l.quiet("admin@VendorMSP", set("nothing", "")...)
	l.refused(provenance.Forbidden, "admin@AuditMSP", set("tier", "low")...)
	l.refused(provenance.NotFound, "admin@VendorMSP", "label:Set", "other.example", repo, "tier", "low")
	l.refused(provenance.Invalid, "admin@VendorMSP", "label:Set", host, "../x", "tier", "low")
	for _, name := range []string{"", "Tier", "-a", strings.Repeat("a", 64)} {
		l.refused(provenance.Invalid, "admin@VendorMSP", set(name, "x")...)
	}
	for _, value := range []string{strings.Repeat("x", 257), "\xff", "a\nb"} {
		l.refused(provenance.Invalid, "admin@VendorMSP", set("tier", value)...)
	}
	l.do("admin@VendorMSP", set("owner/team", "")...)
	var got state.Labels
	if err := json.Unmarshal([]byte(l.do("stranger@AuditMSP", "label:List", host, repo)), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"tier": "critical"}, got.Labels); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for i := 1; i < state.MaxLabels; i++ {
		l.do("admin@VendorMSP", set(fmt.Sprintf("l%d", i), "x")...)
	}
	l.refused(provenance.Conflict, "admin@VendorMSP", set("onemore", "x")...)
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
