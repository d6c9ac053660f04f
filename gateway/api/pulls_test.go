package api_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
	"github.com/waybill-dev/waybill/gateway/block"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

func TestPulls(t *testing.T) {
	g := start(t, func(c *api.Config) { c.AnonymousReads = true })
	s := g.ledger()
	noon := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	var pulls []provenance.Event
	for i, address := range []string{"", "10.2.3.4", "10.2.3.5"} {
		pulls = append(pulls, provenance.Event{
			ID: provenance.NewEventID("t", "c", address), Action: provenance.Pull, Source: "distribution", Repository: repo, Digest: s.Digest,
			Actor: "ci", Address: address, UserAgent: "containerd/2", OccurredAt: noon.Add(time.Duration(i) * time.Hour),
		})
	}
	segment, err := provenance.EncodeSegment(pulls)
	if err != nil {
		t.Fatal(err)
	}
	g.block("gateway@VendorMSP", block.Write{Key: state.JournalKey(time.Time{}, host, "VendorMSP", "l", 2), Value: segment})
	id := g.audit.issue("auditor", soon())
	c := g.client(id)
	image := inTeam + s.Digest.String()
	for path, in := range map[string]*waybillv1.ListPullsRequest{
		query("/v1/pulls", "image", image):                                                                  {Image: image},
		query("/v1/pulls", "image", image, "since", noon.Add(time.Hour).Format(time.RFC3339)):               {Image: image, Since: timestamppb.New(noon.Add(time.Hour))},
		query("/v1/pulls", "image", "reg.example:5000/team/app:1.0", "pageSize", "2"):                       {Image: "reg.example:5000/team/app:1.0", PageSize: 2},
		query("/v1/pulls", "image", s.Digest.String(), "since", noon.AddDate(1, 0, 0).Format(time.RFC3339)): {Image: s.Digest.String(), Since: timestamppb.New(noon.AddDate(1, 0, 0))},
	} {
		g.parity(id, "GET", path, "", func() (proto.Message, error) { return c.ListPulls(t.Context(), in) }, &waybillv1.ListPullsResponse{})
	}
	got, err := c.ListPulls(t.Context(), &waybillv1.ListPullsRequest{Image: image, Since: timestamppb.New(noon.Add(time.Hour))})
	if err != nil || len(got.GetPulls()) != 2 || got.GetTotal() != 3 || got.GetPulls()[0].GetAddress() != "10.2.3.5" || got.GetPulls()[0].GetGateway().GetName() != "gateway" {
		t.Errorf("%v, %v", got, err)
	}
	// People are in it: not for callers without a name, whatever else they may read.
	if status, body := g.rest(identity{}, "GET", query("/v1/pulls", "image", image), ""); status != http.StatusUnauthorized {
		t.Errorf("anonymous: %d %v", status, body)
	}
	for _, bad := range []*waybillv1.ListPullsRequest{{}, {Image: "app"}, {Image: image, PageSize: 501}, {Image: image, PageToken: "x"}, {Image: image, Since: &timestamppb.Timestamp{Nanos: -1}}} {
		if _, err := c.ListPulls(t.Context(), bad); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%v: %v", bad, err)
		}
	}
	if _, err := c.ListPulls(t.Context(), &waybillv1.ListPullsRequest{Image: "reg.example:5000/team/app:none"}); provenance.CodeOf(err) != provenance.NotFound {
		t.Errorf("a tag that is not there: %v", err)
	}
}

// vault knows one client, for the pull it is kept of.
type vault struct{ asked int }

func (v *vault) Lookup(_ context.Context, pulls []readmodel.Pull) ([]provenance.Client, []error) {
	v.asked += len(pulls)
	clients, errs := make([]provenance.Client, len(pulls)), make([]error, len(pulls))
	for i, p := range pulls {
		switch p.Nth {
		case 0:
			clients[i] = provenance.Client{Actor: "ci", Address: "10.2.3.4", UserAgent: "containerd/2"}
		case 1:
			errs[i] = provenance.Errorf(provenance.NotFound, "nothing is kept")
		default:
			errs[i] = provenance.Errorf(provenance.Unavailable, "the peer is down")
		}
	}
	return clients, errs
}

func TestHiddenPulls(t *testing.T) {
	v := &vault{}
	g := start(t, func(c *api.Config) { c.Clients = v })
	s := g.ledger()
	var pulls []provenance.Event
	for i := range 3 {
		pulls = append(pulls, provenance.Event{
			ID: provenance.EventID{byte(i)}, Action: provenance.Pull, Source: "distribution", Repository: repo, Digest: s.Digest, Blind: provenance.Unblinded(),
			Actor: "ci", Address: "10.2.3.4", UserAgent: "containerd/2", OccurredAt: time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC),
		})
	}
	public, _ := provenance.Blinded(pulls, provenance.Salt{1})
	for i, by := range []string{"gateway@VendorMSP", "gateway@AuditMSP"} {
		segment, err := provenance.EncodeSegment(public)
		if err != nil {
			t.Fatal(err)
		}
		g.block(by, block.Write{Key: state.JournalKey(time.Time{}, host, "VendorMSP", "l", uint64(2+i)), Value: segment})
	}
	list := func(id identity) []*waybillv1.Pull {
		t.Helper()
		got, err := g.client(id).ListPulls(t.Context(), &waybillv1.ListPullsRequest{Image: s.Digest.String()})
		if err != nil || len(got.GetPulls()) != 6 {
			t.Fatalf("%v, %v", got, err)
		}
		return got.GetPulls()
	}
	for _, p := range list(g.audit.issue("auditor", soon())) {
		if p.GetActor()+p.GetAddress()+p.GetUserAgent() != "" || p.GetBlind() == "" || p.GetWithheld() != "kept by "+p.GetGateway().GetMsp() {
			t.Errorf("to another organisation: %v", p)
		}
	}
	if v.asked != 0 {
		t.Errorf("the vault was asked for %d", v.asked)
	}
	got := list(g.vendor.issue("auditor", soon())) // the last recorded first
	for i, want := range []string{"kept by AuditMSP", "kept by AuditMSP", "kept by AuditMSP", "the peer of VendorMSP did not say", "not in the private data of VendorMSP: not yet, or purged", ""} {
		p := got[i]
		if p.GetWithheld() != want || (p.GetActor() == "ci" && p.GetAddress() == "10.2.3.4" && p.GetUserAgent() == "containerd/2") != (want == "") {
			t.Errorf("pull %d to its owner: %v, want %q", i, p, want)
		}
	}
	if v.asked != 3 {
		t.Errorf("the vault was asked for %d", v.asked)
	}
}
