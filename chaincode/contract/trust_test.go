package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/test/sigstore"
)

const (
	forge    = "https://token.ci.example"
	workflow = "https://git.example/team/app/.ci/release.yml@refs/heads/main"
)

// sigstoreOf makes a Sigstore of a test's own, which goes by the ledger's clock.
func (l *ledger) sigstoreOf(name string) *sigstore.Instance {
	l.t.Helper()
	s, err := sigstore.New(name, func() time.Time { return l.now })
	if err != nil {
		l.t.Fatal(err)
	}
	return s
}

// attested signs a scan by a certificate for an identity, with all that proves when.
func (l *ledger) attested(s *sigstore.Instance, id sigstore.Identity, content string, critical int) []byte {
	l.t.Helper()
	bundle, err := s.Attest(id, stated(content, "vuln-scan", scanned(critical), ""), sigstore.Evidence{V1: true, Stamp: true})
	if err != nil {
		l.t.Fatal(err)
	}
	return bundle
}

func byURI(uri string) sigstore.Identity { return sigstore.Identity{URI: uri, Issuer: forge} }

// share puts a text of a shared root in force, by the votes of three.
func (l *ledger) share(name string, text []byte) {
	l.t.Helper()
	l.vote(sharedBody(name, text))
}

func (l *ledger) vote(body string) {
	l.t.Helper()
	var v ProposalView
	for _, o := range orgs()[:3] {
		if err := json.Unmarshal([]byte(l.do("admin@"+o, "proposal:Open", "trusted-root", body)), &v); err != nil {
			l.t.Fatal(err)
		}
	}
	if v.Proposal.Status != state.ProposalAccepted {
		l.t.Fatalf("%s: %+v", body, v)
	}
}

func sharedBody(name string, text []byte) string {
	return fmt.Sprintf(`{"name":%q,"origin":"the test","root":%s}`, name, text)
}

func withdrawBody(name, since string) string {
	return fmt.Sprintf(`{"name":%q,"withdraw":{"reason":"its key is out","compromisedSince":%q}}`, name, since)
}

func (l *ledger) scanBy(entry string) {
	l.t.Helper()
	l.govern(`"stages":[{"name":"staging","approvals":{"min":1},"evidence":[{"name":"scan","type":"vuln-scan","signers":[` + entry + `]}]}]`)
}

const byWorkflow = `{"identity":"` + workflow + `","issuer":"` + forge + `"}`

// bundled hands a bundle in, verified by a root.
func (l *ledger) bundled(org, root, content string, bundle []byte) (Submitted, error) {
	l.t.Helper()
	s, _, err := l.bring(brought{"gateway@VendorMSP", content, "", "bundle", org, root, bundle})
	return s, err
}

// keyless is a ledger with a shared root, a pushed image and a rule by the workflow.
func keyless(t *testing.T) (*ledger, *sigstore.Instance) {
	t.Helper()
	l := network(t)
	l.scanBy(byWorkflow)
	l.pushed("v1")
	s := l.sigstoreOf("public")
	l.share("public", s.TrustedRoot())
	return l, s
}

func (l *ledger) wants(what string, outcome policy.Outcome) {
	l.t.Helper()
	answer := policy.Pending
	if outcome == policy.Violated {
		answer = policy.Denied
	}
	expect(l.t.(*testing.T), what, l.ask("v1", "staging"), answer, "evidence/scan", outcome)
}

// TestKeylessEvidence: what a certificate of minutes signed counts a year later, for
// whom the rule names, below the root that the members share, and for nobody else.
func TestKeylessEvidence(t *testing.T) {
	l, s := keyless(t)
	good := l.attested(s, byURI(workflow), "v1", 0)
	strangers := map[string][]byte{
		"another workflow": l.attested(s, byURI("https://git.example/team/app/.ci/release.yml@refs/heads/mainx"), "v1", 0),
		"a stranger":       l.attested(s, sigstore.Identity{Email: "anybody@mail.example", Issuer: forge}, "v1", 0),
		"another issuer":   l.attested(s, sigstore.Identity{URI: workflow, Issuer: forge + "/"}, "v1", 0),
		"a user":           l.attested(s, sigstore.Identity{Other: "release!git.example", Issuer: forge}, "v1", 0),
		"no issuer":        l.attested(s, sigstore.Identity{URI: workflow}, "v1", 0),
	}
	mimic, err := s.Attest(sigstore.Identity{Email: workflow, Issuer: forge}, stated("v1", "vuln-scan", scanned(0), ""), sigstore.Evidence{V1: true})
	if err != nil {
		t.Fatal(err)
	}
	other := l.attested(l.sigstoreOf("public"), byURI(workflow), "v1", 0)
	l.now = l.now.AddDate(1, 0, 0)
	if _, err := l.bundled("", "public", "v1", mimic); provenance.CodeOf(err) != provenance.BadEvidence {
		t.Errorf("an e-mail address that looks like the workflow: %v", err)
	}
	if _, err := l.bundled("", "public", "v1", other); provenance.CodeOf(err) != provenance.BadEvidence {
		t.Errorf("of another Sigstore: %v", err)
	}
	for name, bundle := range strangers {
		if _, err := l.bundled("", "public", "v1", bundle); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	l.wants("strangers", policy.Unmet)
	if got, err := l.bundled("", "public", "v1", good); err != nil || !got.Counts {
		t.Fatalf("%+v, %v", got, err)
	}
	l.wants("the workflow", policy.Satisfied)
	for _, e := range standing[state.Evidence](l, state.TypeEvidence) {
		if e.Signer.MSP != "" || e.Signer.Key != "public" || e.RootVersion != 1 || len(e.Uses) < 4 || !e.Since().Before(l.now.AddDate(0, -11, 0)) {
			t.Errorf("%+v since %s", e, e.Since())
		}
	}
}

// standing are the records of a type.
func standing[T any](l *ledger, objectType string) []T {
	return standingOf[T](&peers{all: [4]*ledger{l}}, objectType)
}

// TestStrangersBelowAnOwnRoot: an organisation's own root of a public Sigstore lets
// nobody in by {org, root}, nor by {org} alone.
func TestStrangersBelowAnOwnRoot(t *testing.T) {
	l := network(t)
	l.pushed("v1")
	s := l.sigstoreOf("public")
	l.do("admin@VendorMSP", "trust:Add", "public", string(s.TrustedRoot()), "")
	stranger := l.attested(s, sigstore.Identity{Email: "anybody@mail.example", Issuer: forge}, "v1", 0)
	good := l.attested(s, byURI(workflow), "v1", 0)
	if _, err := l.bundled("VendorMSP", "public", "v1", stranger); err != nil {
		t.Fatal(err)
	}
	for _, entry := range []string{`{"org":"VendorMSP","root":"public"}`, `{"org":"VendorMSP"}`, `{"org":"VendorMSP","root":"public","identity":"anybody@mail.example"}`} {
		l.scanBy(entry)
		l.wants(entry, policy.Unmet)
	}
	if _, err := l.bundled("VendorMSP", "public", "v1", good); err != nil {
		t.Fatal(err)
	}
	l.scanBy(byWorkflow)
	l.wants("its own root is not what members share", policy.Unmet)
	l.scanBy(`{"org":"VendorMSP","identity":"` + workflow + `","issuer":"` + forge + `"}`)
	l.wants("whom, by whom and below whose root", policy.Satisfied)
}

// TestARogueRoot: an organisation with keys of its own can say whatever it likes below
// its own root, under any name, and moves nothing that rests on the shared one.
func TestARogueRoot(t *testing.T) {
	l, s := keyless(t)
	mine := l.sigstoreOf("rogue")
	l.do("admin@VendorMSP", "trust:Add", "public", string(mine.TrustedRoot()), "")
	forged := l.attested(mine, byURI(workflow), "v1", 0)
	for _, org := range []string{"", "VendorMSP"} {
		_, err := l.bundled(org, "public", "v1", forged)
		if (org == "") != (provenance.CodeOf(err) == provenance.BadEvidence) {
			t.Errorf("forged below the root of %q: %v", org, err)
		}
	}
	l.wants("forged below an own root", policy.Unmet)
	l.scanBy(`{"root":"public","identity":"` + workflow + `","issuer":"` + forge + `"}`)
	l.wants("named like the shared one", policy.Unmet)
	// A newer word below the own root is no newer word of the workflow.
	if _, err := l.bundled("", "public", "v1", l.attested(s, byURI(workflow), "v1", 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := l.bundled("VendorMSP", "public", "v1", l.attested(mine, byURI(workflow), "v1", 9)); err != nil {
		t.Fatal(err)
	}
	l.wants("beside a forged one", policy.Satisfied)
	// Nobody changes what is shared alone, or what is another's.
	l.refused(provenance.NotFound, "admin@SecurityMSP", "trust:Withdraw", "public", "mine now", "")
	l.do("admin@VendorMSP", "trust:Withdraw", "public", "mine", l.now.AddDate(0, 0, -1).Format(time.RFC3339))
	l.wants("after its own root is withdrawn", policy.Satisfied)
	l.refused(provenance.Conflict, "admin@VendorMSP", "trust:Add", "public", string(mine.TrustedRoot()), "")
	// A shared root takes no authority of another one: whoever hands evidence in would choose.
	l.refused(provenance.Conflict, "admin@VendorMSP", "proposal:Open", "trusted-root", sharedBody("shadow", s.TrustedRoot()))
	// Who left answers for nothing.
	l.do("admin@PlatformMSP", "trust:Add", "own", string(mine.TrustedRoot()), "")
	removePlatform(l)
	if _, err := l.bundled("PlatformMSP", "own", "v1", l.attested(mine, byURI(workflow), "v1", 0)); provenance.CodeOf(err) != provenance.BadEvidence {
		t.Errorf("below a root of who left: %v", err)
	}
}

// TestTrustIsNarrowed: once an authority is trusted until a moment only, what it vouched
// for later counts no more, from the vote on, and approvals that saw it are stale.
func TestTrustIsNarrowed(t *testing.T) {
	for _, kind := range []sigstore.Kind{sigstore.CA, sigstore.CTLog, sigstore.RekorV1, sigstore.TSA} {
		t.Run(string(kind), func(t *testing.T) {
			l, s := keyless(t)
			early := l.attested(s, byURI(workflow), "v1", 0)
			l.now = l.now.Add(time.Hour)
			since := l.now
			l.now = l.now.Add(time.Hour)
			late := l.attested(s, byURI(workflow), "v1", 0)
			if _, err := l.bundled("", "public", "v1", late); err != nil {
				t.Fatal(err)
			}
			l.wants("before", policy.Satisfied)
			l.do("publisher@VendorMSP", about("promotion:Request", "v1", "staging")...)
			l.governed("before")
			seen := l.ask("v1", "staging").EvidenceSet

			s.End(kind, since)
			l.share("public", s.TrustedRoot())
			l.wants("narrowed", policy.Unmet)
			if now := l.ask("v1", "staging").EvidenceSet; now == seen {
				t.Error("approvals are for the same evidence still")
			}
			// Handing it in again, or another one from then, changes nothing.
			// (The log's word alone still verifies it where the timestamp is gone; it was recorded by both.)
			if got, err := l.bundled("", "public", "v1", append(bytes.Clone(late), ' ')); provenance.CodeOf(err) != provenance.BadEvidence && !(kind == sigstore.TSA && got.Known) {
				t.Errorf("again: %+v, %v", got, err)
			}
			l.wants("handed in again", policy.Unmet)
			for id, counts := range l.evidenceOf("v1") {
				if counts {
					t.Errorf("%s counts in the list", id)
				}
			}
			if _, err := l.bundled("", "public", "v1", early); err != nil {
				t.Fatalf("from before: %v", err)
			}
			// What replaced nothing is older than what was withdrawn: no older word comes back.
			l.wants("an older one", policy.Unmet)
			l.now = l.now.Add(time.Minute)
			if err := s.Rotate(kind); err != nil {
				t.Fatal(err)
			}
			s.End(kind, time.Time{})
			l.share("public", s.TrustedRoot())
			if _, err := l.bundled("", "public", "v1", l.attested(s, byURI(workflow), "v1", 0)); err != nil {
				t.Fatalf("by the new authority: %v", err)
			}
			l.wants("by the new authority", policy.Satisfied)
		})
	}
}

// governed checks that the versions of the shared root are guarded.
func (l *ledger) governed(what string) {
	l.t.Helper()
	for _, key := range []string{state.TrustedRootKey("", "public"), state.RootVersionKey("", "public", 1), state.RootListKey("")} {
		if l.guard[key] == nil {
			l.t.Errorf("%s: %s is not guarded", what, readable(key))
		}
	}
}

// TestApprovalsGoStale: an approval that rested on keyless evidence does not stand
// once the authority behind it is trusted no more for that moment.
func TestApprovalsGoStale(t *testing.T) {
	l, s := keyless(t)
	l.govern(`"stages":[{"name":"staging","approvals":{"min":2},"evidence":[{"name":"scan","type":"vuln-scan","signers":[` + byWorkflow + `]}]}]`)
	if _, err := l.bundled("", "public", "v1", l.attested(s, byURI(workflow), "v1", 0)); err != nil {
		t.Fatal(err)
	}
	l.do("publisher@VendorMSP", about("promotion:Request", "v1", "staging")...)
	if v := l.approve("release-manager@SecurityMSP", "v1", "staging"); v.Verdict != policy.Pending {
		t.Fatalf("%+v", v)
	}
	detail := func() string {
		for _, r := range l.ask("v1", "staging").Reasons {
			if r.Rule == "approvals" {
				return r.Detail
			}
		}
		return ""
	}
	if d := detail(); !strings.Contains(d, "1 of 2") {
		t.Fatal(d)
	}
	s.End(sigstore.RekorV1, l.now.Add(-time.Hour))
	l.share("public", s.TrustedRoot())
	if d := detail(); !strings.Contains(d, "0 of 2") {
		t.Errorf("after the log was narrowed: %s", d)
	}
}

// TestSharedRootIsWithdrawn by a vote: nothing more is verified, and what was recorded
// since it was compromised counts no more.
func TestSharedRootIsWithdrawn(t *testing.T) {
	l, s := keyless(t)
	if _, err := l.bundled("", "public", "v1", l.attested(s, byURI(workflow), "v1", 0)); err != nil {
		t.Fatal(err)
	}
	l.now = l.now.Add(time.Hour)
	l.refused(provenance.NotFound, "admin@VendorMSP", "proposal:Open", "trusted-root", withdrawBody("other", ""))
	l.refused(provenance.Invalid, "admin@VendorMSP", "proposal:Open", "trusted-root", withdrawBody("public", l.now.AddDate(0, 1, 0).Format(time.RFC3339)))
	l.vote(withdrawBody("public", ""))
	l.wants("what was recorded before stays", policy.Satisfied)
	if _, err := l.bundled("", "public", "v1", l.attested(s, byURI(workflow), "v1", 0)); provenance.CodeOf(err) != provenance.BadEvidence {
		t.Errorf("after it was withdrawn: %v", err)
	}
	l.refused(provenance.Conflict, "admin@VendorMSP", "proposal:Open", "trusted-root", sharedBody("public", s.TrustedRoot()))
	l.vote(withdrawBody("public", l.now.Add(-2*time.Hour).Format(time.RFC3339)))
	l.wants("compromised before", policy.Unmet)
	l.refused(provenance.Conflict, "admin@VendorMSP", "proposal:Open", "trusted-root", withdrawBody("public", l.now.Add(-time.Minute).Format(time.RFC3339)))
	l.refused(provenance.NotFound, "admin@VendorMSP", "proposal:Vote", strings.Repeat("ab", 32), strings.Repeat("ab", 32), "yes", "")
}

// TestClaimsAreBounded: what a certificate says is read by every verdict, and by people.
func TestClaimsAreBounded(t *testing.T) {
	l, s := keyless(t)
	long := map[int]string{}
	for n := 9; n <= 22; n++ {
		long[n] = strings.Repeat("a", 600)
	}
	for name, claims := range map[string]map[int]string{"long": long, "turned": {11: "hosted\u202edetsoh"}, "controls": {11: "hosted\u009b1A"}} {
		id := byURI(workflow)
		id.Claims = claims
		if _, err := l.bundled("", "public", "v1", l.attested(s, id, "v1", 0)); provenance.CodeOf(err) != provenance.BadEvidence {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConditionsAboutCertificates(t *testing.T) {
	l, s := keyless(t)
	l.govern(`"stages":[{"name":"staging","approvals":{"min":1},"evidence":[{"name":"scan","type":"vuln-scan","signers":[` + byWorkflow + `],
	 "condition":"certificate.runnerEnvironment == 'hosted' && certificate.sourceRepositoryRef == 'refs/heads/main' && facts.critical == 0"}]}]`)
	id := byURI(workflow)
	bring := func(claims map[int]string) {
		t.Helper()
		l.now = l.now.Add(time.Minute)
		id.Claims = claims
		if _, err := l.bundled("", "public", "v1", l.attested(s, id, "v1", 0)); err != nil {
			t.Fatal(err)
		}
	}
	bring(map[int]string{11: "hosted", 14: "refs/heads/main"})
	l.wants("all of it", policy.Satisfied)
	bring(map[int]string{11: "hosted"})
	l.wants("a claim is missing", policy.Violated)
	bring(map[int]string{11: "hosted", 14: "refs/heads/mainx"})
	l.wants("another reference", policy.Violated)
	bring(map[int]string{11: "hosted", 14: "refs/heads/main"})
	l.wants("again", policy.Satisfied)
}

// TestKeylessReleases: a stage whose rules name nobody but a workflow is released by
// anybody's gateway, once the workflow's word is there.
func TestKeylessReleases(t *testing.T) {
	l, s := keyless(t)
	l.do("publisher@VendorMSP", about("promotion:Request", "v1", "staging")...)
	l.approve("release-manager@SecurityMSP", "v1", "staging")
	if _, err := l.bundled("", "public", "v1", l.attested(s, byURI(workflow), "v1", 0)); err != nil {
		t.Fatal(err)
	}
	if v := l.verdict("gateway@PlatformMSP", about("release:Auto", "v1", "staging")...); v.Verdict != policy.Allowed {
		t.Errorf("%+v", v)
	}
}

// TestAccidentsAreNotProposed: a policy whose identities could accept somebody its author
// did not think of does not come into force.
func TestAccidentsAreNotProposed(t *testing.T) {
	l := network(t)
	for _, entry := range []string{
		`{"identity":"https://git.example**","issuer":"` + forge + `"}`, `{"identity":"https://*/team/app","issuer":"` + forge + `"}`, `{"identity":"https://github.com/*/app","issuer":"` + forge + `"}`,
		`{"org":"VendorMSP","root":"public","identity":"*@*","issuer":"` + forge + `"}`, `{"identity":"` + workflow + `","issuer":"https://*.example"}`,
		`{"identity":"` + workflow + `"}`, `{"issuer":"` + forge + `"}`, `{"root":"public"}`, `{"org":"VendorMSP","issuer":"` + forge + `"}`, `{}`,
	} {
		l.refused(provenance.Invalid, "admin@VendorMSP", "proposal:Open", "policy",
			`{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":"other"},"spec":{"match":["reg.example:5000/other/**"],"stages":[{"name":"staging","approvals":{"min":1},
			 "evidence":[{"name":"scan","type":"vuln-scan","signers":[`+entry+`]}]}]}}`)
	}
}
