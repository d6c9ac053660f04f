package api

import (
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// liar is a gateway that gives the same answer to whatever is asked.
type liar struct{ answer proto.Message }

func (l liar) Invoke(_ context.Context, _ string, _, reply any, _ ...grpc.CallOption) error {
	m, ok := reply.(proto.Message)
	if !ok {
		return errors.New("no message")
	}
	proto.Merge(m, l.answer)
	return nil
}

func (liar) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, errors.New("no streams here")
}

// What a gateway says of something else than was asked never reaches the caller.
func TestClientRefusesAnswersToOtherQuestions(t *testing.T) {
	const (
		d, zeros, elsewhere = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "sha256:0000000000000000000000000000000000000000000000000000000000000000", "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
		repo                = "reg.example/app"
		image, tagged       = repo + "@" + d, repo + ":1.0"
	)
	type ask = func(context.Context, *Client) (proto.Message, error)
	verdict := func(image string) ask {
		return func(ctx context.Context, c *Client) (proto.Message, error) {
			return c.GetVerdict(ctx, image, "production")
		}
	}
	getImage := func(image string) ask {
		return func(ctx context.Context, c *Client) (proto.Message, error) { return c.GetImage(ctx, image) }
	}
	tag := func(ctx context.Context, c *Client) (proto.Message, error) {
		return c.GetTag(ctx, "reg.example", "app", "1.0")
	}
	history := func(of string) ask {
		return func(ctx context.Context, c *Client) (proto.Message, error) {
			return c.ListHistory(ctx, &waybillv1.ListHistoryRequest{Image: of})
		}
	}
	entries := func(e ...*waybillv1.HistoryEntry) *waybillv1.ListHistoryResponse {
		return &waybillv1.ListHistoryResponse{Entries: e}
	}
	pulls := func(ctx context.Context, c *Client) (proto.Message, error) {
		return c.ListPulls(ctx, &waybillv1.ListPullsRequest{Image: image})
	}
	promotions := func(ctx context.Context, c *Client) (proto.Message, error) {
		return c.ListPromotions(ctx, &waybillv1.ListPromotionsRequest{Stage: "production", Status: "open", Repository: repo})
	}
	promotion := func(p *waybillv1.Promotion) *waybillv1.ListPromotionsResponse {
		return &waybillv1.ListPromotionsResponse{Promotions: []*waybillv1.Promotion{p}}
	}
	policyOf := func(version int) ask {
		return func(ctx context.Context, c *Client) (proto.Message, error) { return c.GetPolicy(ctx, "team", version) }
	}
	policyIs := func(name string, version int32) *waybillv1.GetPolicyResponse {
		return &waybillv1.GetPolicyResponse{Policy: &waybillv1.Policy{Name: name, Version: version}}
	}
	evidence := func(ctx context.Context, c *Client) (proto.Message, error) { return c.GetEvidence(ctx, image, "sbom") }
	pieces := func(e *waybillv1.Evidence) *waybillv1.GetEvidenceResponse {
		return &waybillv1.GetEvidenceResponse{Image: image, Digest: d, Evidence: []*waybillv1.Evidence{e}}
	}
	tree := func(ctx context.Context, c *Client) (proto.Message, error) { return c.GetTree(ctx, image) }
	versions := func(ctx context.Context, c *Client) (proto.Message, error) { return c.ListPolicyVersions(ctx, "team") }
	simulate := func(ctx context.Context, c *Client) (proto.Message, error) {
		return c.SimulatePolicy(ctx, []byte(`{"metadata":{"name":"team"}}`), 0)
	}
	proposal := func(ctx context.Context, c *Client) (proto.Message, error) { return c.GetProposal(ctx, "0123") }
	proposals := func(ctx context.Context, c *Client) (proto.Message, error) { return c.ListProposals(ctx, "open") }
	keys := func(ctx context.Context, c *Client) (proto.Message, error) { return c.ListKeys(ctx, "VendorMSP") }
	waivers := func(ctx context.Context, c *Client) (proto.Message, error) { return c.ListWaivers(ctx, repo) }
	labels := func(ctx context.Context, c *Client) (proto.Message, error) { return c.ListLabels(ctx, repo) }

	for _, tt := range []struct {
		name   string
		ask    ask
		answer proto.Message
		right  bool
	}{
		{"verdict", verdict(image), &waybillv1.GetVerdictResponse{Image: image, Digest: d, Stage: "production", Verdict: "allowed"}, true},
		{"verdict of a tag", verdict(tagged), &waybillv1.GetVerdictResponse{Image: image, Digest: d, Stage: "production"}, true},
		{"verdict: nothing", verdict(image), &waybillv1.GetVerdictResponse{}, false},
		{"verdict: zeros", verdict(image), &waybillv1.GetVerdictResponse{Image: repo + "@" + zeros, Digest: zeros, Stage: "production"}, false},
		{"verdict: another digest", verdict(image), &waybillv1.GetVerdictResponse{Image: image, Digest: elsewhere, Stage: "production"}, false},
		{"verdict: another image", verdict(image), &waybillv1.GetVerdictResponse{Image: repo + "@" + elsewhere, Digest: d, Stage: "production"}, false},
		{"verdict: another repository", verdict(image), &waybillv1.GetVerdictResponse{Image: "reg.example/other@" + d, Digest: d, Stage: "production"}, false},
		{"verdict of a tag: another host", verdict(tagged), &waybillv1.GetVerdictResponse{Image: "evil.example/app@" + d, Digest: d, Stage: "production"}, false},
		{"verdict of a tag: two digests", verdict(tagged), &waybillv1.GetVerdictResponse{Image: image, Digest: elsewhere, Stage: "production"}, false},
		{"verdict: another stage", verdict(image), &waybillv1.GetVerdictResponse{Image: image, Digest: d, Stage: "dev"}, false},

		{"image", getImage(d), &waybillv1.GetImageResponse{Image: d, Digest: d, Places: []*waybillv1.Place{{Host: "a.example", Repository: "b"}}}, true},
		{"image by tag", getImage(tagged), &waybillv1.GetImageResponse{Image: tagged + "@" + d, Digest: d, Places: []*waybillv1.Place{{Host: "reg.example", Repository: "app"}}}, true},
		{"image: another digest", getImage(d), &waybillv1.GetImageResponse{Image: elsewhere, Digest: elsewhere}, false},
		{"image: elsewhere", getImage(image), &waybillv1.GetImageResponse{Image: image, Digest: d, Places: []*waybillv1.Place{{Host: "evil.example", Repository: "app"}}}, false},
		{"image: another's release", getImage(image), &waybillv1.GetImageResponse{Image: image, Digest: d, Releases: []*waybillv1.Release{{Host: "reg.example", Repository: "app", Digest: elsewhere}}}, false},
		{"image: another's promotion", getImage(image), &waybillv1.GetImageResponse{Image: image, Digest: d, Promotions: []*waybillv1.Promotion{{Host: "reg.example", Repository: "other", Digest: d}}}, false},

		{"tag", tag, &waybillv1.GetTagResponse{Host: "reg.example", Repository: "app", Tag: "1.0", Digest: d}, true},
		{"tag: another", tag, &waybillv1.GetTagResponse{Host: "reg.example", Repository: "app", Tag: "2.0", Digest: d}, false},
		{"tag: nothing", tag, &waybillv1.GetTagResponse{Digest: d}, false},

		{"history of a digest", history(image), entries(&waybillv1.HistoryEntry{Host: "reg.example", Repository: "app", Digest: d}, &waybillv1.HistoryEntry{Kind: "hold", Digest: d}), true},
		{"history of a tag", history(tagged), entries(&waybillv1.HistoryEntry{Host: "reg.example", Repository: "app", Tag: "1.0", Digest: elsewhere}), true},
		{"history of a repository", history(repo), entries(&waybillv1.HistoryEntry{Host: "reg.example", Repository: "app"}), true},
		{"history: another digest", history(image), entries(&waybillv1.HistoryEntry{Host: "reg.example", Repository: "app", Digest: elsewhere}), false},
		{"history: another tag", history(tagged), entries(&waybillv1.HistoryEntry{Host: "reg.example", Repository: "app", Tag: "2.0"}), false},
		{"history: another repository", history(repo), entries(&waybillv1.HistoryEntry{Host: "reg.example", Repository: "other"}), false},

		{"pulls", pulls, &waybillv1.ListPullsResponse{Image: image, Digest: d, Pulls: []*waybillv1.Pull{{Host: "reg.example", Repository: "app"}}}, true},
		{"pulls: another image", pulls, &waybillv1.ListPullsResponse{Image: repo + "@" + elsewhere, Digest: elsewhere}, false},
		{"pulls: elsewhere", pulls, &waybillv1.ListPullsResponse{Image: image, Digest: d, Pulls: []*waybillv1.Pull{{Host: "reg.example", Repository: "other"}}}, false},

		{"promotions", promotions, promotion(&waybillv1.Promotion{Stage: "production", Status: "open", Host: "reg.example", Repository: "app"}), true},
		{"promotions: another stage", promotions, promotion(&waybillv1.Promotion{Stage: "dev", Status: "open", Host: "reg.example", Repository: "app"}), false},
		{"promotions: another status", promotions, promotion(&waybillv1.Promotion{Stage: "production", Status: "released", Host: "reg.example", Repository: "app"}), false},
		{"promotions: another repository", promotions, promotion(&waybillv1.Promotion{Stage: "production", Status: "open", Host: "reg.example", Repository: "other"}), false},

		{"policy", policyOf(0), policyIs("team", 7), true},
		{"policy version", policyOf(2), policyIs("team", 2), true},
		{"policy: another name", policyOf(0), policyIs("evil", 7), false},
		{"policy: another version", policyOf(2), policyIs("team", 3), false},
		{"policy: nothing", policyOf(0), &waybillv1.GetPolicyResponse{}, false},
		{"policy versions: of another", versions, &waybillv1.ListPolicyVersionsResponse{Versions: []*waybillv1.Policy{{Name: "team"}, {Name: "evil"}}}, false},
		{"simulation", simulate, &waybillv1.SimulatePolicyResponse{Name: "team"}, true},
		{"simulation: of another", simulate, &waybillv1.SimulatePolicyResponse{Name: "evil"}, false},

		{"evidence", evidence, pieces(&waybillv1.Evidence{Type: "sbom", Digest: d}), true},
		{"evidence of an index", evidence, pieces(&waybillv1.Evidence{Type: "sbom", Digest: elsewhere, Inherited: true}), true},
		{"evidence: another type", evidence, pieces(&waybillv1.Evidence{Type: "vuln-scan", Digest: d}), false},
		{"evidence: about another", evidence, pieces(&waybillv1.Evidence{Type: "sbom", Digest: elsewhere}), false},
		{"tree", tree, &waybillv1.GetTreeResponse{Image: image, Digest: d, Root: &waybillv1.TreeNode{Digest: d}}, true},
		{"tree: another root", tree, &waybillv1.GetTreeResponse{Image: image, Digest: d, Root: &waybillv1.TreeNode{Digest: elsewhere}}, false},

		{"proposal", proposal, &waybillv1.GetProposalResponse{Proposal: &waybillv1.Proposal{Id: "0123"}}, true},
		{"proposal: another", proposal, &waybillv1.GetProposalResponse{Proposal: &waybillv1.Proposal{Id: "0124"}}, false},
		{"proposals: another status", proposals, &waybillv1.ListProposalsResponse{Proposals: []*waybillv1.Proposal{{Status: "accepted"}}}, false},
		{"keys: another's", keys, &waybillv1.ListKeysResponse{Keys: []*waybillv1.Key{{Msp: "EvilMSP"}}}, false},
		{"waivers: elsewhere", waivers, &waybillv1.ListWaiversResponse{Waivers: []*waybillv1.Waiver{{Host: "reg.example", Repository: "other"}}}, false},
		{"labels: elsewhere", labels, &waybillv1.ListLabelsResponse{Labels: []*waybillv1.Label{{Host: "evil.example", Repository: "app"}}}, false},
	} {
		got, err := tt.ask(t.Context(), &Client{rpc: waybillv1.NewWaybillClient(liar{tt.answer})})
		if tt.right {
			if err != nil || !proto.Equal(got, tt.answer) {
				t.Errorf("%s: %v, %v", tt.name, got, err)
			}
			continue
		}
		if provenance.CodeOf(err) != provenance.Internal || !strings.Contains(err.Error(), "another question") || got.ProtoReflect().IsValid() {
			t.Errorf("%s: %v, answer %v", tt.name, err, got)
		}
	}
}
