package api

import (
	"context"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// allPages is the other end of pages: where a list is asked for without a page
// size and without a token it is read to its end, so that nobody takes a first
// page for all there is. The lists that people read page by page (history,
// pulls, promotions, dead letters) are left as they are.
type allPages struct{ waybillv1.WaybillClient }

// maxPages bounds the pages of one list: a gateway that never comes to an end is
// broken or lies.
const maxPages = 2000

// pageAnswer is an answer that is a page of a list.
type pageAnswer interface {
	proto.Message
	GetNextPageToken() string
}

// pageRequest is a request for a page.
type pageRequest interface {
	proto.Message
	paging
}

// gather asks for pages until the last and joins them: what repeats is
// appended, and the rest is what the last page says.
func gather[Q pageRequest, R pageAnswer](ctx context.Context, in Q, ask func(context.Context, Q, ...grpc.CallOption) (R, error), opts []grpc.CallOption) (R, error) {
	out, err := ask(ctx, in, opts...)
	if err != nil || in.GetPageSize() != 0 || in.GetPageToken() != "" {
		return out, err
	}
	var none R
	in = proto.CloneOf(in)
	seen := map[string]bool{}
	for token := out.GetNextPageToken(); token != ""; {
		if seen[token] || len(seen) == maxPages {
			return none, toProblem(provenance.Errorf(provenance.Unavailable, "the gateway's list does not end: %d pages, or the same one again", len(seen)+1)).status()
		}
		seen[token] = true
		set(in, "page_token", token)
		more, err := ask(ctx, in, opts...)
		if err != nil {
			return none, err
		}
		proto.Merge(out, more)
		token = more.GetNextPageToken()
		set(out, "next_page_token", token)
	}
	return out, nil
}

func set(m proto.Message, field protoreflect.Name, text string) {
	r := m.ProtoReflect()
	r.Set(r.Descriptor().Fields().ByName(field), protoreflect.ValueOfString(text))
}

func (w allPages) GetEvidence(ctx context.Context, in *waybillv1.GetEvidenceRequest, opts ...grpc.CallOption) (*waybillv1.GetEvidenceResponse, error) {
	return gather(ctx, in, w.WaybillClient.GetEvidence, opts)
}

func (w allPages) ListPolicies(ctx context.Context, in *waybillv1.ListPoliciesRequest, opts ...grpc.CallOption) (*waybillv1.ListPoliciesResponse, error) {
	return gather(ctx, in, w.WaybillClient.ListPolicies, opts)
}

func (w allPages) ListPolicyVersions(ctx context.Context, in *waybillv1.ListPolicyVersionsRequest, opts ...grpc.CallOption) (*waybillv1.ListPolicyVersionsResponse, error) {
	return gather(ctx, in, w.WaybillClient.ListPolicyVersions, opts)
}

func (w allPages) ListProposals(ctx context.Context, in *waybillv1.ListProposalsRequest, opts ...grpc.CallOption) (*waybillv1.ListProposalsResponse, error) {
	return gather(ctx, in, w.WaybillClient.ListProposals, opts)
}

func (w allPages) ListKeys(ctx context.Context, in *waybillv1.ListKeysRequest, opts ...grpc.CallOption) (*waybillv1.ListKeysResponse, error) {
	return gather(ctx, in, w.WaybillClient.ListKeys, opts)
}

func (w allPages) ListSchemas(ctx context.Context, in *waybillv1.ListSchemasRequest, opts ...grpc.CallOption) (*waybillv1.ListSchemasResponse, error) {
	return gather(ctx, in, w.WaybillClient.ListSchemas, opts)
}

func (w allPages) ListWaivers(ctx context.Context, in *waybillv1.ListWaiversRequest, opts ...grpc.CallOption) (*waybillv1.ListWaiversResponse, error) {
	return gather(ctx, in, w.WaybillClient.ListWaivers, opts)
}

func (w allPages) ListContext(ctx context.Context, in *waybillv1.ListContextRequest, opts ...grpc.CallOption) (*waybillv1.ListContextResponse, error) {
	return gather(ctx, in, w.WaybillClient.ListContext, opts)
}

func (w allPages) ListLabels(ctx context.Context, in *waybillv1.ListLabelsRequest, opts ...grpc.CallOption) (*waybillv1.ListLabelsResponse, error) {
	return gather(ctx, in, w.WaybillClient.ListLabels, opts)
}

func (w allPages) ListMembers(ctx context.Context, in *waybillv1.ListMembersRequest, opts ...grpc.CallOption) (*waybillv1.ListMembersResponse, error) {
	return gather(ctx, in, w.WaybillClient.ListMembers, opts)
}

func (w allPages) ListRegistries(ctx context.Context, in *waybillv1.ListRegistriesRequest, opts ...grpc.CallOption) (*waybillv1.ListRegistriesResponse, error) {
	return gather(ctx, in, w.WaybillClient.ListRegistries, opts)
}

// inboxPages is how many pages of an inbox are asked for to fill the first.
const inboxPages = 20

// GetInbox asks until a page is full or the inbox ends: a gateway looks at a
// share of what waits for each page, and much of it may be for others.
func (w allPages) GetInbox(ctx context.Context, in *waybillv1.GetInboxRequest, opts ...grpc.CallOption) (*waybillv1.GetInboxResponse, error) {
	in = proto.CloneOf(in)
	out, err := w.WaybillClient.GetInbox(ctx, in, opts...)
	if err != nil || in.GetPageSize() != 0 || in.GetPageToken() != "" {
		return out, err
	}
	for range inboxPages {
		if out.GetNextPageToken() == "" || len(out.GetItems()) >= inboxPage {
			break
		}
		in.PageToken = out.GetNextPageToken()
		more, err := w.WaybillClient.GetInbox(ctx, in, opts...)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.GetItems(), more.GetItems()...)
		out.NextPageToken, out.Truncated, out.Height, out.Stale = more.GetNextPageToken(), more.GetTruncated(), more.GetHeight(), out.GetStale() || more.GetStale()
	}
	slices.SortStableFunc(out.GetItems(), func(x, y *waybillv1.InboxItem) int { return compareBool(y.GetMine(), x.GetMine()) })
	return out, nil
}
