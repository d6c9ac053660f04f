package api_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/state"
	"github.com/waybill-dev/waybill/gateway/api"
	"github.com/waybill-dev/waybill/gateway/api/waybillv1"
	"github.com/waybill-dev/waybill/gateway/selftest"
)

// oneConnector is a gateway with one connector.
type oneConnector struct{ tests atomic.Int64 }

func (c *oneConnector) List() []selftest.Connector {
	return []selftest.Connector{{
		Name: "main", Kind: "distribution", Host: host, Path: "/hooks/main", Authentication: "secret in a header", Weakness: "no signature",
		Accepted: 3, Refused: 1, LastEvent: time.Unix(2000, 0), LastRefused: time.Unix(2001, 0), LastStatus: 401,
	}}
}

func (c *oneConnector) Test(_ context.Context, name string, repository provenance.Repository) (selftest.Test, error) {
	c.tests.Add(1)
	if name != "main" {
		return selftest.Test{}, provenance.Errorf(provenance.NotFound, "no connector of the name %q", name)
	}
	return selftest.Test{
		Connector: c.List()[0], Outcome: selftest.Failed, Settings: "url: https://gateway/hooks/main\n",
		Steps: []selftest.Step{{Name: "hook", Result: selftest.StepOK, Detail: string(repository)}, {Name: "queue", Result: selftest.StepFailed, Detail: "503", Advice: "look"}},
	}, nil
}

func TestConnectors(t *testing.T) {
	fake := &oneConnector{}
	g := start(t, func(c *api.Config) { c.Connectors = fake })
	g.ledger()
	g.block("admin@VendorMSP", g.put(state.GrantKey("VendorMSP", "second", "admin"), state.Grant{MSP: "VendorMSP", Identity: "second", Role: state.RoleAdmin}))
	g.block("admin@VendorMSP", g.put(state.GrantKey("VendorMSP", "left", "admin"), state.Grant{MSP: "VendorMSP", Identity: "left", Role: state.RoleAdmin, Revoked: true}))
	admin := g.vendor.issueOU("admin", soon(), "admin")
	c, ctx := g.client(admin), t.Context()
	g.parity(admin, "GET", "/v1/connectors", "", func() (proto.Message, error) { return c.ListConnectors(ctx) }, &waybillv1.ListConnectorsResponse{})
	g.parity(admin, "POST", "/v1/connectors/main/test", `{"repository":"team/app"}`, func() (proto.Message, error) { return c.TestConnector(ctx, "main", "team/app") }, &waybillv1.TestConnectorResponse{})
	if r, err := c.TestConnector(ctx, "main", ""); err != nil || r.GetOutcome() != "failed" || len(r.GetSteps()) != 2 || r.GetSteps()[1].GetAdvice() != "look" || r.GetPath() != "/hooks/main" {
		t.Errorf("%v, %v", r, err)
	}
	if _, err := c.TestConnector(ctx, "other", ""); provenance.CodeOf(err) != provenance.NotFound || api.HintOf(err) == "" {
		t.Errorf("no such connector: %v", err)
	}
	if _, err := c.TestConnector(ctx, "main", "Team"); provenance.CodeOf(err) != provenance.Invalid {
		t.Errorf("no repository: %v", err)
	}
	if _, err := g.client(g.vendor.issue("second", soon())).TestConnector(ctx, "main", ""); err != nil {
		t.Errorf("an admin by a grant: %v", err)
	}
	before := fake.tests.Load()
	for name, id := range map[string]identity{
		"a person without a role": g.vendor.issue("reader", soon()), "one whose grant was revoked": g.vendor.issue("left", soon()),
		"another organisation's admin": g.audit.issueOU("admin", soon(), "admin"), "another's of an admin's name": g.audit.issue("second", soon()), "nobody": {},
	} {
		if _, err := g.client(id).TestConnector(ctx, "main", ""); provenance.CodeOf(err) != provenance.Forbidden {
			t.Errorf("%s tests: %v", name, err)
		}
		if _, err := g.client(id).ListConnectors(ctx); provenance.CodeOf(err) != provenance.Forbidden {
			t.Errorf("%s lists: %v", name, err)
		}
	}
	if n := fake.tests.Load(); n != before {
		t.Errorf("%d samples were sent for callers who may not", n-before)
	}
}

// How senders could be imitated is told to the organisation's own people only.
func TestWeakConnectors(t *testing.T) {
	g := start(t, func(c *api.Config) { c.AnonymousReads, c.Connectors = true, &oneConnector{} })
	g.ledger()
	for name, tt := range map[string]struct {
		id   identity
		want int
	}{"own": {g.vendor.issue("auditor", soon()), 1}, "another": {g.audit.issue("auditor", soon()), 0}, "nobody": {identity{}, 0}} {
		if s, err := g.client(tt.id).GetStatus(t.Context()); err != nil || len(s.GetWeakConnectors()) != tt.want {
			t.Errorf("%s: %v, %v", name, s.GetWeakConnectors(), err)
		}
	}
}

func TestNoConnectors(t *testing.T) {
	g := start(t, nil)
	g.ledger()
	c := g.client(g.vendor.issueOU("admin", soon(), "admin"))
	if r, err := c.ListConnectors(t.Context()); err != nil || len(r.GetConnectors()) != 0 {
		t.Errorf("%v, %v", r, err)
	}
	if _, err := c.TestConnector(t.Context(), "main", ""); provenance.CodeOf(err) != provenance.NotFound {
		t.Errorf("%v", err)
	}
}
