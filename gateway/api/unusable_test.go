package api_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
)

// What could not be used is listed page by page to people of the gateway's own
// organisation, with what had to leave, and nobody removes all of it by accident.
func TestUnusable(t *testing.T) {
	g := start(t, nil)
	g.queue.n.Store(130)
	c := g.client(g.vendor.issue("admin", soon()))
	var ids []int64
	pages := 0
	for request := (&waybillv1.ListUnusableRequest{PageSize: 500}); ; pages++ {
		page, err := c.ListUnusable(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range page.GetEvents() {
			ids = append(ids, u.GetId())
			if u.GetReason() != "no digest" || u.GetBody() != "{\ufffd}" || u.GetTimes() != 2 || u.GetSize() != 3 || u.GetConnector() != "main" {
				t.Fatalf("listed as %v", u)
			}
		}
		counts := map[string][2]int64{}
		for _, n := range page.GetCounts() {
			counts[n.GetConnector()] = [2]int64{n.GetKept(), n.GetDropped()}
		}
		if diff := cmp.Diff(map[string][2]int64{"main": {130, 5}, "other": {0, 1}}, counts); diff != "" {
			t.Fatal(diff)
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			break
		}
	}
	if len(ids) != 130 || ids[0] != 1 || ids[129] != 130 || pages != 2 {
		t.Errorf("%d listed on %d pages: %v", len(ids), pages+1, ids)
	}
	if r, err := c.RemoveUnusable(t.Context(), &waybillv1.RemoveUnusableRequest{Ids: ids[:2]}); err != nil || r.GetRemoved() != 2 {
		t.Errorf("two: %v, %v", r, err)
	}
	for _, in := range []*waybillv1.RemoveUnusableRequest{{}, {Ids: ids[:2], All: true}, {Ids: make([]int64, 501)}} {
		if _, err := c.RemoveUnusable(t.Context(), in); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%d ids, all %v: %v, want Invalid", len(in.GetIds()), in.GetAll(), err)
		}
	}
	status, err := c.GetStatus(t.Context())
	if q := status.GetQueue(); err != nil || q.GetUnusable() != 130 || q.GetUnusableDropped() != 6 {
		t.Errorf("status %v, %v", q, err)
	}
	if _, err := g.client(g.audit.issue("admin", soon())).ListUnusable(t.Context(), &waybillv1.ListUnusableRequest{}); provenance.CodeOf(err) != provenance.Forbidden {
		t.Errorf("another organisation's admin: %v", err)
	}
}
