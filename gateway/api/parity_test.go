package api_test

import (
	"encoding/json"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// TestParity makes every read over both protocols and compares the answers.
func TestParity(t *testing.T) {
	g := start(t, nil)
	s := g.ledger()
	g.release(s)
	g.queue.n.Store(2)
	id := g.vendor.issue("admin", soon())
	c := g.client(id)
	ctx := t.Context()
	byTag, byDigest := "reg.example:5000/team/app:1.0", "reg.example:5000/team/app@"+s.Digest.String()
	for _, tc := range []struct {
		path string
		call func() (proto.Message, error)
		into proto.Message
	}{
		{"/v1/status", func() (proto.Message, error) { return c.GetStatus(ctx) }, &waybillv1.GetStatusResponse{}},
		{query("/v1/image", "image", byTag), func() (proto.Message, error) { return c.GetImage(ctx, byTag) }, &waybillv1.GetImageResponse{}},
		{query("/v1/image", "image", s.Digest.String()), func() (proto.Message, error) { return c.GetImage(ctx, s.Digest.String()) }, &waybillv1.GetImageResponse{}},
		{query("/v1/tag", "host", string(host), "repository", string(repo), "tag", "1.0"), func() (proto.Message, error) { return c.GetTag(ctx, host, repo, "1.0") }, &waybillv1.GetTagResponse{}},
		{query("/v1/verdict", "image", byDigest, "stage", "production"), func() (proto.Message, error) { return c.GetVerdict(ctx, byDigest, "production") }, &waybillv1.GetVerdictResponse{}},
		{query("/v1/history", "image", byDigest, "pageSize", "2"), func() (proto.Message, error) {
			return c.ListHistory(ctx, &waybillv1.ListHistoryRequest{Image: byDigest, PageSize: 2})
		}, &waybillv1.ListHistoryResponse{}},
		{query("/v1/promotions", "stage", "production", "repository", "reg.example:5000/team/app", "status", "released"), func() (proto.Message, error) {
			return c.ListPromotions(ctx, &waybillv1.ListPromotionsRequest{Stage: "production", Repository: "reg.example:5000/team/app", Status: "released"})
		}, &waybillv1.ListPromotionsResponse{}},
		{"/v1/policies", func() (proto.Message, error) { return c.ListPolicies(ctx) }, &waybillv1.ListPoliciesResponse{}},
		{"/v1/policies/default", func() (proto.Message, error) { return c.GetPolicy(ctx, "default", 0) }, &waybillv1.GetPolicyResponse{}},
		{"/v1/members", func() (proto.Message, error) { return c.ListMembers(ctx) }, &waybillv1.ListMembersResponse{}},
		{"/v1/registries", func() (proto.Message, error) { return c.ListRegistries(ctx) }, &waybillv1.ListRegistriesResponse{}},
		{"/v1/queue/dead", func() (proto.Message, error) {
			return c.ListDeadLetters(ctx, &waybillv1.ListDeadLettersRequest{})
		}, &waybillv1.ListDeadLettersResponse{}},
		{"/v1/queue/unusable", func() (proto.Message, error) {
			return c.ListUnusable(ctx, &waybillv1.ListUnusableRequest{})
		}, &waybillv1.ListUnusableResponse{}},
	} {
		g.parity(id, "GET", tc.path, "", tc.call, tc.into)
	}
}

// parity makes one call over both protocols and compares the answers.
func (g *gatewayUnderTest) parity(id identity, method, path, request string, call func() (proto.Message, error), into proto.Message) {
	t := g.t
	t.Helper()
	got, err := call()
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return
	}
	status, body := g.rest(id, method, path, request)
	b, _ := protojson.Marshal(got) // only for the message below
	if status != 200 {
		t.Errorf("%s: %d %v", path, status, body)
		return
	}
	if err := protojson.Unmarshal(encode(t, body), into); err != nil {
		t.Errorf("%s: %v", path, err)
	}
	if diff := cmp.Diff(got, into, protocmp.Transform()); diff != "" {
		t.Errorf("%s differs: %s", path, diff)
	}
	height := got.ProtoReflect().Get(got.ProtoReflect().Descriptor().Fields().ByName("height")).Uint()
	if height != g.height || len(b) < 20 {
		t.Errorf("%s at height %d, want %d: %s", path, height, g.height, b)
	}
}

func query(path string, pairs ...string) string {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return path + "?" + v.Encode()
}

// TestParityOfRules makes every read about rules and evidence over both protocols.
func TestParityOfRules(t *testing.T) {
	g := start(t, nil)
	s := g.ruled()
	g.calm()
	g.attested(s.Digest)
	g.proposed(state.Proposal{ID: "p1", Kind: state.ProposeMemberAdd, Name: "NewMSP"}, "VendorMSP")
	g.block("rm@VendorMSP",
		g.put(state.WaiversKey(host, repo, "VendorMSP"), state.Waivers{Waivers: []state.Waiver{{ID: "w1", Stage: "production", Rule: "evidence/scan", Until: soon()}}}),
		g.put(state.LabelsKey(host, repo), state.Labels{Labels: map[string]string{"tier": "1"}}),
		g.put(state.SchemaKey("VendorMSP", "licence"), state.Schema{Name: "licence", MSP: "VendorMSP", Schema: json.RawMessage(`{}`)}),
		g.put(state.TrustKeyKey("VendorMSP", "build"), state.TrustKey{MSP: "VendorMSP", Name: "build", Withdrawn: &state.Withdrawal{Reason: "retired"}}),
		g.put(s.ReleasedKey(), state.Release{Subject: s, Policy: policy.Version{Name: "ruled", Version: 1}, Debt: &policy.Debt{By: policy.Person{MSP: "VendorMSP", Name: "rm"}, Due: soon()}}))
	id := g.audit.issue("rm", soon())
	c := g.client(id)
	ctx := t.Context()
	image, repository := inTeam+s.Digest.String(), "reg.example:5000/team/app"
	for _, tc := range []struct {
		path string
		call func() (proto.Message, error)
		into proto.Message
	}{
		{query("/v1/verdict", "image", image, "stage", "production"), func() (proto.Message, error) { return c.GetVerdict(ctx, image, "production") }, &waybillv1.GetVerdictResponse{}},
		{query("/v1/image", "image", image), func() (proto.Message, error) { return c.GetImage(ctx, image) }, &waybillv1.GetImageResponse{}},
		{query("/v1/evidence", "image", image, "type", "sbom"), func() (proto.Message, error) { return c.GetEvidence(ctx, image, "sbom") }, &waybillv1.GetEvidenceResponse{}},
		{query("/v1/tree", "image", image), func() (proto.Message, error) { return c.GetTree(ctx, image) }, &waybillv1.GetTreeResponse{}},
		{"/v1/policies/ruled/versions", func() (proto.Message, error) { return c.ListPolicyVersions(ctx, "ruled") }, &waybillv1.ListPolicyVersionsResponse{}},
		{"/v1/proposals", func() (proto.Message, error) { return c.ListProposals(ctx, "") }, &waybillv1.ListProposalsResponse{}},
		{"/v1/proposals/p1", func() (proto.Message, error) { return c.GetProposal(ctx, "p1") }, &waybillv1.GetProposalResponse{}},
		{"/v1/inbox", func() (proto.Message, error) { return c.GetInbox(ctx) }, &waybillv1.GetInboxResponse{}},
		{query("/v1/keys", "msp", "VendorMSP"), func() (proto.Message, error) { return c.ListKeys(ctx, "VendorMSP") }, &waybillv1.ListKeysResponse{}},
		{"/v1/schemas", func() (proto.Message, error) { return c.ListSchemas(ctx) }, &waybillv1.ListSchemasResponse{}},
		{query("/v1/waivers", "repository", repository), func() (proto.Message, error) { return c.ListWaivers(ctx, repository) }, &waybillv1.ListWaiversResponse{}},
		{"/v1/context", func() (proto.Message, error) { return c.ListContext(ctx) }, &waybillv1.ListContextResponse{}},
		{query("/v1/labels", "repository", repository), func() (proto.Message, error) { return c.ListLabels(ctx, repository) }, &waybillv1.ListLabelsResponse{}},
		{"/v1/members", func() (proto.Message, error) { return c.ListMembers(ctx) }, &waybillv1.ListMembersResponse{}},
	} {
		g.parity(id, "GET", tc.path, "", tc.call, tc.into)
	}
	body := encode(t, map[string]any{"policy": ruledPolicy, "releases": 3})
	g.parity(id, "POST", "/v1/simulate", string(body), func() (proto.Message, error) { return c.SimulatePolicy(ctx, []byte(ruledPolicy), 3) }, &waybillv1.SimulatePolicyResponse{})
}
