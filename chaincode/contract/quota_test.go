package contract

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
)

// TestNobodyFillsAnothersEvidence: 256 pieces about one image, by whoever may hand
// in any, kept security's scan out for good. What anybody can sign below a public
// root fills a part of its own organisation's room, what one signer says a part
// of that, and nobody's fills another's.
func TestNobodyFillsAnothersEvidence(t *testing.T) {
	l := network(t)
	l.govern(`"stages":[{"name":"staging","approvals":{"min":1},"evidence":[{"name":"scan","type":"vuln-scan","signers":[{"org":"SecurityMSP","role":"scanner"}]},
	 {"name":"built","type":"slsa-provenance","signers":[{"org":"VendorMSP","identity":"https://ci.example/team/app/release","issuer":"https://ci.example"}]}]}]`)
	l.pushed("v1")
	root := newAuthority(t, l.now)
	l.do("admin@VendorMSP", "key:Add", "public", string(evidence.CertificateRoot), encodeCert(root.cert), "", "")
	built := `{"builder":"b","buildType":"t","sourceUri":"u","sourceCommit":"c","parameters":{}}`
	submit := func(who string, i int) error {
		envelope := root.envelope(stated("v1", "slsa-provenance", built, ""), fmt.Sprintf("https://ci.example/stranger/%d", i), "https://ci.example", l.now.AddDate(0, 1, 0))
		_, _, err := l.bring(brought{who, "v1", "", "dsse", "VendorMSP", "public", envelope})
		return err
	}
	for i := range state.MaxUnruled {
		if err := submit("gateway@VendorMSP", i); err != nil {
			t.Fatalf("stranger %d: %v", i, err)
		}
	}
	if err := submit("gateway@VendorMSP", state.MaxUnruled); provenance.CodeOf(err) != provenance.Full {
		t.Errorf("one stranger more: %v", err)
	}
	// One signer, of as many types as it likes: what no rule asks for is full already.
	for i := range state.MaxOfSigner + 1 {
		l.do("admin@PlatformMSP", "schema:Add", fmt.Sprint("t", i), `{"type":"object"}`)
	}
	for i := range state.MaxOfSigner + 1 {
		name := fmt.Sprint("custom/t", i)
		_, _, err := l.bring(brought{"publisher@PlatformMSP", "v1", name, "plain", "", "", stated("v1", name, `{}`, "")})
		if want := map[bool]provenance.Code{true: provenance.Full}[i == state.MaxOfSigner]; provenance.CodeOf(err) != want {
			t.Errorf("piece %d of one signer: %v", i, err)
		}
	}
	// Nobody who is asked for is kept out: neither the organisation's own, nor another's.
	envelope := root.envelope(stated("v1", "slsa-provenance", built, ""), "https://ci.example/team/app/release", "https://ci.example", l.now.AddDate(0, 1, 0))
	l.brings(brought{"gateway@VendorMSP", "v1", "", "dsse", "VendorMSP", "public", envelope})
	l.brings(brought{"scanner@SecurityMSP", "v1", "", "plain", "", "", stated("v1", "vuln-scan", scanned(0), "")})
	v := l.ask("v1", "staging")
	expect(t, "security's scan", v, policy.Pending, "evidence/scan", policy.Satisfied)
	expect(t, "the build", v, policy.Pending, "evidence/built", policy.Satisfied)
	// A stranger who fills the room of another organisation's gateway fills that.
	if err := submit("gateway@AuditMSP", 1000); err != nil {
		t.Errorf("handed in by another: %v", err)
	}
}

// TestOnlyMembersHandInEvidence: a stranger with a certificate of the channel has no room.
func TestOnlyMembersHandInEvidence(t *testing.T) {
	l := network(t)
	l.pushed("v1")
	for _, who := range []string{"scanner@OutsiderMSP", "gateway@OutsiderMSP", "admin@OutsiderMSP", "stranger@VendorMSP"} {
		if _, _, err := l.bring(brought{who, "v1", "", "plain", "", "", stated("v1", "vuln-scan", scanned(0), "")}); provenance.CodeOf(err) != provenance.Forbidden {
			t.Errorf("%s: %v", who, err)
		}
	}
}

// TestNobodyFillsAnInbox: a publisher asked for 700 promotions, and they stood in
// every inbox for good. An organisation has so many open ones, they end by
// themselves, and whoever asked takes them back.
func TestNobodyFillsAnInbox(t *testing.T) {
	l := network(t)
	var events []provenance.Event
	for i := range state.MaxRequests + 2 {
		events = append(events, push("", fmt.Sprint("image ", i)))
	}
	l.record(events...)
	ask := func(who string, i int) error {
		_, _, err := l.invoke(who, nil, about("promotion:Request", fmt.Sprint("image ", i), "staging")...)
		return err
	}
	for i := range state.MaxRequests {
		if err := ask([]string{"publisher@VendorMSP", "release-manager@VendorMSP"}[i%2], i); err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
	}
	if err := ask("publisher@VendorMSP", state.MaxRequests); provenance.CodeOf(err) != provenance.Full {
		t.Errorf("one more: %v", err)
	}
	if err := ask("publisher@PlatformMSP", state.MaxRequests); err != nil {
		t.Errorf("another organisation: %v", err)
	}
	l.quiet("publisher@VendorMSP", about("promotion:Request", "image 3", "staging")...)

	// Who asked takes it back, and an admin of theirs; nobody else does.
	cancel := func(i int) []string {
		return about("promotion:Cancel", fmt.Sprint("image ", i), "staging", "1", "by mistake")
	}
	for _, who := range []string{"publisher@PlatformMSP", "admin@AuditMSP", "release-manager@SecurityMSP", "release-manager@VendorMSP"} {
		l.refused(provenance.Forbidden, who, cancel(0)...)
	}
	l.refused(provenance.Invalid, "publisher@VendorMSP", about("promotion:Cancel", "image 0", "staging", "1", " ")...)
	l.refused(provenance.Stale, "publisher@VendorMSP", about("promotion:Cancel", "image 0", "staging", "2", "another")...)
	expect(t, "cancelled", l.verdict("publisher@VendorMSP", cancel(0)...), policy.Pending, "promotion", policy.Unmet)
	l.quiet("publisher@VendorMSP", cancel(0)...)
	l.do("admin@VendorMSP", cancel(1)...)
	v := l.ask("image 0", "staging")
	expect(t, "asked", v, policy.Pending, "promotion", policy.Unmet)
	if !slices.ContainsFunc(v.Reasons, func(r policy.Reason) bool {
		return strings.Contains(r.Detail, "withdrawn by publisher@VendorMSP: by mistake")
	}) {
		t.Errorf("it does not say who took it back: %+v", v.Reasons)
	}
	l.refused(provenance.Conflict, "release-manager@AuditMSP", l.approval("image 0", "staging", "ok")...)
	if err := ask("publisher@VendorMSP", state.MaxRequests+1); err != nil {
		t.Errorf("room again: %v", err)
	}
	// Asked for again it is another attempt, for which nothing was said yet.
	l.do("publisher@VendorMSP", about("promotion:Request", "image 0", "staging")...)
	if got := l.attempt("image 0", "staging"); got != "2" {
		t.Errorf("attempt %s", got)
	}
}

// TestPromotionsExpire: after thirty days a request is over, with all that was said of it.
func TestPromotionsExpire(t *testing.T) {
	l := network(t)
	l.govern(`"stages":[{"name":"staging","approvals":{"min":2}}]`)
	l.pushed("v1")
	l.do("publisher@VendorMSP", about("promotion:Request", "v1", "staging")...)
	l.approve("release-manager@AuditMSP", "v1", "staging")
	l.now = l.now.Add(state.PromotionLife)
	v := l.ask("v1", "staging")
	expect(t, "after thirty days", v, policy.Pending, "promotion", policy.Unmet)
	if !slices.ContainsFunc(v.Reasons, func(r policy.Reason) bool { return strings.Contains(r.Detail, "expired") }) {
		t.Errorf("it does not say that it expired: %+v", v.Reasons)
	}
	l.refused(provenance.Conflict, "release-manager@SecurityMSP", l.approval("v1", "staging", "late")...)
	l.refused(provenance.Conflict, "gateway@AuditMSP", about("release:Auto", "v1", "staging")...)
	l.refused(provenance.Conflict, "publisher@VendorMSP", about("promotion:Cancel", "v1", "staging", "1", "late")...)
	l.do("publisher@VendorMSP", about("promotion:Request", "v1", "staging")...)
	expect(t, "asked for again, with one new word", l.approve("release-manager@SecurityMSP", "v1", "staging"), policy.Pending, "approvals", policy.Unmet)
	expect(t, "and another", l.approve("release-manager@AuditMSP", "v1", "staging"), policy.Allowed, "", "")
}

// TestNobodyFillsTheBallot: an organisation has so many open proposals, and what
// has gone stale is not open. Others' yes, which keeps a proposal from being
// withdrawn, does not keep its maker from proposing.
func TestNobodyFillsTheBallot(t *testing.T) {
	l := network(t)
	for i := range state.MaxProposals {
		v := l.open("VendorMSP", "member-add", fmt.Sprintf(`{"msp":"New%dMSP"}`, i))
		l.do("admin@AuditMSP", "proposal:Vote", v.Proposal.ID, l.hash(v.Proposal.ID), "yes", "")
		if i == 0 {
			l.quiet("admin@VendorMSP", "proposal:Open", "member-add", `{"msp":"New0MSP"}`)
		}
	}
	l.refused(provenance.Full, "admin@VendorMSP", "proposal:Open", "member-add", `{"msp":"OneMoreMSP"}`)
	l.open("PlatformMSP", "member-add", `{"msp":"OneMoreMSP"}`)
	// Another vote changes the membership: none of the others can be voted for any more.
	l.agree("majority", `{"majority":4}`, "PlatformMSP", "AuditMSP", "SecurityMSP")
	if v := l.open("VendorMSP", "member-add", `{"msp":"OneMoreMSP"}`); v.Proposal.Status != state.ProposalOpen {
		t.Errorf("%+v", v)
	}
}

// TestListsAreWhole: a list that ends at a thousand without a word hides what
// stands behind.
func TestListsAreWhole(t *testing.T) {
	l := network(t)
	for i := range 2*maxScan + 7 {
		key := state.GrantKey("VendorMSP", fmt.Sprint("robot-", i), "robot")
		l.state[key], _ = state.Encode(state.Grant{MSP: "VendorMSP", Identity: fmt.Sprint("robot-", i), Role: state.RoleRobot})
	}
	var list MemberList
	if err := json.Unmarshal([]byte(l.do("auditor@AuditMSP", "member:List")), &list); err != nil {
		t.Fatal(err)
	}
	if want := 2*maxScan + 7 + 4*(len(state.Roles())-1); len(list.Grants) != want {
		t.Errorf("%d grants are listed, of %d", len(list.Grants), want)
	}
	for i := range 1200 {
		k := state.TrustKey{MSP: "VendorMSP", Name: fmt.Sprint("key-", i)}
		l.state[state.TrustKeyKey(k.MSP, k.Name)], _ = state.Encode(k)
	}
	var keys []state.TrustKey
	if err := json.Unmarshal([]byte(l.do("auditor@AuditMSP", "key:List")), &keys); err != nil || len(keys) != 1200 {
		t.Errorf("%d keys of 1200, %v", len(keys), err)
	}
}

// TestTextThatBreaksAScreen: text that is not UTF-8, or that turns what follows
// it, was recorded, and the status of an image could not be shown any more. No
// transaction takes it, whichever of its texts it is.
func TestTextThatBreaksAScreen(t *testing.T) {
	l := network(t)
	l.govern(glass)
	l.do("admin@SecurityMSP", "context:Set", "incident", "false")
	l.pushed("v1", "v2")
	l.key("SecurityMSP", "scan", "")
	l.do("publisher@VendorMSP", about("promotion:Request", "v1", "staging")...)
	l.do("release-manager@AuditMSP", l.approval("v1", "staging", "ok")...)
	l.do("release-manager@VendorMSP", about("release:BreakGlass", "v2", "staging", "outage")...)
	l.do("scanner@AuditMSP", "quarantine:Set", digestOf("other").String(), "CVE")
	v := l.open("VendorMSP", "majority", `{"majority":4}`)
	s := l.brings(brought{"scanner@SecurityMSP", "v1", "", "plain", "", "", stated("v1", "vuln-scan", scanned(0), "")})
	until := l.now.Add(time.Hour).Format(time.RFC3339)
	for name, text := range map[string]string{"not UTF-8": "a\xffb", "a bell": "a\ab", "an escape": "a\x1b[2Jb", "turned": "a\u202eb", "isolated": "a\u2066b", "separated": "a\u2028b"} {
		quoted, _ := json.Marshal(text)
		if name == "not UTF-8" {
			quoted = []byte("\"" + text + "\"")
		}
		for _, act := range [][]string{
			append([]string{"release-manager@PlatformMSP"}, l.approval("v1", "staging", text)...),
			append([]string{"release-manager@PlatformMSP"}, about("promotion:Reject", "v1", "staging", "1", text)...),
			append([]string{"release-manager@AuditMSP"}, about("promotion:Withdraw", "v1", "staging", text)...),
			append([]string{"publisher@VendorMSP"}, about("promotion:Cancel", "v1", "staging", "1", text)...),
			append([]string{"release-manager@VendorMSP"}, about("release:BreakGlass", "v1", "staging", text)...),
			append([]string{"auditor@AuditMSP"}, about("release:Review", "v2", "staging", l.releaseHash("v2", "staging"), text)...),
			{"scanner@AuditMSP", "quarantine:Set", digestOf("v1").String(), text},
			{"admin@AuditMSP", "quarantine:Lift", digestOf("other").String(), text},
			{"admin@AuditMSP", "proposal:Vote", v.Proposal.ID, l.hash(v.Proposal.ID), "no", text},
			{"admin@VendorMSP", "proposal:Withdraw", v.Proposal.ID, text},
			{"admin@SecurityMSP", "key:Withdraw", "scan", text, ""},
			{"admin@SecurityMSP", "member:TakeBack", "scanner", "2026-03-01T00:00:00Z", text},
			{"admin@SecurityMSP", "evidence:Withdraw", digestOf("v1").String(), s.Type, s.ID, text},
			{"admin@SecurityMSP", "context:Set", "phase", string(quoted)},
			{"admin@SecurityMSP", "schema:Add", "quoted", `{"type":"object","description":` + string(quoted) + `}`},
			{"admin@SecurityMSP", "schema:Add", "raw", `{"type":"object","description":"` + text + `"}`},
			{"admin@VendorMSP", "label:Set", host, repo, "tier", text},
			{"release-manager@VendorMSP", "waiver:Request", host, repo, "", "staging", "condition/calm", text, until},
			{"admin@VendorMSP", "member:Grant", text, "auditor"},
			{"admin@VendorMSP", "proposal:Open", "registry", fmt.Sprintf(`{"host":%s,"namespace":"","owner":"VendorMSP","kind":"zot"}`, quoted)},
			{"admin@VendorMSP", "proposal:Open", "policy", strings.Replace(policyText("other", 1), `"min"`, `"role":`+string(quoted)+`,"min"`, 1)},
		} {
			if _, writes, err := l.invoke(act[0], nil, act[1:]...); err == nil || len(writes) > 0 {
				t.Errorf("%s, %s: %v, %d writes", act[1], name, err, len(writes))
			}
		}
		for field, change := range map[string]func(e *provenance.Event){
			"actor": func(e *provenance.Event) { e.Actor = text }, "media type": func(e *provenance.Event) { e.MediaType = text }, "artifact type": func(e *provenance.Event) { e.ArtifactType = text },
			"source": func(e *provenance.Event) { e.Source = text }, "address": func(e *provenance.Event) { e.Address = text }, "user agent": func(e *provenance.Event) { e.UserAgent = text },
			"tag": func(e *provenance.Event) { e.Tag = provenance.Tag(text) }, "repository": func(e *provenance.Event) { e.Repository = provenance.Repository(text) },
		} {
			e := push("1.0", "v1")
			change(&e)
			b, err := provenance.EncodeSegment([]provenance.Event{e})
			if err != nil {
				continue // not even written
			}
			sum := provenance.SHA256Of(b).String()
			if _, _, err := l.invoke("gateway@VendorMSP", map[string][]byte{"segment": b}, "record:Segment", host, "lane-0", "77", strings.TrimPrefix(sum, "sha256:")); err == nil {
				t.Errorf("an event whose %s is %s was recorded", field, name)
			}
		}
	}
}

// TestNoIndexesKeepEvidenceOut: of the indexes that list a platform image only
// some are known, and whoever pushes 32 more and deletes them says which. Evidence
// about the image was refused after that.
func TestNoIndexesKeepEvidenceOut(t *testing.T) {
	l := network(t)
	l.record(index("multi", digestOf("amd64"))) // the registry reports the index only
	for i := range state.MaxParents + 1 {
		name := fmt.Sprint("flood ", i)
		l.record(index(name, digestOf("amd64")))
		l.record(deleted(name))
	}
	if _, _, err := l.bring(brought{"scanner@SecurityMSP", "amd64", "", "plain", "", "", stated("amd64", "vuln-scan", scanned(0), "")}); err != nil {
		t.Errorf("security's scan: %v", err)
	}
	if _, _, err := l.bring(brought{"scanner@SecurityMSP", "elsewhere", "", "plain", "", "", stated("elsewhere", "vuln-scan", scanned(0), "")}); provenance.CodeOf(err) != provenance.NotFound {
		t.Errorf("an image that nobody recorded: %v", err)
	}
}

// TestNobodyEndsAnothersRequest: whoever asks for every promotion first, and takes
// it back before it is approved, kept images from every stage. Others who ask join,
// and it goes on for them with all that was said.
func TestNobodyEndsAnothersRequest(t *testing.T) {
	l := network(t)
	l.pushed("v1")
	cancel := func(who string) error {
		_, _, err := l.invoke(who, nil, about("promotion:Cancel", "v1", "production", l.attempt("v1", "production"), "no")...)
		return err
	}
	l.release("v1")
	l.do("publisher@AuditMSP", about("promotion:Request", "v1", "production")...)
	if err := cancel("publisher@VendorMSP"); provenance.CodeOf(err) != provenance.Forbidden {
		t.Errorf("by who did not ask: %v", err)
	}
	l.do("publisher@VendorMSP", about("promotion:Request", "v1", "production")...)
	if _, writes, err := l.invoke("release-manager@VendorMSP", nil, about("promotion:Request", "v1", "production")...); err != nil || len(writes) > 0 {
		t.Errorf("asked twice: %d writes, %v", len(writes), err)
	}
	expect(t, "approved", l.approve("release-manager@SecurityMSP", "v1", "production"), policy.Pending, "promotion", policy.Satisfied)
	if err := cancel("publisher@AuditMSP"); err != nil {
		t.Fatal(err)
	}
	v := l.ask("v1", "production")
	expect(t, "taken back by who asked first", v, policy.Pending, "promotion", policy.Satisfied)
	if v.Attempt != 1 || v.Requester == nil || v.Requester.MSP != "VendorMSP" {
		t.Errorf("attempt %d by %v", v.Attempt, v.Requester)
	}
	if err := cancel("publisher@AuditMSP"); provenance.CodeOf(err) != provenance.Forbidden {
		t.Errorf("taken back twice: %v", err)
	}
	expect(t, "what was said stands", l.approve("release-manager@PlatformMSP", "v1", "production"), policy.Allowed, "", "")
}
