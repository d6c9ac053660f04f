package contract

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// stated is Waybill's own statement of facts about the image with that content.
func stated(content, typ, facts, madeAt string) []byte {
	_, hex, _ := strings.Cut(digestOf(content).String(), ":")
	made := ""
	if madeAt != "" {
		made = `,"madeAt":"` + madeAt + `"`
	}
	return fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"%s"}}],"predicateType":"https://waybill.dev/evidence/%s/v1","predicate":{"document":{"sha256":"%s","size":1,"predicateType":""},"facts":%s%s}}`,
		hex, typ, strings.Repeat("ab", 32), facts, made)
}

func scanned(critical int) string {
	return fmt.Sprintf(`{"critical":%d,"high":0,"medium":0,"low":0,"negligible":0,"unknown":0,"total":%d,"fixable":0,"findings":[],"truncated":false,"scanner":"trivy"}`, critical, critical)
}

func tested(result string) string {
	return `{"result":"` + result + `","passed":1,"warned":0,"failed":0}`
}

// signed wraps a statement in a DSSE envelope.
func signed(t testing.TB, payload []byte, keys ...*ecdsa.PrivateKey) []byte {
	t.Helper()
	const payloadType = "application/vnd.in-toto+json"
	sum := sha256.Sum256(fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload))
	var signatures []map[string]string
	for _, key := range keys {
		sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		signatures = append(signatures, map[string]string{"sig": base64.StdEncoding.EncodeToString(sig)})
	}
	b, err := json.Marshal(map[string]any{"payloadType": payloadType, "payload": base64.StdEncoding.EncodeToString(payload), "signatures": signatures})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// key makes a key and registers it for an organisation.
func (l *ledger) key(org, name, notAfter string) *ecdsa.PrivateKey {
	l.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		l.t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		l.t.Fatal(err)
	}
	l.do("admin@"+org, "key:Add", name, string(evidence.PublicKey), string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), "", notAfter)
	return key
}

// brought is one submission.
type brought struct {
	who, content, typ, format, org, key string
	envelope                            []byte
}

func (l *ledger) bring(b brought) (Submitted, map[string][]byte, error) {
	l.t.Helper()
	var s Submitted
	out, writes, err := l.invoke(b.who, map[string][]byte{"envelope": b.envelope}, "evidence:Submit", host, repo,
		digestOf(b.content).String(), b.typ, b.format, b.org, b.key, "")
	if err != nil {
		return s, writes, err
	}
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		l.t.Fatal(err)
	}
	return s, writes, nil
}

func (l *ledger) brings(b brought) Submitted {
	l.t.Helper()
	s, _, err := l.bring(b)
	if err != nil {
		l.t.Fatalf("%s: %v", b.who, err)
	}
	return s
}

func (l *ledger) evidenceOf(content string) map[string]bool {
	l.t.Helper()
	var list []EvidenceView
	if err := json.Unmarshal([]byte(l.do("auditor@AuditMSP", "evidence:List", digestOf(content).String())), &list); err != nil {
		l.t.Fatal(err)
	}
	counts := map[string]bool{}
	for _, e := range list {
		counts[e.Evidence.ID] = e.Counts
	}
	return counts
}

func TestEvidenceOnce(t *testing.T) {
	l := network(t)
	l.pushed("v1")
	key := l.key("SecurityMSP", "scan", "")
	dsse := brought{"gateway@VendorMSP", "v1", "", "dsse", "SecurityMSP", "scan", signed(t, stated("v1", "vuln-scan", scanned(1), ""), key)}
	first := l.brings(dsse)
	if first != (Submitted{ID: evidence.ID("dsse", dsse.envelope), Type: "vuln-scan", Counts: true}) {
		t.Errorf("first: %+v", first)
	}
	again := dsse
	again.who, again.typ = "scanner@SecurityMSP", "vuln-scan"
	s, writes, err := l.bring(again)
	if err != nil || len(writes) != 0 || s != (Submitted{ID: first.ID, Type: "vuln-scan", Known: true, Counts: true}) {
		t.Errorf("again: %+v, %d writes, %v", s, len(writes), err)
	}
	record := read[state.Evidence](l, state.EvidenceKey(digestOf("v1"), "vuln-scan", first.ID))
	if record.Signer.Kind != policy.SignedByKey || record.Signer.MSP != "SecurityMSP" || record.By.MSP != "VendorMSP" || string(record.Facts) == "" {
		t.Errorf("the record: %+v", record)
	}

	// A newer scan by the same key takes its place, an older one does not.
	l.now = l.now.Add(time.Hour)
	newer, older := dsse, dsse
	newer.envelope = signed(t, stated("v1", "vuln-scan", scanned(0), ""), key)
	older.envelope = signed(t, stated("v1", "vuln-scan", scanned(2), "2026-01-01T00:00:00Z"), key)
	n, o := l.brings(newer), l.brings(older)
	if !n.Counts || o.Counts || o.Known {
		t.Errorf("newer %+v, older %+v", n, o)
	}
	if got := l.evidenceOf("v1"); len(got) != 3 || got[first.ID] || !got[n.ID] || got[o.ID] {
		t.Errorf("the list: %v", got)
	}

	// One envelope of two keys, and one document of two people, count for both.
	other := l.key("AuditMSP", "audit", "")
	both := dsse
	both.envelope = signed(t, stated("v1", "test-result", tested("PASSED"), ""), key, other)
	a := l.brings(both)
	both.org, both.key = "AuditMSP", "audit"
	b := l.brings(both)
	if a.ID == b.ID || !a.Counts || !b.Counts {
		t.Errorf("two keys: %+v %+v", a, b)
	}
	if c := l.brings(both); !c.Known || c.ID != b.ID {
		t.Errorf("the second key again: %+v", c)
	}
	plain := brought{"auditor@AuditMSP", "v1", "", "plain", "", "", stated("v1", "review", `{"approved":true,"reviewers":["ann"]}`, "")}
	a = l.brings(plain)
	plain.who = "scanner@AuditMSP"
	b = l.brings(plain)
	plain.who = "auditor@PlatformMSP"
	c := l.brings(plain)
	if got := l.evidenceOf("v1"); !got[a.ID] || !got[b.ID] || !got[c.ID] || a.ID == b.ID || b.ID == c.ID {
		t.Errorf("three people: %+v %+v %+v", a, b, c)
	}
}

func TestEvidenceRefused(t *testing.T) {
	l := network(t)
	l.pushed("v1", "v2")
	key := l.key("SecurityMSP", "scan", "")
	l.key("SecurityMSP", "other", "")
	short := l.key("SecurityMSP", "short", l.now.Add(time.Minute).Format(time.RFC3339))
	gone := l.key("SecurityMSP", "gone", "")
	l.do("admin@SecurityMSP", "key:Withdraw", "gone", "lost", "")
	l.now = l.now.Add(time.Hour)
	scan := stated("v1", "vuln-scan", scanned(0), "")
	envelope := signed(t, scan, key)
	flipped := []byte(strings.Replace(string(envelope), `"sig":"M`, `"sig":"N`, 1))
	good := brought{"gateway@VendorMSP", "v1", "", "dsse", "SecurityMSP", "scan", envelope}
	change := func(f func(*brought)) brought { b := good; f(&b); return b }
	for name, c := range map[string]struct {
		b    brought
		code provenance.Code
	}{
		"under another digest":     {change(func(b *brought) { b.content = "v2" }), provenance.BadEvidence},
		"not recorded":             {change(func(b *brought) { b.content = "never pushed" }), provenance.NotFound},
		"another key":              {change(func(b *brought) { b.key = "other" }), provenance.BadEvidence},
		"no such key":              {change(func(b *brought) { b.key = "nobody" }), provenance.NotFound},
		"a key of somebody else":   {change(func(b *brought) { b.org = "AuditMSP" }), provenance.NotFound},
		"no key":                   {change(func(b *brought) { b.org, b.key = "", "" }), provenance.Invalid},
		"an expired key":           {change(func(b *brought) { b.key, b.envelope = "short", signed(t, scan, short) }), provenance.BadEvidence},
		"a withdrawn key":          {change(func(b *brought) { b.key, b.envelope = "gone", signed(t, scan, gone) }), provenance.BadEvidence},
		"a flipped signature":      {change(func(b *brought) { b.envelope = flipped }), provenance.BadEvidence},
		"renamed":                  {change(func(b *brought) { b.typ = "sbom" }), provenance.BadEvidence},
		"no envelope":              {change(func(b *brought) { b.envelope = nil }), provenance.Invalid},
		"an empty object":          {change(func(b *brought) { b.envelope = []byte("{}") }), provenance.BadEvidence},
		"too large":                {change(func(b *brought) { b.envelope = make([]byte, evidence.MaxEnvelope+1) }), provenance.Invalid},
		"unknown format":           {change(func(b *brought) { b.format = "pgp" }), provenance.BadEvidence},
		"plain with a key":         {change(func(b *brought) { b.format = "plain" }), provenance.Invalid},
		"plain by a gateway":       {brought{"gateway@VendorMSP", "v1", "", "plain", "", "", stated("v1", "vuln-scan", scanned(0), "")}, provenance.Forbidden},
		"plain about another":      {brought{"scanner@VendorMSP", "v1", "", "plain", "", "", stated("v2", "vuln-scan", scanned(0), "")}, provenance.BadEvidence},
		"custom without a schema":  {brought{"scanner@VendorMSP", "v1", "custom/fuzz", "plain", "", "", stated("v1", "custom/fuzz", `{"crashes":0}`, "")}, provenance.NotFound},
		"by a robot without roles": {change(func(b *brought) { b.who = "robot@VendorMSP" }), provenance.Forbidden},
	} {
		if _, writes, err := l.bring(c.b); provenance.CodeOf(err) != c.code || len(writes) > 0 {
			t.Errorf("%s: %v, %d writes, want %s", name, err, len(writes), c.code)
		}
	}
	for _, location := range []string{"reg.example:5000/team/app:1.0", "nowhere", "reg.example:5000/" + strings.Repeat("a/", 300) + "@" + provenance.SHA256Of(nil).String()} {
		_, _, err := l.invoke(good.who, map[string][]byte{"envelope": envelope}, "evidence:Submit", host, repo, digestOf("v1").String(), "", "dsse", "SecurityMSP", "scan", location)
		if provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("location %q: %v", clip(location), err)
		}
	}
	if _, _, err := l.bring(good); err != nil {
		t.Errorf("the good one: %v", err)
	}
}

// What an organisation's key and people said counts no more once it has left.
func TestEvidenceOfAnOrganisationThatLeft(t *testing.T) {
	l := network(t)
	l.govern(signedRule)
	l.pushed("v1")
	key := l.key("SecurityMSP", "scan", "")
	b := brought{"gateway@VendorMSP", "v1", "", "dsse", "SecurityMSP", "scan", signed(t, stated("v1", "vuln-scan", scanned(0), ""), key)}
	id := l.brings(b).ID
	expect(t, "a member", l.ask("v1", "staging"), policy.Pending, "evidence/scan", policy.Satisfied)
	for _, org := range []string{"AuditMSP", "PlatformMSP", "VendorMSP"} {
		l.do("admin@"+org, "proposal:Open", string(state.ProposeMemberRemove), `{"msp":"SecurityMSP"}`)
	}
	expect(t, "it left", l.ask("v1", "staging"), policy.Pending, "evidence/scan", policy.Unmet)
	if l.evidenceOf("v1")[id] {
		t.Error("it still counts")
	}
	b.envelope = signed(t, stated("v1", "vuln-scan", scanned(0), "2026-01-01T00:00:00Z"), key)
	if _, _, err := l.bring(b); provenance.CodeOf(err) != provenance.BadEvidence {
		t.Errorf("more of it: %v", err)
	}
}

func TestCustomEvidence(t *testing.T) {
	l := network(t)
	l.pushed("v1")
	l.do("admin@SecurityMSP", "schema:Add", "fuzz", `{"type":"object","additionalProperties":false,"required":["crashes"],"properties":{"crashes":{"type":"integer","minimum":0}}}`)
	b := brought{"scanner@SecurityMSP", "v1", "custom/fuzz", "plain", "", "", stated("v1", "custom/fuzz", `{"crashes":"none"}`, "")}
	if _, _, err := l.bring(b); provenance.CodeOf(err) != provenance.BadEvidence {
		t.Errorf("facts of another shape: %v", err)
	}
	b.envelope = stated("v1", "custom/fuzz", `{"crashes":0}`, "")
	if s := l.brings(b); s.Type != "custom/SecurityMSP/fuzz" || !s.Counts {
		t.Errorf("%+v", s)
	}
}

// TestEvidenceIsFull: an organisation that handed in as much as it may has no
// room for more, and nobody else is concerned.
func TestEvidenceIsFull(t *testing.T) {
	l := network(t)
	l.pushed("v1")
	d := digestOf("v1")
	var set state.EvidenceSet
	for i := range state.MaxEvidence {
		set.Entries = append(set.Entries, state.EvidenceEntry{Type: "sbom", ID: fmt.Sprint(i), Signer: fmt.Sprint(i), Since: l.now})
	}
	scanner := state.SignerID(policy.Signer{Kind: policy.SignedByPerson, MSP: "SecurityMSP", Name: "scanner"})
	set.Entries[7] = state.EvidenceEntry{Type: "vuln-scan", ID: "7", Signer: scanner, Since: l.now}
	l.state[state.EvidenceSetKey(d, "SecurityMSP")], _ = state.Encode(set)
	b := brought{"auditor@SecurityMSP", "v1", "", "plain", "", "", stated("v1", "vuln-scan", scanned(0), "")}
	if _, _, err := l.bring(b); provenance.CodeOf(err) != provenance.Full {
		t.Errorf("one more: %v", err)
	}
	b.who = "scanner@SecurityMSP"
	if s := l.brings(b); !s.Counts {
		t.Errorf("in place of its own: %+v", s)
	}
	b.who = "scanner@AuditMSP"
	if s := l.brings(b); !s.Counts {
		t.Errorf("another organisation: %+v", s)
	}
}

// signedRule asks for a clean scan by SecurityMSP's key.
const signedRule = `"stages":[{"name":"staging","approvals":{"min":1},"evidence":[{"name":"scan","type":"vuln-scan","signers":[{"org":"SecurityMSP","key":"scan"}],"condition":"facts.critical == 0"}]}]`

func TestEvidenceDecides(t *testing.T) {
	l := network(t)
	l.govern(signedRule)
	l.pushed("v1")
	key := l.key("SecurityMSP", "scan", "")
	l.do("publisher@VendorMSP", about("promotion:Request", "v1", "staging")...)
	expect(t, "no evidence is no pass", l.ask("v1", "staging"), policy.Pending, "evidence/scan", policy.Unmet)
	bring := func(critical int) {
		t.Helper()
		l.brings(brought{"gateway@VendorMSP", "v1", "", "dsse", "SecurityMSP", "scan", signed(t, stated("v1", "vuln-scan", scanned(critical), ""), key)})
	}
	bring(3)
	expect(t, "a failing scan", l.approve("release-manager@AuditMSP", "v1", "staging"), policy.Denied, "evidence/scan", policy.Violated)
	bring(0)
	expect(t, "a clean scan", l.ask("v1", "staging"), policy.Pending, "evidence/scan", policy.Satisfied)
	expect(t, "released by its scanner's gateway", l.verdict("gateway@SecurityMSP", about("release:Auto", "v1", "staging")...), policy.Allowed, "", "")
	if rel := read[state.Release](l, subject("v1", "staging").ReleasedKey()); rel.EvidenceSet != l.ask("v1", "staging").EvidenceSet {
		t.Errorf("the release rests on %s, the verdict on %s", rel.EvidenceSet, l.ask("v1", "staging").EvidenceSet)
	}
}

// What an index's signer says counts for its platforms once the index was
// released: before, anybody who may push could make an index of them. What is
// said of one platform counts for that one only.
func TestEvidenceOnAnIndex(t *testing.T) {
	l := network(t)
	l.govern(signedRule)
	amd, arm, index := push("", "amd64"), push("", "arm64"), index("index", digestOf("amd64"), digestOf("arm64"))
	if _, _, err := l.segment("gateway@VendorMSP", host, 1, amd, arm, index); err != nil {
		t.Fatal(err)
	}
	key := l.key("SecurityMSP", "scan", "")
	bring := func(content string, critical int) {
		t.Helper()
		l.brings(brought{"gateway@VendorMSP", content, "", "dsse", "SecurityMSP", "scan", signed(t, stated(content, "vuln-scan", scanned(critical), ""), key)})
	}
	bring("amd64", 0)
	expect(t, "amd64 by itself", l.ask("amd64", "staging"), policy.Pending, "evidence/scan", policy.Satisfied)
	expect(t, "arm64", l.ask("arm64", "staging"), policy.Pending, "evidence/scan", policy.Unmet)
	expect(t, "the index", l.ask("index", "staging"), policy.Pending, "evidence/scan", policy.Unmet)
	bring("index", 0)
	expect(t, "arm64 beside the index", l.ask("arm64", "staging"), policy.Pending, "evidence/scan", policy.Unmet)
	l.do("publisher@VendorMSP", about("promotion:Request", "index", "staging")...)
	expect(t, "the index, released", l.approve("release-manager@AuditMSP", "index", "staging"), policy.Allowed, "", "")
	expect(t, "arm64 with the index", l.ask("arm64", "staging"), policy.Allowed, "", "")
	if v := l.ask("index", "staging"); len(v.Children) != 2 {
		t.Errorf("children: %+v", v.Children)
	}
}

func TestWithdrawnKey(t *testing.T) {
	l := network(t)
	l.govern(signedRule)
	l.pushed("early", "late")
	key := l.key("SecurityMSP", "scan", "")
	bring := func(content string) Submitted {
		t.Helper()
		l.do("publisher@VendorMSP", about("promotion:Request", content, "staging")...)
		return l.brings(brought{"gateway@VendorMSP", content, "", "dsse", "SecurityMSP", "scan", signed(t, stated(content, "vuln-scan", scanned(0), "2026-01-01T00:00:00Z"), key)})
	}
	early := bring("early")
	l.now = l.now.Add(time.Hour)
	compromised := l.now.Format(time.RFC3339)
	l.now = l.now.Add(time.Hour)
	late := bring("late") // claims a time before the compromise; the ledger's time decides
	before := l.approval("late", "staging", "ok")
	l.do("admin@SecurityMSP", "key:Withdraw", "scan", "retired", "")
	expect(t, "retired", l.ask("late", "staging"), policy.Pending, "evidence/scan", policy.Satisfied)
	l.do("admin@SecurityMSP", "key:Withdraw", "scan", "stolen", compromised)
	expect(t, "signed before", l.ask("early", "staging"), policy.Pending, "evidence/scan", policy.Satisfied)
	expect(t, "signed since", l.ask("late", "staging"), policy.Pending, "evidence/scan", policy.Unmet)
	if !l.evidenceOf("early")[early.ID] || l.evidenceOf("late")[late.ID] {
		t.Errorf("what counts: %v %v", l.evidenceOf("early"), l.evidenceOf("late"))
	}
	l.refused(provenance.Stale, "release-manager@AuditMSP", before...)
}

func TestWitness(t *testing.T) {
	l := network(t)
	l.govern(`"stages":[{"name":"staging","approvals":{"min":0},"witnesses":{"min":2}}]`)
	l.pushed("v1")
	see := func(org, content string) []string {
		return []string{"gateway@" + org, "record:Witness", host, repo, digestOf(content).String()}
	}
	l.do("publisher@VendorMSP", about("promotion:Request", "v1", "staging")...)
	for org, want := range map[string]int{"VendorMSP": 0, "AuditMSP": 1} {
		for round := range 2 {
			call := see(org, "v1")
			out, writes, err := l.invoke(call[0], nil, call[1:]...)
			if err != nil || len(writes) != want*(1-round) || !strings.Contains(out, org) {
				t.Errorf("%s, round %d: %d writes, %v: %s", org, round, len(writes), err, out)
			}
		}
	}
	expect(t, "two saw it", l.ask("v1", "staging"), policy.Pending, "witnesses", policy.Satisfied)
	call := see("AuditMSP", "never pushed")
	l.refused(provenance.NotFound, call[0], call[1:]...)
}
