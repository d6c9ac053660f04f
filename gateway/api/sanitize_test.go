package api_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/waybill-dev/waybill/chaincode/policy"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// bad is text that no protobuf string may hold, as long as the word SPOILT.
const bad = "\xff\xfe\xc3(\xe2\x82"

// spoilt writes a record in which the word SPOILT is no text any more.
func (g *gatewayUnderTest) spoilt(key string, record any) block.Write {
	g.t.Helper()
	w := g.put(key, record)
	w.Value = bytes.ReplaceAll(w.Value, []byte("SPOILT"), []byte(bad))
	return w
}

// TestIllegibleText: what is stored is answered, whatever bytes it is of, over
// both protocols. One such actor's name was the end of every answer about
// somebody else's image.
func TestIllegibleText(t *testing.T) {
	g := start(t, nil)
	s := g.ruled()
	who := policy.Person{MSP: "VendorMSP", Name: "SPOILT"}
	act := state.Act{By: who, At: moment(3)}
	piece := signed("sbom", "e1", "build", moment(5))
	piece.Digest, piece.Facts, piece.Location, piece.By = s.Digest, []byte(`{"name":"SPOILT"}`), "SPOILT", who
	glass := s
	glass.Stage = "staging"
	place := &state.Place{MSP: "VendorMSP", Actor: bad, MediaType: "SPOILT", Proven: true, Tags: []provenance.Tag{"1.0"}}
	g.block("r"+bad+"@VendorMSP",
		g.spoilt(state.PlaceKey(s.Digest, host, repo), place),
		g.spoilt(state.LabelsKey(host, "team/SPOILT"), state.Labels{Labels: map[string]string{"SPOILT": "SPOILT"}}),
		g.spoilt(state.LabelsKey(host, "team/"+bad), state.Labels{Labels: map[string]string{"tier": "1"}}),
		g.spoilt(state.ContextKey(bad+"MSP"), state.Context{Values: map[string]policy.Value{"incident": {Value: "SPOILT"}}}),
		g.spoilt(state.SchemaKey("VendorMSP", "x"), state.Schema{Name: "SPOILT", MSP: "VendorMSP", Schema: []byte(`{"title":"SPOILT"}`), Act: act}),
		g.spoilt(state.TrustKeyKey("VendorMSP", "x"), state.TrustKey{Name: "SPOILT", PEM: "SPOILT", MSP: "VendorMSP", Act: act}),
		g.spoilt(state.WaiversKey(host, repo, "VendorMSP"), state.Waivers{Waivers: []state.Waiver{{ID: "w", Rule: "soak", Reason: "SPOILT", Until: soon(), Act: act}}}),
		g.spoilt(state.WaiversKey(host, "x"+bad, "VendorMSP"), state.Waivers{Waivers: []state.Waiver{{ID: "w", Reason: "SPOILT", Until: soon(), Act: act}}}),
		g.spoilt(state.ProposalKey("p1"), state.Proposal{ID: "p1", Kind: state.ProposeMajority, Name: "SPOILT", Body: []byte(`{"majority":"SPOILT"}`), Status: state.ProposalOpen, Act: act}),
		g.spoilt(state.BallotKey("p1", "VendorMSP"), state.Ballot{Proposal: "p1", MSP: "VendorMSP", Reason: "SPOILT", Act: act}),
		g.spoilt(state.GrantKey("VendorMSP", bad, "auditor"), state.Grant{MSP: "VendorMSP", Identity: "SPOILT", Role: "SPOILT", Act: act}),
		g.spoilt(state.TakenKey(policy.Person{MSP: "VendorMSP", Name: bad}), state.TakenBack{MSP: "VendorMSP", Identity: "SPOILT", Reason: "SPOILT", Since: soon(), Act: act}),
		g.spoilt(state.RegistryKey("bad.example"), state.Registry{Host: "bad.example", Claims: []state.Claim{{Namespace: "SPOILT", Owner: "SPOILT", Kind: "SPOILT", Act: act}}}),
		g.spoilt(state.HoldKey(digest("held"), "AuditMSP"), state.Hold{Digest: digest("held"), MSP: "AuditMSP", Reason: "SPOILT", Act: act}),
		g.spoilt(state.EvidenceKey(s.Digest, "sbom", "e1"), piece), g.put(state.EvidenceSetKey(s.Digest, "VendorMSP"), state.EvidenceSet{}),
		g.spoilt(s.PromotionKey(), state.Promotion{Subject: s, Attempt: 1, Status: state.PromotionOpen, Requester: who, At: moment(7)}),
		g.spoilt(s.ApprovalKey(1, "AuditMSP"), state.Approval{Subject: s, Attempt: 1, Approval: policy.Approval{By: who, Reason: "SPOILT"}}),
		g.spoilt(glass.ReleasedKey(), state.Release{Subject: glass, Review: "SPOILT", Debt: &policy.Debt{By: who, Reason: "SPOILT", Without: []string{"SPOILT"}}, Act: act}),
	)
	g.fresh.Store(&readmodel.Freshness{Ready: true, Waiting: "the peer says " + bad})

	id := g.audit.issue("rm", soon())
	c := g.client(id)
	image, byTag, repository := inTeam+s.Digest.String(), "reg.example:5000/team/app:1.0", "reg.example:5000/team/app"
	for _, tc := range []struct {
		path string
		call func(context.Context) (proto.Message, error)
	}{
		{"/v1/status", func(ctx context.Context) (proto.Message, error) { return c.GetStatus(ctx) }},
		{query("/v1/image", "image", byTag), func(ctx context.Context) (proto.Message, error) { return c.GetImage(ctx, byTag) }},
		{query("/v1/image", "image", digest("held").String()), func(ctx context.Context) (proto.Message, error) { return c.GetImage(ctx, digest("held").String()) }},
		{query("/v1/verdict", "image", image, "stage", "production"), func(ctx context.Context) (proto.Message, error) { return c.GetVerdict(ctx, image, "production") }},
		{query("/v1/history", "image", image), func(ctx context.Context) (proto.Message, error) {
			return c.ListHistory(ctx, &waybillv1.ListHistoryRequest{Image: image})
		}},
		{query("/v1/history", "image", repository), func(ctx context.Context) (proto.Message, error) {
			return c.ListHistory(ctx, &waybillv1.ListHistoryRequest{Image: repository, NewestFirst: true})
		}},
		{"/v1/promotions", func(ctx context.Context) (proto.Message, error) {
			return c.ListPromotions(ctx, &waybillv1.ListPromotionsRequest{})
		}},
		{query("/v1/evidence", "image", image), func(ctx context.Context) (proto.Message, error) { return c.GetEvidence(ctx, image, "") }},
		{query("/v1/tree", "image", image), func(ctx context.Context) (proto.Message, error) { return c.GetTree(ctx, image) }},
		{"/v1/proposals", func(ctx context.Context) (proto.Message, error) { return c.ListProposals(ctx, "") }},
		{"/v1/proposals/p1", func(ctx context.Context) (proto.Message, error) { return c.GetProposal(ctx, "p1") }},
		{"/v1/inbox", func(ctx context.Context) (proto.Message, error) { return c.GetInbox(ctx) }},
		{"/v1/keys", func(ctx context.Context) (proto.Message, error) { return c.ListKeys(ctx, "") }},
		{"/v1/schemas", func(ctx context.Context) (proto.Message, error) { return c.ListSchemas(ctx) }},
		{"/v1/waivers", func(ctx context.Context) (proto.Message, error) { return c.ListWaivers(ctx, "") }},
		{"/v1/context", func(ctx context.Context) (proto.Message, error) { return c.ListContext(ctx) }},
		{"/v1/labels", func(ctx context.Context) (proto.Message, error) { return c.ListLabels(ctx, "") }},
		{"/v1/members", func(ctx context.Context) (proto.Message, error) { return c.ListMembers(ctx) }},
		{"/v1/registries", func(ctx context.Context) (proto.Message, error) { return c.ListRegistries(ctx) }},
	} {
		got, err := tc.call(t.Context())
		if err != nil {
			t.Errorf("%s: %v", tc.path, err)
			continue
		}
		marks := 0
		texts(got.ProtoReflect(), func(text string) {
			if !utf8.ValidString(text) {
				t.Errorf("%s: %q", tc.path, text)
			}
			marks += strings.Count(text, "�")
		})
		if marks == 0 {
			t.Errorf("%s has nothing of what was spoilt: the test would test nothing", tc.path)
		}
		if status, body := g.rest(id, "GET", tc.path, ""); status != 200 || !strings.Contains(fmt.Sprint(body), "�") {
			t.Errorf("REST %s: %d %v", tc.path, status, body)
		}
	}
	// An error that repeats what was asked for.
	if _, err := c.GetPolicy(t.Context(), "none", 3); provenance.CodeOf(err) != provenance.NotFound {
		t.Errorf("%v", err)
	}
	if status, body := g.rest(id, "GET", "/v1/promotions?status=%ff%fe", ""); status != 400 || body["code"] != "WB_INVALID" {
		t.Errorf("%d %v", status, body)
	}
}

// texts calls do with every string of a message.
func texts(m protoreflect.Message, do func(string)) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		one := func(v protoreflect.Value) {
			switch f.Kind() {
			case protoreflect.MessageKind:
				texts(v.Message(), do)
			case protoreflect.StringKind:
				do(v.String())
			}
		}
		if f.IsList() {
			for i := range v.List().Len() {
				one(v.List().Get(i))
			}
			return true
		}
		one(v)
		return true
	})
}
