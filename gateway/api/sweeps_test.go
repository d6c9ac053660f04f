package api_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/api"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
	"github.com/waybill-dev/waybill/gateway/findings"
)

type fakeSweeps struct{ started []provenance.Host }

func (f *fakeSweeps) Start(_ context.Context, h provenance.Host, dry bool) ([]findings.Started, error) {
	if h == "partner.example" {
		return nil, provenance.Errorf(provenance.Forbidden, "another organisation's")
	}
	if !dry {
		f.started = append(f.started, h)
	}
	return []findings.Started{{Host: host, ID: "s1", Joined: true}}, nil
}

func (f *fakeSweeps) List(context.Context) []findings.Registry {
	finding := findings.Finding{Kind: "moved", Repository: repo, Tag: "1.0", Digest: digest("b"), Recorded: digest("a"), At: time.Unix(7, 0), Outcome: "queued", Detail: "d"}
	return []findings.Registry{
		{Host: host, Running: &findings.Sweep{ID: "s2", DryRun: true, Doing: "waits"}, Alerts: []findings.Finding{finding}, Next: time.Unix(9, 0), Last: &findings.Sweep{
			ID: "s1", Started: time.Unix(1, 0), Finished: time.Unix(2, 0), Error: "e", Repository: repo, Done: 1, Total: 2, Tags: 3, Images: 4, Requests: 5, Waiting: 6,
			Counts: map[string]int64{"moved": 1, "gone": 2}, Findings: []findings.Finding{finding}, Notes: []string{"n"},
		}},
		{Host: "other.example"},
	}
}

func TestSweeps(t *testing.T) {
	f := &fakeSweeps{}
	g := start(t, func(c *api.Config) { c.Sweeps = f })
	g.ledger()
	id := g.vendor.issue("admin", soon())
	c := g.client(id)
	g.parity(id, "GET", "/v1/sweeps", "", func() (proto.Message, error) { return c.GetSweeps(t.Context(), "") }, &waybillv1.GetSweepsResponse{})
	g.parity(id, "POST", "/v1/sweeps", `{"registry":"reg.example:5000","dryRun":true}`, func() (proto.Message, error) { return c.StartSweep(t.Context(), string(host), true) }, &waybillv1.StartSweepResponse{})
	if len(f.started) != 0 {
		t.Errorf("dry ones were not: %q", f.started)
	}
	if _, err := c.StartSweep(t.Context(), "", false); err != nil || len(f.started) != 1 || f.started[0] != "" {
		t.Errorf("%q, %v", f.started, err)
	}
	one, err := c.GetSweeps(t.Context(), string(host))
	if err != nil || len(one.GetRegistries()) != 1 || one.GetRegistries()[0].GetLast().GetCounts()[0].GetKind() != "gone" || one.GetRegistries()[0].GetRunning().GetDoing() != "waits" {
		t.Errorf("%v, %v", one, err)
	}
	for want, call := range map[provenance.Code]func() error{
		provenance.Invalid: func() error { _, err := c.GetSweeps(t.Context(), "a b"); return err },
		provenance.Forbidden: func() error {
			_, err := c.StartSweep(t.Context(), "partner.example", false)
			return err
		},
	} {
		if err := call(); provenance.CodeOf(err) != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	// Another organisation's people may neither look nor start one.
	stranger := g.client(g.audit.issue("admin", soon()))
	if _, err := stranger.GetSweeps(t.Context(), ""); provenance.CodeOf(err) != provenance.Forbidden {
		t.Errorf("another organisation looks: %v", err)
	}
	if _, err := stranger.StartSweep(t.Context(), "", false); provenance.CodeOf(err) != provenance.Forbidden {
		t.Errorf("another organisation starts one: %v", err)
	}
	without := start(t, nil)
	without.ledger()
	if _, err := without.client(without.vendor.issue("admin", soon())).GetSweeps(t.Context(), ""); provenance.CodeOf(err) != provenance.Unavailable {
		t.Errorf("without sweeps: %v", err)
	}
}
