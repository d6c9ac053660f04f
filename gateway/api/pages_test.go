package api_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/block"
)

// items reads a list by pages over REST and returns the items, as JSON, of its field.
func (g *gatewayUnderTest) items(id identity, path, field string, size int) (items []string, pages int) {
	g.t.Helper()
	join := "?"
	if strings.Contains(path, "?") {
		join = "&"
	}
	for token := ""; ; {
		status, body := g.rest(id, "GET", fmt.Sprintf("%s%spageSize=%d&pageToken=%s", path, join, size, url.QueryEscape(token)), "")
		if status != 200 {
			g.t.Fatalf("%s: %d %v", path, status, body)
		}
		list, _ := body[field].([]any)
		for _, one := range list {
			items = append(items, string(encode(g.t, one)))
		}
		if pages++; pages > 100 {
			g.t.Fatalf("%s does not end", path)
		}
		if token = fmt.Sprint(body["nextPageToken"]); token == "" || token == "<nil>" {
			return items, pages
		}
	}
}

// TestPagesOfEveryList: every list is told whole, page by page, and says when
// there is more.
func TestPagesOfEveryList(t *testing.T) {
	g := start(t, nil)
	s := g.ruled()
	vendor := policy.Person{MSP: "VendorMSP", Name: "rm"}
	var writes []block.Write
	add := func(key string, record any) { writes = append(writes, g.put(key, record)) }
	p := parsed(t, ruledPolicy)
	catalogue := state.Catalogue{}
	for i := range 7 {
		n := fmt.Sprint("n", i)
		add(state.LabelsKey(host, provenance.Repository("team/"+n)), state.Labels{Labels: map[string]string{"tier": n}})
		add(state.ContextKey(n+"MSP"), state.Context{Values: map[string]policy.Value{"incident": {Value: true}}})
		add(state.SchemaKey("VendorMSP", n), state.Schema{Name: n, MSP: "VendorMSP"})
		add(state.TrustKeyKey("VendorMSP", n), state.TrustKey{MSP: "VendorMSP", Name: n})
		add(state.RegistryKey(provenance.Host(n+".example")), state.Registry{Host: provenance.Host(n + ".example"), Claims: []state.Claim{{Owner: "VendorMSP"}, {Namespace: "team", Owner: "AuditMSP"}}})
		add(state.WaiversKey(host, provenance.Repository("team/"+n), "VendorMSP"), state.Waivers{Waivers: []state.Waiver{{ID: n, Until: soon()}}})
		add(state.TakenKey(policy.Person{MSP: "VendorMSP", Name: n}), state.TakenBack{MSP: "VendorMSP", Identity: n, Since: moment(1)})
		add(state.PolicyKey(n, 1), state.PolicyVersion{Name: n, Version: 1, Text: p.Canonical()})
		catalogue.Policies = append(catalogue.Policies, state.CatalogueEntry{Name: n, Version: 1, Match: []string{n + ".example/**"}})
		add(state.PolicyKey("ruled", i+1), state.PolicyVersion{Name: "ruled", Version: i + 1, Text: p.Canonical()})
		status := state.ProposalOpen
		if i%2 == 0 {
			status = state.ProposalAccepted
		}
		add(state.ProposalKey(n), state.Proposal{ID: n, Kind: state.ProposeMemberAdd, Name: n, Status: status, Act: state.Act{By: vendor}})
	}
	add(state.PoliciesKey(), state.Catalogue{Policies: append(catalogue.Policies, state.CatalogueEntry{Name: "ruled", Version: 7, Match: p.Spec.Match})})
	g.block("admin@VendorMSP", writes...)
	var pieces []state.Evidence
	for i := range 7 {
		pieces = append(pieces, signed("sbom", fmt.Sprint("e", i), fmt.Sprint("key", i), moment(i)))
	}
	g.give(s.Digest, pieces...)
	through := s
	through.Digest = digest("index")
	g.give(through.Digest, pieces...)
	g.block("rm@VendorMSP", g.put(s.CarrierKey(), state.Carrier{Index: through.Digest}))
	id := g.audit.issue("rm", soon())
	for _, tc := range []struct {
		path, field string
		want        int
	}{
		{"/v1/labels", "labels", 7}, {"/v1/context", "variables", 7}, {"/v1/schemas", "schemas", 7}, {"/v1/keys", "keys", 7},
		{"/v1/keys?msp=VendorMSP", "keys", 7}, {"/v1/registries", "registries", 15}, {"/v1/waivers", "waivers", 7}, {"/v1/members", "members", 3},
		{"/v1/members", "grants", 5}, {"/v1/members", "takenBack", 7}, {"/v1/members", "invited", 1}, {"/v1/policies", "policies", 8}, {"/v1/policies/ruled/versions", "versions", 7},
		{"/v1/proposals", "proposals", 7}, {"/v1/proposals?status=open", "proposals", 3},
		{query("/v1/evidence", "image", inTeam+s.Digest.String()), "evidence", 14}, {query("/v1/evidence", "image", s.Digest.String(), "type", "sbom"), "evidence", 14},
	} {
		whole, one := g.items(id, tc.path, tc.field, 500)
		if len(whole) != tc.want || one != 1 {
			t.Errorf("%s: %d %s on %d pages, want %d on one", tc.path, len(whole), tc.field, one, tc.want)
		}
		for _, size := range []int{1, 3, 7} {
			got, pages := g.items(id, tc.path, tc.field, size)
			less := cmp.Transformer("sorted", func(all []string) map[string]int {
				n := map[string]int{}
				for _, x := range all {
					n[x]++
				}
				return n
			})
			if diff := cmp.Diff(whole, got, less); diff != "" || tc.want > size && pages < 2 && tc.field != "invited" {
				t.Errorf("%s by %d, %d pages, -whole +pages:\n%s", tc.path, size, pages, diff)
			}
		}
		with := func(text string) string {
			if strings.Contains(tc.path, "?") {
				return tc.path + "&" + text
			}
			return tc.path + "?" + text
		}
		if status, body := g.rest(id, "GET", with("pageSize=501"), ""); status != 400 {
			t.Errorf("%s: 501 on a page: %d %v", tc.path, status, body)
		}
		if status, body := g.rest(id, "GET", with("pageToken=%2F%2F"), ""); status != 400 || body["code"] != "WB_INVALID" {
			t.Errorf("%s: a token that is none: %d %v", tc.path, status, body)
		}
	}
	// Open proposals first, also where they end with a page.
	for _, size := range []int{1, 2, 3, 4} {
		got, _ := g.items(id, "/v1/proposals", "proposals", size)
		for i, p := range got {
			if strings.Contains(p, `"status":"open"`) != (i < 3) {
				t.Errorf("by %d: %d is %s", size, i, p)
			}
		}
	}
	_, body := g.rest(id, "GET", "/v1/labels?pageSize=2", "")
	if status, _ := g.rest(id, "GET", "/v1/context?pageSize=2&pageToken="+fmt.Sprint(body["nextPageToken"]), ""); status != 400 {
		t.Errorf("the token of another list: %d", status)
	}
	_, body = g.rest(id, "GET", "/v1/keys?pageSize=2", "")
	if status, _ := g.rest(id, "GET", "/v1/keys?msp=VendorMSP&pageSize=2&pageToken="+fmt.Sprint(body["nextPageToken"]), ""); status != 400 {
		t.Errorf("the token of another filter: %d", status)
	}
}

// TestNoSilentEnd: what comes after the first thousand is told too.
func TestNoSilentEnd(t *testing.T) {
	g := start(t, nil)
	g.ruled()
	var writes []block.Write
	for i := range 1203 {
		writes = append(writes, g.put(state.LabelsKey(host, provenance.Repository(fmt.Sprintf("team/r%04d", i))), state.Labels{Labels: map[string]string{"tier": "1"}}),
			g.put(state.GrantKey("VendorMSP", fmt.Sprintf("p%04d", i), "auditor"), state.Grant{MSP: "VendorMSP", Identity: fmt.Sprint(i), Role: state.RoleAuditor}))
	}
	g.block("admin@VendorMSP", writes...)
	var proposals []block.Write
	for i := range 603 {
		p := state.Proposal{ID: fmt.Sprint(i), Kind: state.ProposeMemberAdd, Name: "NewMSP", Status: state.ProposalRejected}
		proposals = append(proposals, g.put(state.ProposalKey(p.ID), p))
	}
	g.block("admin@VendorMSP", proposals...)
	var places []block.Write
	for i := range 502 {
		places = append(places, g.put(state.PlaceKey(digest("everywhere"), host, provenance.Repository(fmt.Sprint("r", i))), &state.Place{MSP: "VendorMSP", Proven: true}))
	}
	g.block("gateway@VendorMSP", places...)
	c := g.client(g.audit.issue("rm", soon()))
	labels, err := c.ListLabels(t.Context(), "")
	if err != nil || len(labels.GetLabels()) != 1203 || labels.GetNextPageToken() != "" {
		t.Errorf("%d labels, %q, %v", len(labels.GetLabels()), labels.GetNextPageToken(), err)
	}
	members, err := c.ListMembers(t.Context())
	if err != nil || len(members.GetGrants()) != 1203+5 || len(members.GetMembers()) != 3 || len(members.GetInvited()) != 1 || members.GetNeeded() != 2 {
		t.Errorf("%d grants, %d members, %v", len(members.GetGrants()), len(members.GetMembers()), err)
	}
	all, err := c.ListProposals(t.Context(), "")
	if err != nil || len(all.GetProposals()) != 603 {
		t.Errorf("%d proposals, %v", len(all.GetProposals()), err)
	}
	image, err := c.GetImage(t.Context(), digest("everywhere").String())
	if err != nil || len(image.GetPlaces()) != 500 || !image.GetTruncated() {
		t.Errorf("%d places, truncated %v, %v", len(image.GetPlaces()), image.GetTruncated(), err)
	}
	if evidence, err := c.GetEvidence(t.Context(), digest("everywhere").String(), ""); err != nil || !evidence.GetTruncated() {
		t.Errorf("evidence: %v, %v", evidence, err)
	}
	if image, err := c.GetImage(t.Context(), string(host)+"/r7@"+digest("everywhere").String()); err != nil || len(image.GetPlaces()) != 1 || image.GetTruncated() {
		t.Errorf("of one repository: %v, %v", image, err)
	}
}
