package api

import (
	"context"
	"fmt"
	"testing"

	"google.golang.org/grpc"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// labels is a gateway whose list of labels has some pages, or never ends.
type labels struct {
	waybillv1.WaybillClient
	pages, asked int
	again        bool
}

func (l *labels) ListLabels(_ context.Context, in *waybillv1.ListLabelsRequest, _ ...grpc.CallOption) (*waybillv1.ListLabelsResponse, error) {
	l.asked++
	out := &waybillv1.ListLabelsResponse{Height: uint64(l.asked), Labels: []*waybillv1.Label{{Name: in.GetPageToken()}}}
	if l.asked < l.pages {
		out.NextPageToken = fmt.Sprint(l.asked)
		if l.again {
			out.NextPageToken = "1"
		}
	}
	return out, nil
}

// TestWholeLists: a list is read to its end, unless somebody asks for a page of
// it; one that has no end is an error and no answer.
func TestWholeLists(t *testing.T) {
	for name, tc := range map[string]struct {
		gateway *labels
		in      *waybillv1.ListLabelsRequest
		want    int // labels
		code    provenance.Code
	}{
		"one page":       {&labels{pages: 1}, &waybillv1.ListLabelsRequest{}, 1, ""},
		"three pages":    {&labels{pages: 3}, &waybillv1.ListLabelsRequest{}, 3, ""},
		"a page of it":   {&labels{pages: 3}, &waybillv1.ListLabelsRequest{PageSize: 1}, 1, ""},
		"the next page":  {&labels{pages: 3}, &waybillv1.ListLabelsRequest{PageToken: "1"}, 1, ""},
		"without end":    {&labels{pages: 1 << 30}, &waybillv1.ListLabelsRequest{}, 0, provenance.Unavailable},
		"the same again": {&labels{pages: 1 << 30, again: true}, &waybillv1.ListLabelsRequest{}, 0, provenance.Unavailable},
	} {
		got, err := (&Client{rpc: allPages{tc.gateway}}).rpc.ListLabels(t.Context(), tc.in)
		if tc.code != "" {
			if provenance.CodeOf(fromStatus(err)) != tc.code || got != nil {
				t.Errorf("%s: %v, %d labels", name, err, len(got.GetLabels()))
			}
			continue
		}
		if err != nil || len(got.GetLabels()) != tc.want || (got.GetNextPageToken() != "") != (tc.want < tc.gateway.pages) || tc.in.GetPageToken() == "2" {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
