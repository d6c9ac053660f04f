package api_test

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

func soon() time.Time { return time.Now().Add(time.Hour) }

// ledger fills the index: members, a policy, an image pushed as 1.0 and promoted.
func (g *gatewayUnderTest) ledger() state.Subject {
	g.t.Helper()
	text := []byte(`{"apiVersion":"waybill.dev/v1","kind":"ReleasePolicy","metadata":{"name":"default"},"spec":{"match":["reg.example:5000/team/**"],"stages":[{"name":"production","approvals":{"min":1}}]}}`)
	p, err := policy.Parse(text)
	if err != nil {
		g.t.Fatal(err)
	}
	s := state.Subject{Stage: "production", Host: host, Repository: repo, Digest: digest("v1")}
	vendor := policy.Person{MSP: "VendorMSP", Name: "admin"}
	version := state.PolicyVersion{Name: "default", Version: 1, Hash: "abc", Text: p.Canonical(), Source: "# why\n", Voters: []policy.Person{vendor}}
	next := state.Proposal{ID: "p1", Kind: state.ProposePolicy, Name: "default", Hash: "def", Base: 1, Body: p.Canonical(), Status: state.ProposalOpen, Act: state.Act{By: vendor}}
	stale := state.Proposal{ID: "p0", Kind: state.ProposePolicy, Name: "default", Hash: "old", Base: 0, Body: p.Canonical(), Status: state.ProposalOpen, Act: state.Act{By: vendor}}
	g.block("admin@VendorMSP",
		g.put(state.MembersKey(), state.Members{MSPs: []string{"AuditMSP", "VendorMSP"}}),
		g.put(state.MemberKey("VendorMSP"), state.Member{MSP: "VendorMSP", Name: "vendor"}), g.put(state.MemberKey("AuditMSP"), state.Member{MSP: "AuditMSP", Name: "audit"}),
		g.put(state.GrantKey("AuditMSP", "rm", "release-manager"), state.Grant{MSP: "AuditMSP", Identity: "rm", Role: state.RoleReleaseManager}),
		g.put(state.RegistryKey(host), state.Registry{Host: host, Claims: []state.Claim{{Owner: "VendorMSP", Kind: "distribution"}}}),
		g.put(state.PoliciesKey(), state.Catalogue{Policies: []state.CatalogueEntry{{Name: "default", Version: 1, Match: p.Spec.Match}}}),
		g.put(state.PolicyKey("default", 1), version), g.put(state.ProposalKey("p1"), next), g.put(state.ProposalKey("p0"), stale),
		g.put(state.BallotKey("p1", "VendorMSP"), state.Ballot{Proposal: "p1", MSP: "VendorMSP", Yes: true, Act: state.Act{By: vendor}}))
	segment, err := provenance.EncodeSegment([]provenance.Event{push("1.0", "v1")})
	if err != nil {
		g.t.Fatal(err)
	}
	g.block("gateway@VendorMSP", block.Write{Key: state.JournalKey(time.Time{}, host, "VendorMSP", "l", 1), Value: segment},
		g.put(state.PlaceKey(s.Digest, host, repo), state.Place{MSP: "VendorMSP", Size: 7, Proven: true}), g.put(state.TagKey(host, repo, "1.0"), state.Tag{Digest: s.Digest, Moves: 1}))
	g.block("rm@VendorMSP", g.put(s.PromotionKey(), state.Promotion{Subject: s, Attempt: 1, Status: state.PromotionOpen, Requester: vendor, At: time.Now()}))
	return s
}

func (g *gatewayUnderTest) release(s state.Subject) {
	g.t.Helper()
	by := policy.Person{MSP: "AuditMSP", Name: "rm"}
	g.block("rm@AuditMSP", g.put(s.ApprovalKey(1, "AuditMSP"), state.Approval{Subject: s, Attempt: 1, Approval: policy.Approval{By: by}}),
		g.put(s.PromotionKey(), state.Promotion{Subject: s, Attempt: 1, Status: state.PromotionReleased, Requester: policy.Person{MSP: "VendorMSP", Name: "admin"}}), g.put(s.ReleaseKey(), state.Current{Digest: s.Digest}),
		g.put(s.ReleasedKey(), state.Release{Subject: s, Attempt: 1, Policy: policy.Version{Name: "default", Version: 1}, Approvers: []state.Approver{{Person: by}}}))
}

func TestIdentity(t *testing.T) {
	g := start(t, nil)
	g.ledger()
	foreign := newAuthority(t, "vendor") // the same name, another key
	revoked := g.audit.issue("lost-laptop", soon())
	organisations := *g.organisations.Load()
	organisations[1].RevocationLists = [][]byte{g.audit.revoke(revoked.serial)}
	people, machines := g.vendor.below("people"), g.vendor.below("machines")
	organisations[0].IntermediateCerts = [][]byte{people.pem}
	g.organisations.Store(&organisations)
	for _, tc := range []struct {
		name          string
		id            identity
		read, operate int
		messageAnd    string
	}{
		{"own member", g.vendor.issue("admin", soon()), 200, 200, ""},
		{"another member", g.audit.issue("auditor", soon()), 200, 403, "only people of VendorMSP"},
		{"no certificate", identity{}, 401, 401, "no client certificate"},
		{"a foreign authority", foreign.issue("admin", soon()), 401, 401, "not signed by a member"},
		{"expired", g.vendor.issue("admin", time.Now().Add(-time.Minute)), 401, 401, "valid from"},
		{"revoked", revoked, 401, 401, "revoked by AuditMSP"},
		{"below an authority of the channel's", people.issue("admin", soon()), 200, 200, ""},
		{"below one that it brings", machines.with(machines.issueOU("admin", soon(), "admin")), 401, 401, "not signed by a member"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for path, want := range map[string]int{"/v1/members": tc.read, "/v1/queue/dead": tc.operate} {
				got, body := g.rest(tc.id, "GET", path, "")
				if got != want || (want != 200 && (body["code"] != "WB_FORBIDDEN" || !strings.Contains(fmt.Sprint(body["message"]), tc.messageAnd))) {
					t.Errorf("REST %s: %d %v, want %d", path, got, body, want)
				}
			}
			c := g.client(tc.id)
			_, err := c.ListMembers(t.Context())
			checkAccess(t, "members", err, tc.read, tc.messageAnd)
			_, err = c.ListDeadLetters(t.Context(), &waybillv1.ListDeadLettersRequest{})
			checkAccess(t, "dead letters", err, tc.operate, tc.messageAnd)
		})
	}
	t.Run("a member leaves", func(t *testing.T) {
		auditor := g.audit.issue("auditor", soon())
		c := g.client(auditor)
		if _, err := c.ListMembers(t.Context()); err != nil {
			t.Fatal(err)
		}
		left := (*g.organisations.Load())[:1]
		g.organisations.Store(&left)
		if _, err := c.ListMembers(t.Context()); provenance.CodeOf(err) != provenance.Forbidden {
			t.Errorf("on the same connection: %v", err)
		}
	})
}

// below is an authority that this one signed.
func (a *authority) below(name string) *authority {
	out := &authority{t: a.t, dir: a.t.TempDir(), next: 1, key: newKey(a.t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(77), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), SubjectKeyId: []byte(name),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, out.key.Public(), a.key)
	if err == nil {
		out.cert, err = x509.ParseCertificate(der)
	}
	if err != nil {
		a.t.Fatal(err)
	}
	out.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return out
}

// with has somebody bring the authority's certificate along.
func (a *authority) with(id identity) identity {
	text, err := os.ReadFile(id.cert)
	if err != nil {
		a.t.Fatal(err)
	}
	write(a.t, id.cert, append(text, a.pem...))
	return id
}

func checkAccess(t *testing.T, what string, err error, want int, message string) {
	t.Helper()
	if want == 200 {
		if err != nil {
			t.Errorf("gRPC %s: %v", what, err)
		}
		return
	}
	if provenance.CodeOf(err) != provenance.Forbidden || !strings.Contains(err.Error(), message) {
		t.Errorf("gRPC %s: %v, want %q", what, err, message)
	}
}

func TestAnonymousReads(t *testing.T) {
	g := start(t, func(c *api.Config) { c.AnonymousReads = true })
	g.ledger()
	if got, body := g.rest(identity{}, "GET", "/v1/members", ""); got != 200 {
		t.Errorf("read: %d %v", got, body)
	}
	if got, body := g.rest(identity{}, "POST", "/v1/queue/retry", `{"all":true}`); got != 401 || g.queue.retried.Load() != 0 {
		t.Errorf("operate: %d %v", got, body)
	}
	expired := g.vendor.issue("admin", time.Now().Add(-time.Minute))
	if got, body := g.rest(expired, "GET", "/v1/members", ""); got != 401 {
		t.Errorf("an expired certificate: %d %v", got, body)
	}
	if _, err := g.client(identity{}).GetStatus(t.Context()); err != nil {
		t.Errorf("gRPC: %v", err)
	}
}

func TestAnswers(t *testing.T) {
	g := start(t, nil)
	s := g.ledger()
	c := g.client(g.audit.issue("auditor", soon()))
	ctx := t.Context()
	byTag := "reg.example:5000/team/app:1.0"
	verdict := func() *waybillv1.GetVerdictResponse {
		t.Helper()
		v, err := c.GetVerdict(ctx, byTag, "production")
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if v := verdict(); v.GetVerdict() != "pending" || v.GetDigest() != s.Digest.String() || len(v.GetReasons()) != 3 || v.GetReasons()[1].GetFix() == "" || v.GetPolicy().GetVersion() != 1 {
		t.Errorf("promoted: %v", v)
	}
	g.release(s)
	if v := verdict(); v.GetVerdict() != "allowed" || v.GetHeight() != 4 || v.GetImage() != "reg.example:5000/team/app@"+s.Digest.String() {
		t.Errorf("released: %v", v)
	}
	image, err := c.GetImage(ctx, byTag)
	if err != nil || len(image.GetPlaces()) != 1 || len(image.GetReleases()) != 1 || !image.GetReleases()[0].GetCurrent() ||
		len(image.GetPromotions()) != 1 || len(image.GetPromotions()[0].GetApprovals()) != 1 || image.GetPlaces()[0].GetTags()[0] != "1.0" || image.GetPlaces()[0].GetSize() != 7 {
		t.Errorf("image: %v, %v", image, err)
	}
	policies, err := c.ListPolicies(ctx)
	if err != nil || len(policies.GetPolicies()) != 1 || policies.GetPolicies()[0].GetSource() != "# why\n" || len(policies.GetProposals()) != 2 || policies.GetProposals()[1].GetHash() != "def" || !policies.GetProposals()[0].GetOutdated() {
		t.Errorf("policies: %v, %v", policies, err)
	}
	g.block("scanner@AuditMSP", g.put(state.HoldKey(s.Digest, "AuditMSP"), state.Hold{Digest: s.Digest, MSP: "AuditMSP", Reason: "CVE"}))
	if v := verdict(); v.GetVerdict() != "quarantined" {
		t.Errorf("quarantined: %v", v)
	}
	var kinds []string
	request := &waybillv1.ListHistoryRequest{Image: byTag + "@" + s.Digest.String(), PageSize: 2}
	for {
		page, err := c.ListHistory(ctx, request)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.GetEntries() {
			kinds = append(kinds, e.GetKind())
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			break
		}
	}
	if diff := cmp.Diff([]string{"push", "promotion", "approval", "release", "hold"}, kinds); diff != "" {
		t.Error(diff)
	}
	for _, name := range []string{"reg.example:5000/team/app", byTag, s.Digest.String()} {
		if page, err := c.ListHistory(ctx, &waybillv1.ListHistoryRequest{Image: name, NewestFirst: true}); err != nil || len(page.GetEntries()) == 0 {
			t.Errorf("history of %s: %v, %v", name, page, err)
		}
	}
}

func TestErrors(t *testing.T) {
	g := start(t, nil)
	g.ledger()
	g.block("gateway@VendorMSP", g.put(state.TagKey(host, repo, "gone"), state.Tag{Previous: digest("v0"), Moves: 2}),
		block.Write{Key: state.TagKey(host, repo, "broken"), Value: []byte("{")})
	id := g.vendor.issue("admin", soon())
	for _, tc := range []struct {
		method, path, body string
		status             int
		code               provenance.Code
		message            string
	}{
		{"GET", "/v1/verdict?image=app&stage=production", "", 400, provenance.Invalid, "with the registry's host"},
		{"GET", "/v1/verdict?image=reg.example:5000/team/app:1.0&stage=%00", "", 400, provenance.Invalid, "stage"},
		{"GET", "/v1/verdict?image=reg.example:5000/team/app:none&stage=production", "", 404, provenance.NotFound, "is not on the ledger"},
		{"GET", "/v1/verdict?image=reg.example:5000/team/app:gone&stage=production", "", 404, provenance.NotFound, "was deleted"},
		{"GET", "/v1/verdict?image=reg.example:5000/team/app:broken&stage=production", "", 500, provenance.Internal, "its log has the details"},
		{"GET", "/v1/image?image=" + digest("never").String(), "", 404, provenance.NotFound, "is not on the ledger"},
		{"GET", "/v1/policies/none", "", 404, provenance.NotFound, "policy none"},
		{"GET", "/v1/history?image=reg.example:5000/team/app:1.0&pageSize=501", "", 400, provenance.Invalid, "page size 501"},
		{"GET", "/v1/history?image=reg.example:5000/team/app:1.0&pageSize=x", "", 400, provenance.Invalid, "page_size"},
		{"GET", "/v1/history?image=reg.example:5000/team/app:1.0&pageToken=x", "", 400, provenance.Invalid, "page token"},
		{"GET", "/v1/promotions?status=odd", "", 400, provenance.Invalid, "status"},
		{"POST", "/v1/queue/retry", `{}`, 400, provenance.Invalid, "ids, or all"},
		{"POST", "/v1/queue/retry", `{"all":true,"ids":["1"]}`, 400, provenance.Invalid, "ids, or all"},
		{"POST", "/v1/queue/retry", `{"every":true}`, 400, provenance.Invalid, "every"},
		{"POST", "/v1/queue/retry", `{"ids":[` + strings.Repeat("1,", 60000) + `1]}`, 400, provenance.Invalid, "too large"},
		{"POST", "/v1/status", "", 405, provenance.NotFound, "/v1/status"},
		{"GET", "/v1/nothing", "", 404, provenance.NotFound, "/v1/nothing"},
		{"GET", "/nothing", "", 404, provenance.NotFound, "/nothing"},
	} {
		status, body := g.rest(id, tc.method, tc.path, tc.body)
		if status != tc.status || body["code"] != string(tc.code) || !strings.Contains(fmt.Sprint(body["message"]), tc.message) {
			t.Errorf("%s %s: %d %v, want %d %s %q", tc.method, tc.path, status, body, tc.status, tc.code, tc.message)
		}
	}
	c := g.client(id)
	if _, err := c.GetTag(t.Context(), host, repo, "none"); provenance.CodeOf(err) != provenance.NotFound || !strings.Contains(api.HintOf(err), "push it") {
		t.Errorf("gRPC: %v, hint %q", err, api.HintOf(err))
	}
	if _, err := c.GetImage(t.Context(), "reg.example:5000/team/app:broken"); provenance.CodeOf(err) != provenance.Internal || strings.Contains(err.Error(), "JSON") {
		t.Errorf("gRPC internal: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	if _, err := c.GetStatus(ctx); provenance.CodeOf(err) != provenance.Unavailable {
		t.Errorf("out of time: %v", err)
	}
}

func TestStale(t *testing.T) {
	g := start(t, nil)
	s := g.ledger()
	id := g.audit.issue("auditor", soon())
	c := g.client(id)
	g.fresh.Store(&readmodel.Freshness{Stale: true, Waiting: "fewer than 3 organisations endorse"})
	byTag := "reg.example:5000/team/app:1.0"
	if v, err := c.GetVerdict(t.Context(), byTag, "production"); err != nil || v.GetVerdict() != "pending" || !v.GetStale() {
		t.Errorf("what is not allowed: %v, %v", v, err)
	}
	g.release(s)
	if v, err := c.GetVerdict(t.Context(), byTag, "production"); provenance.CodeOf(err) != provenance.Unavailable || v != nil {
		t.Errorf("what was allowed: %v, %v", v, err)
	}
	if status, body := g.rest(id, "GET", "/v1/verdict?stage=production&image="+byTag, ""); status != 503 || body["code"] != "WB_UNAVAILABLE" {
		t.Errorf("REST: %d %v", status, body)
	}
	if image, err := c.GetImage(t.Context(), byTag); err != nil || !image.GetStale() {
		t.Errorf("other reads: %v, %v", image, err)
	}
	if st, err := c.GetStatus(t.Context()); err != nil || st.GetWaitingReason() == "" || !st.GetStale() || st.GetQueue().GetPending() != 3 {
		t.Errorf("status: %v, %v", st, err)
	}
}

// A height that the peer said before its latest blocks came is not below the index's own.
func TestStatusPeerHeight(t *testing.T) {
	g := start(t, nil)
	g.ledger()
	c := g.client(g.audit.issue("auditor", soon()))
	for _, asked := range []uint64{0, g.height - 1, g.height, g.height + 5} {
		g.fresh.Store(&readmodel.Freshness{Ready: true, PeerHeight: asked})
		st, err := c.GetStatus(t.Context())
		if err != nil || st.GetHeight() != g.height || st.GetPeerHeight() != max(asked, g.height) {
			t.Errorf("the peer said %d: height %d, peer height %d, %v", asked, st.GetHeight(), st.GetPeerHeight(), err)
		}
	}
}

func TestHealthAndPlainHTTP(t *testing.T) {
	g := start(t, nil)
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/openapi.json": 200, "/hooks/main": http.StatusTeapot} {
		if got, body := g.rest(identity{}, "GET", path, ""); got != want {
			t.Errorf("%s: %d %v", path, got, body)
		}
	}
	if _, body := g.rest(identity{}, "GET", "/openapi.json", ""); body["swagger"] != "2.0" || len(body["paths"].(map[string]any)) != 35 {
		t.Errorf("OpenAPI: %d paths", len(body["paths"].(map[string]any)))
	}
	g.fresh.Store(&readmodel.Freshness{Ready: false})
	if got, body := g.rest(identity{}, "GET", "/readyz", ""); got != 503 || body["code"] != "WB_UNAVAILABLE" {
		t.Errorf("not caught up: %d %v", got, body)
	}
}

func TestDeadLetters(t *testing.T) {
	g := start(t, nil)
	g.queue.n.Store(7)
	c := g.client(g.vendor.issue("admin", soon()))
	var ids []int64
	request := &waybillv1.ListDeadLettersRequest{PageSize: 3}
	for {
		page, err := c.ListDeadLetters(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range page.GetLetters() {
			ids = append(ids, l.GetId())
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			break
		}
	}
	if diff := cmp.Diff([]int64{1, 2, 3, 4, 5, 6, 7}, ids); diff != "" {
		t.Error(diff)
	}
	if r, err := c.RetryDeadLetters(t.Context(), &waybillv1.RetryDeadLettersRequest{Ids: ids[:2]}); err != nil || r.GetRetried() != 2 {
		t.Errorf("two: %v, %v", r, err)
	}
	if r, err := c.RetryDeadLetters(t.Context(), &waybillv1.RetryDeadLettersRequest{All: true}); err != nil || r.GetRetried() != 7 {
		t.Errorf("all: %v, %v", r, err)
	}
}

func TestUnreachable(t *testing.T) {
	c, err := api.Dial(t.Context(), api.ClientConfig{Address: "127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetStatus(t.Context()); provenance.CodeOf(err) != provenance.Unavailable {
		t.Errorf("nobody there: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
