package contract

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// enrol gives somebody a new certificate with the given organisational units.
func (l *ledger) enrol(who string, units ...string) {
	l.t.Helper()
	name, mspID, _ := strings.Cut(who, "@")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		l.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(int64(l.txs) + 2), Subject: pkix.Name{CommonName: name, OrganizationalUnit: units}, NotAfter: l.now.AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		l.t.Fatal(err)
	}
	b, err := proto.Marshal(&msp.SerializedIdentity{Mspid: mspID, IdBytes: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})})
	if err != nil {
		l.t.Fatal(err)
	}
	l.certs[who] = b
}

// approvals returns how the quorum stands: the outcome, and how it is told.
func (l *ledger) quorum(content, stage string) (policy.Outcome, string) {
	l.t.Helper()
	for _, r := range l.ask(content, stage).Reasons {
		if r.Rule == "approvals" {
			return r.Outcome, r.Detail
		}
	}
	l.t.Fatalf("no approvals rule in the verdict on %s", content)
	return "", ""
}

// TestApprovalBypass tries every way around the quorum that the design names.
// "staging" asks for two organisations; AuditMSP has approved already, so that
// one more voice from anywhere would release.
func TestApprovalBypass(t *testing.T) {
	ready := func(t *testing.T, approvals string) *ledger {
		t.Helper()
		l := network(t)
		l.govern(`"stages":[{"name":"staging","approvals":` + approvals + `,
			"evidence":[{"name":"scan","type":"vuln-scan","signers":[{"org":"SecurityMSP","role":"scanner"}],"condition":"facts.critical == 0"}]}]`)
		l.pushed("v1", "v2")
		for _, c := range []string{"v1", "v2"} {
			l.brings(brought{"scanner@SecurityMSP", c, "", "plain", "", "", stated(c, "vuln-scan", scanned(0), "")})
		}
		l.do("release-manager@PlatformMSP", about("promotion:Request", "v1", "staging")...)
		expect(t, "one of two", l.approve("release-manager@AuditMSP", "v1", "staging"), policy.Pending, "approvals", policy.Unmet)
		return l
	}
	const two = `{"min":2}`
	// still tells that the quorum stands where it stood.
	still := func(t *testing.T, l *ledger) {
		t.Helper()
		if outcome, detail := l.quorum("v1", "staging"); outcome != policy.Unmet || !strings.HasPrefix(detail, "1 of 2") {
			t.Errorf("the quorum moved: %s, %s", outcome, detail)
		}
		if _, released := l.state[subject("v1", "staging").ReleasedKey()]; released {
			t.Error("released")
		}
	}

	for _, c := range []struct {
		name, who string
		code      provenance.Code
		prepare   func(l *ledger)
	}{
		{"by the organisation that pushed it", "release-manager@VendorMSP", provenance.Forbidden, nil},
		{"by the requester", "release-manager@PlatformMSP", provenance.Forbidden, nil},
		{"by the requester, enrolled again", "release-manager@PlatformMSP", provenance.Forbidden, func(l *ledger) { l.enrol("release-manager@PlatformMSP", "client") }},
		{"without a role", "stranger@SecurityMSP", provenance.Forbidden, nil},
		{"with another role than the rule's", "auditor@SecurityMSP", provenance.Forbidden, nil},
		{"as admin alone", "admin@SecurityMSP", provenance.Forbidden, nil},
		{"from outside", "release-manager@OutsiderMSP", provenance.Forbidden, nil},
		{"by a robot by grant", "release-manager@SecurityMSP", provenance.Forbidden, func(l *ledger) { l.do("admin@SecurityMSP", "member:Grant", "release-manager", "robot") }},
		{"by a gateway made release manager", "gateway@SecurityMSP", provenance.Forbidden, func(l *ledger) { l.do("admin@SecurityMSP", "member:Grant", "gateway", "release-manager") }},
		{"by a robot by certificate", "release-manager@SecurityMSP", provenance.Forbidden, func(l *ledger) { l.enrol("release-manager@SecurityMSP", "client", "robot") }},
		{"with a role that was revoked", "release-manager@SecurityMSP", provenance.Forbidden, func(l *ledger) { l.do("admin@SecurityMSP", "member:Revoke", "release-manager", "release-manager") }},
		{"with a role from another organisation's admin", "ann@SecurityMSP", provenance.Forbidden, func(l *ledger) {
			// A grant cannot name an organisation; the nearest is a name that looks like one.
			l.do("admin@AuditMSP", "member:Grant", "ann@SecurityMSP", "release-manager")
			l.do("admin@AuditMSP", "member:Grant", "ann", "release-manager")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := ready(t, two)
			if c.prepare != nil {
				c.prepare(l)
			}
			l.refused(c.code, c.who, l.approval("v1", "staging", "let me")...)
			still(t, l)
		})
	}

	for name, prepare := range map[string]func(l *ledger) string{
		"by a second person of the same organisation": func(l *ledger) string {
			l.do("admin@AuditMSP", "member:Grant", "deputy", "release-manager")
			return "deputy@AuditMSP"
		},
		"by the same person enrolled again": func(l *ledger) string {
			l.enrol("release-manager@AuditMSP", "client")
			return "release-manager@AuditMSP"
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := ready(t, two)
			who := prepare(l)
			if _, writes, err := l.invoke(who, nil, l.approval("v1", "staging", "twice")...); err != nil || len(writes) != 0 {
				t.Errorf("%d writes, %v; want success without a write", len(writes), err)
			}
			still(t, l)
		})
	}

	t.Run("an approval of another image", func(t *testing.T) {
		l := ready(t, two)
		l.do("release-manager@PlatformMSP", about("promotion:Request", "v2", "staging")...)
		// The words for v2, sent for v1: the evidence is not v1's.
		words := l.approval("v2", "staging", "fine")
		replayed := slices.Clone(words)
		replayed[3] = digestOf("v1").String()
		l.refused(provenance.Stale, "release-manager@SecurityMSP", replayed...)
		still(t, l)
		// And what is said of v2 is said of v2 alone.
		l.do("release-manager@SecurityMSP", words...)
		still(t, l)
	})
	t.Run("an approval of another stage", func(t *testing.T) {
		l := ready(t, two)
		l.refused(provenance.NotFound, "release-manager@SecurityMSP", approvalOf(l.ask("v1", "staging"), "v1", "canary", "fine")...)
		still(t, l)
	})
	t.Run("an approval of an earlier attempt", func(t *testing.T) {
		l := ready(t, two)
		for _, org := range []string{"AuditMSP", "SecurityMSP"} {
			l.do("release-manager@"+org, about("promotion:Reject", "v1", "staging", l.attempt("v1", "staging"), "no")...)
		}
		l.do("release-manager@VendorMSP", about("promotion:Request", "v1", "staging")...)
		if outcome, detail := l.quorum("v1", "staging"); outcome != policy.Unmet || !strings.HasPrefix(detail, "0 of 2") {
			t.Errorf("the second attempt begins with %s, %s", outcome, detail)
		}
	})
	t.Run("words that were made before the evidence changed", func(t *testing.T) {
		l := ready(t, two)
		words := l.approval("v1", "staging", "looked fine")
		l.brings(brought{"scanner@SecurityMSP", "v1", "", "plain", "", "", stated("v1", "vuln-scan", scanned(2), "")})
		l.refused(provenance.Stale, "release-manager@SecurityMSP", words...)
	})
	t.Run("an approval that stood before the evidence changed", func(t *testing.T) {
		l := ready(t, two)
		l.brings(brought{"scanner@SecurityMSP", "v1", "", "plain", "", "", stated("v1", "vuln-scan", scanned(2), "")})
		expect(t, "the scan fails now", l.approve("release-manager@SecurityMSP", "v1", "staging"), policy.Denied, "evidence/scan", policy.Violated)
		if _, detail := l.quorum("v1", "staging"); !strings.Contains(detail, "stale") {
			t.Errorf("AuditMSP's approval is not told to be stale: %s", detail)
		}
		first := brought{"scanner@SecurityMSP", "v1", "", "plain", "", "", stated("v1", "vuln-scan", scanned(0), "")}
		if s := l.brings(first); !s.Known || s.Counts {
			t.Errorf("the old scan came back as new: %+v", s)
		}
		first.envelope = stated("v1", "vuln-scan", scanned(0), "2027-01-01T00:00:00Z")
		l.brings(first)
		// Both saw the rule met or failing at the worst; it is met again.
		expect(t, "clean again", l.verdict("release-manager@VendorMSP", about("release:Release", "v1", "staging")...), policy.Allowed, "", "")
	})
	t.Run("words that were made under another policy", func(t *testing.T) {
		l := ready(t, two)
		words := l.approval("v1", "staging", "fine")
		l.govern(`"stages":[{"name":"staging","approvals":{"min":2},"evidence":[{"name":"scan","type":"vuln-scan","signers":[{"org":"SecurityMSP","role":"scanner"}]}]}]`)
		l.refused(provenance.Stale, "release-manager@SecurityMSP", words...)
		still(t, l)
	})
	t.Run("an approval that stood before a rule was added", func(t *testing.T) {
		l := ready(t, two)
		l.govern(`"stages":[{"name":"staging","approvals":{"min":2},"evidence":[{"name":"scan","type":"vuln-scan","signers":[{"org":"SecurityMSP","role":"scanner"}]},
			{"name":"clean","type":"vuln-scan","signers":[{"org":"SecurityMSP","role":"scanner"}],"condition":"facts.high == 0"}]}]`)
		expect(t, "one that saw it", l.approve("release-manager@SecurityMSP", "v1", "staging"), policy.Pending, "approvals", policy.Unmet)
		if _, detail := l.quorum("v1", "staging"); !strings.Contains(detail, "evidence/clean") {
			t.Errorf("AuditMSP's approval is not told to be stale: %s", detail)
		}
		expect(t, "asked again", l.approve("release-manager@AuditMSP", "v1", "staging"), policy.Allowed, "", "")
	})
	t.Run("an approval that stood before a quarantine", func(t *testing.T) {
		l := ready(t, two)
		l.do("scanner@SecurityMSP", "quarantine:Set", digestOf("v1").String(), "CVE")
		l.do("admin@SecurityMSP", "quarantine:Lift", digestOf("v1").String(), "false alarm")
		expect(t, "one since", l.approve("release-manager@SecurityMSP", "v1", "staging"), policy.Pending, "approvals", policy.Unmet)
		expect(t, "asked again", l.approve("release-manager@AuditMSP", "v1", "staging"), policy.Allowed, "", "")
	})
	t.Run("by a change of the policy by a minority", func(t *testing.T) {
		l := ready(t, two)
		before := read[state.Catalogue](l, state.PoliciesKey())
		weak := `{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":"default"},"spec":{"match":["reg.example:5000/team/**"],"stages":[{"name":"staging","approvals":{"min":1}}]}}`
		for range 3 {
			for _, org := range []string{"AuditMSP", "PlatformMSP"} {
				l.do("admin@"+org, "proposal:Open", "policy", weak)
			}
		}
		if after := read[state.Catalogue](l, state.PoliciesKey()); after.Policies[0].Version != before.Policies[0].Version {
			t.Errorf("two of four changed the policy: %+v", after)
		}
		still(t, l)
	})
	t.Run("by the builder where it is excluded", func(t *testing.T) {
		l := ready(t, `{"min":2,"exclude":[]}`)
		l.govern(`"stages":[{"name":"staging","approvals":{"min":2,"exclude":["builder"]},"evidence":[{"name":"built","type":"slsa-provenance","signers":[{"org":"SecurityMSP","role":"publisher"}]}]}]`)
		l.brings(brought{"publisher@SecurityMSP", "v1", "", "plain", "", "", stated("v1", "slsa-provenance", `{"builder":"b","buildType":"t","sourceUri":"u","sourceCommit":"c","parameters":{}}`, "")})
		l.approve("release-manager@AuditMSP", "v1", "staging")
		l.refused(provenance.Forbidden, "release-manager@SecurityMSP", l.approval("v1", "staging", "mine")...)
		still(t, l)
	})
	t.Run("evidence in another organisation's name", func(t *testing.T) {
		l := ready(t, two)
		mine := l.key("AuditMSP", "scan", "")
		l.key("SecurityMSP", "scan", "")
		b := brought{"scanner@AuditMSP", "v1", "", "dsse", "SecurityMSP", "scan", signed(t, stated("v1", "vuln-scan", scanned(0), ""), mine)}
		if _, _, err := l.bring(b); provenance.CodeOf(err) != provenance.BadEvidence {
			t.Errorf("a forged organisation: %v", err)
		}
		// Plain evidence is the submitter's own word, whatever it says.
		s := l.brings(brought{"scanner@AuditMSP", "v1", "", "plain", "", "", stated("v1", "vuln-scan", scanned(0), "")})
		if e := read[state.Evidence](l, state.EvidenceKey(digestOf("v1"), "vuln-scan", s.ID)); e.Signer.MSP != "AuditMSP" {
			t.Errorf("signed as %+v", e.Signer)
		}
	})
}

// Where the rule says so, robots count, and another role than the usual.
func TestApprovalsByOthers(t *testing.T) {
	l := network(t)
	l.govern(`"stages":[{"name":"staging","approvals":{"min":2,"role":"auditor","robots":true}}]`)
	l.pushed("v1")
	l.do("publisher@VendorMSP", about("promotion:Request", "v1", "staging")...)
	l.refused(provenance.Forbidden, "release-manager@AuditMSP", l.approval("v1", "staging", "")...)
	expect(t, "an auditor", l.approve("auditor@AuditMSP", "v1", "staging"), policy.Pending, "approvals", policy.Unmet)
	l.do("admin@SecurityMSP", "member:Grant", "scanner", "robot")
	expect(t, "a robot", l.approve("scanner@SecurityMSP", "v1", "staging"), policy.Allowed, "", "")
	if rel := read[state.Release](l, subject("v1", "staging").ReleasedKey()); !rel.Auto {
		t.Errorf("a robot's last word is an automatic release: %+v", rel)
	}
}

// A waiver lets one rule go for a while; the release must come before its end.
func TestWaiverEnds(t *testing.T) {
	for name, c := range map[string]struct {
		wait time.Duration
		want policy.Answer
	}{
		"in time":  {time.Minute, policy.Allowed},
		"too late": {2 * time.Hour, policy.Pending},
	} {
		t.Run(name, func(t *testing.T) {
			l := network(t)
			l.govern(`"waivers":{"min":2,"maxDuration":"1d"},"stages":[{"name":"staging","approvals":{"min":1},
				"evidence":[{"name":"scan","type":"vuln-scan","signers":[{"org":"SecurityMSP","role":"scanner"}]}]}]`)
			l.pushed("v1")
			l.do("publisher@VendorMSP", about("promotion:Request", "v1", "staging")...)
			var w state.Waiver
			out := l.do("release-manager@VendorMSP", "waiver:Request", host, repo, "", "staging", "evidence/scan", "scanner is down", l.now.Add(time.Hour).Format(time.RFC3339))
			if err := state.Decode([]byte(out), &w); err != nil {
				t.Fatal(err)
			}
			expect(t, "one of two agreed", l.ask("v1", "staging"), policy.Pending, "evidence/scan", policy.Unmet)
			l.do("release-manager@AuditMSP", "waiver:Approve", host, repo, w.ID)
			expect(t, "waived", l.ask("v1", "staging"), policy.Pending, "evidence/scan", policy.Waived)
			l.now = l.now.Add(c.wait)
			expect(t, "approved", l.approve("release-manager@AuditMSP", "v1", "staging"), c.want, "", "")
		})
	}
}
