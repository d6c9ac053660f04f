package contract

import (
	"fmt"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// What test/model found: each of these diverged from the law there.

// TestEvidenceAboutWhatAnIndexLists: a platform image that nobody pushed by itself
// may be spoken of once an index that lists it is on the ledger. Where the index
// was proven later it was not, and it was no more once the registry's owner had
// made and deleted enough other indexes of it.
func TestEvidenceAboutWhatAnIndexLists(t *testing.T) {
	plain := func(who, content string) brought {
		return brought{who: who, content: content, format: string(evidence.FormatPlain), envelope: stated(content, "vuln-scan", scanned(1), "")}
	}
	t.Run("proven later", func(t *testing.T) {
		l := network(t)
		bare := index("bare", digestOf("amd64"))
		if _, _, err := l.segmentWith("gateway@VendorMSP", host, 1, nil, bare); err != nil {
			t.Fatal(err)
		}
		if _, _, err := l.bring(plain("scanner@SecurityMSP", "amd64")); provenance.CodeOf(err) != provenance.NotFound {
			t.Errorf("of an index that proves nothing: %v", err)
		}
		body := bodies.of[bare.Digest]
		for range 2 {
			if _, _, err := l.invoke("gateway@AuditMSP", map[string][]byte{"manifest": body}, "record:Manifest", host, repo, bare.Digest.String()); err != nil {
				t.Fatal(err)
			}
		}
		l.brings(plain("scanner@SecurityMSP", "amd64"))
	})
	t.Run("crowded out", func(t *testing.T) {
		l := network(t)
		l.record(index("multi", digestOf("arm64")))
		for i := range state.MaxParents {
			l.record(index(fmt.Sprint("mass ", i), digestOf("arm64")))
		}
		for i := range state.MaxParents {
			l.record(deleted(fmt.Sprint("mass ", i)))
		}
		l.brings(plain("scanner@SecurityMSP", "arm64"))
	})
}

// TestNoRollbackRenewsTheGrace: one release manager who went back and forth
// between two releases kept an image allowed whose rule had failed for long.
func TestNoRollbackRenewsTheGrace(t *testing.T) {
	l := network(t)
	l.govern(`"stages":[{"name":"staging","grace":"1h","approvals":{"min":0,"exclude":[]},
	 "evidence":[{"name":"scan","type":"vuln-scan","signers":[{"org":"SecurityMSP","role":"scanner"}],"condition":"facts.critical == 0","continuous":true}]}]`)
	scan := func(content string, critical int) {
		l.brings(brought{who: "scanner@SecurityMSP", content: content, format: string(evidence.FormatPlain), envelope: stated(content, "vuln-scan", scanned(critical), "")})
	}
	for _, content := range []string{"v1", "v2"} {
		l.pushed(content)
		scan(content, 0)
		l.do("publisher@VendorMSP", about("promotion:Request", content, "staging")...)
		expect(t, content, l.ask(content, "staging"), policy.Allowed, "", "")
	}
	scan("v1", 3)
	for range 4 {
		l.now = l.now.Add(20 * time.Minute)
		for _, content := range []string{"v1", "v2"} {
			l.do("release-manager@VendorMSP", about("release:Release", content, "staging")...)
		}
	}
	expect(t, "after more than the grace", l.ask("v1", "staging"), policy.Denied, "evidence/scan", policy.Violated)
}

// TestGrantedAgain: a role that a stolen admin gave counts no more, and for the
// next admin to give it again was success and did nothing.
func TestGrantedAgain(t *testing.T) {
	l := network(t)
	l.enrol("second@AuditMSP", "admin")
	since := l.now
	l.do("second@AuditMSP", "member:Grant", "deputy", "release-manager")
	l.takeBack("AuditMSP", "second", since)
	l.pushed("v1")
	l.refused(provenance.Forbidden, "deputy@AuditMSP", about("promotion:Request", "v1", "staging")...)
	l.do("admin@AuditMSP", "member:Grant", "deputy", "release-manager")
	l.do("deputy@AuditMSP", about("promotion:Request", "v1", "staging")...)
	_, writes, err := l.invoke("admin@AuditMSP", nil, "member:Grant", "deputy", "release-manager")
	if err != nil || len(writes) > 0 {
		t.Errorf("the same again: %d writes, %v; want success without a write", len(writes), err)
	}
}

// TestSoakIsNotBeatenByWhatActsClaim: a release that claimed to be two minutes old
// and lay until the next tick, and one after it that claimed to be two minutes
// ahead, took five minutes from a soak. What is left to a claim is one.
func TestSoakIsNotBeatenByWhatActsClaim(t *testing.T) {
	l := network(t)
	l.govern(`"stages":[{"name":"staging","approvals":{"min":1}},{"name":"production","from":"staging","soak":"10m","approvals":{"min":1}}]`)
	l.pushed("v1")
	l.do("publisher@VendorMSP", about("promotion:Request", "v1", "staging")...)
	word := l.approval("v1", "staging", "ok")
	l.stopped = true
	minute := l.now.Truncate(time.Minute).Add(2 * time.Minute)
	at := func(claimed time.Duration, who string, args ...string) {
		l.now = minute.Add(claimed - time.Second) // an act takes one
		l.do(who, args...)
	}
	at(time.Second, "gateway@AuditMSP", "clock:Tick")
	at(-2*time.Minute, "release-manager@AuditMSP", word...)
	// It is committed just before the next tick, at minute + 59 s.
	for range 5 {
		minute = minute.Add(time.Minute)
		at(time.Second, "gateway@AuditMSP", "clock:Tick")
	}
	at(0, "publisher@VendorMSP", about("promotion:Request", "v1", "production")...)
	expect(t, "after four minutes", l.ask("v1", "production"), policy.Pending, "soak", policy.Unmet)
	for range 3 {
		minute = minute.Add(time.Minute)
		at(time.Second, "gateway@AuditMSP", "clock:Tick")
	}
	l.now = minute.Add(2*time.Minute - time.Second)
	expect(t, "after seven minutes, dated nine", l.ask("v1", "production"), policy.Pending, "soak", policy.Unmet)
	minute = minute.Add(time.Minute)
	at(time.Second, "gateway@AuditMSP", "clock:Tick")
	l.now = minute.Add(2*time.Minute - time.Second)
	expect(t, "after eight, dated ten", l.ask("v1", "production"), policy.Pending, "soak", policy.Unmet)
	minute = minute.Add(time.Minute)
	at(time.Second, "gateway@AuditMSP", "clock:Tick")
	l.now = minute.Add(2*time.Minute - time.Second)
	expect(t, "after nine, dated eleven", l.ask("v1", "production"), policy.Pending, "soak", policy.Satisfied)
}
